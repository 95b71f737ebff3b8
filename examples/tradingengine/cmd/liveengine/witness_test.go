package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

// A witness is an exchange on paper, and remembers which orders it was sent.
type witness struct {
	http.Handler
	address string
	mu      sync.Mutex
	sent    map[string]int // how often, by client id
	refused int            // answers
}

// newWitness serves until the test ends.
func newWitness(t *testing.T, c exchange.Config) *witness {
	t.Helper()
	e, err := exchange.New(c)
	require.NoError(t, err)
	w := &witness{Handler: e.Handler(), sent: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(w)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	w.address = server.URL
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return w
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.mu.Lock()
		w.sent[r.FormValue("newClientOrderId")]++
		w.mu.Unlock()
		out = &refusals{out, w}
	}
	w.Handler.ServeHTTP(out, r)
}

// refusals counts the answers that refuse an order.
type refusals struct {
	http.ResponseWriter
	witness *witness
}

func (r *refusals) WriteHeader(status int) {
	if status == http.StatusBadRequest {
		r.witness.mu.Lock()
		r.witness.refused++
		r.witness.mu.Unlock()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (w *witness) orders() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// state is what the exchange knows of an order; it has no client id if that is nothing.
func (w *witness) state(t *testing.T, id string) (o wire.Order) {
	t.Helper()
	answer, err := http.Get(w.address + "/api/v3/order?" + url.Values{"origClientOrderId": {id}}.Encode())
	require.NoError(t, err)
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&o))
	}
	return o
}

// A toldOrder is what a journal says of an order.
type toldOrder struct {
	symbol               string
	side                 engine.Side
	intents, ends, fills int
	filled               decimal.Decimal
	reason               string // why it ended without being filled
}

// toldOrders are the orders of a journal that its risk check let pass, by client id.
func toldOrders(t *testing.T, file string) map[string]*toldOrder {
	t.Helper()
	run, err := record.First[parameters](file, "liveengine")
	require.NoError(t, err)
	told := map[string]*toldOrder{}
	order := func(o engine.Order) *toldOrder {
		id := fmt.Sprintf("%s-%d", run.Name, o.ID)
		if told[id] == nil {
			told[id] = &toldOrder{symbol: o.Symbol, side: o.Side}
		}
		return told[id]
	}
	for r, err := range journal.Read(file) {
		require.NoError(t, err)
		switch r.Type {
		case eventbus.OrderPlaced:
			order(payload[engine.Order](t, r)).intents++
		case eventbus.OrderUpdate:
			if c := payload[engine.Cancellation](t, r); r.FromOutside() || r.Cause.Queue == eventbus.OrderQueue {
				o := order(c.Order)
				o.ends, o.reason = o.ends+1, c.Reason
			}
		case eventbus.OrderPartiallyFilled, eventbus.OrderFilled:
			f := payload[engine.Fill](t, r)
			o := order(f.Order)
			o.fills, o.filled = o.fills+1, o.filled.Add(f.Quantity)
			if !f.Partial {
				o.ends++
			}
		}
	}
	return told
}

func payload[T any](t *testing.T, r journal.Record) (data T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.Data, &data))
	return data
}

// requireRecorded checks that every order that was sent is in the journal.
func requireRecorded(t *testing.T, w *witness, file string) map[string]*toldOrder {
	t.Helper()
	told := map[string]*toldOrder{}
	if w.orders() > 0 { // before the first there may be no journal
		told = toldOrders(t, file)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.sent {
		require.Contains(t, told, id, "it was sent and is in no record")
	}
	return told
}

// requireSameOrders checks that the exchange has each order that the journal says it has, and no other: each once, with the
// same fills, and none that works any more.
func requireSameOrders(t *testing.T, w *witness, file string) {
	t.Helper()
	told := requireRecorded(t, w, file)
	unsent := regexp.MustCompile("^(the exchange does not know it|not sent: .*|the matching engine is busy|there is no quote yet, .*|the order was on its way for more than .*)$")
	for id, o := range told {
		require.Equal(t, [2]int{1, 1}, [2]int{o.intents, o.ends}, "%s: once recorded before it was sent, and once ended: %+v", id, o)
		state := w.state(t, id)
		if state.ClientID == "" {
			require.Regexp(t, unsent, o.reason, id)
			require.Zero(t, o.fills, id)
			continue
		}
		require.NotRegexp(t, unsent, o.reason, id)
		require.Positive(t, w.sent[id], id)
		require.Contains(t, []string{wire.Filled, wire.Canceled}, state.Status, id)
		require.Equal(t, state.Executed.String(), o.filled.String(), id)
		for _, r := range state.Reports {
			require.Equal(t, o.symbol+" "+string(o.side), r.Symbol+" "+r.Side, id)
		}
		fills := slices.DeleteFunc(state.Reports, func(r wire.Report) bool { return r.Happened != wire.Traded })
		require.Len(t, fills, o.fills, id)
	}
}

// requireSameBooks checks that the report of an engine has the cash and the positions that the fills of the exchange leave.
func requireSameBooks(t *testing.T, w *witness, report string) {
	t.Helper()
	cash, positions := decimal.MustParse("100000"), map[string]decimal.Decimal{}
	for id := range w.sent {
		for _, r := range w.state(t, id).Reports {
			quantity := r.LastQuantity
			if r.Side == wire.Sell {
				quantity = quantity.Neg()
			}
			positions[r.Symbol] = positions[r.Symbol].Add(quantity)
			cash = cash.Sub(r.LastPrice.Mul(quantity))
		}
	}
	var held []string
	for symbol, quantity := range positions {
		if !quantity.IsZero() {
			held = append(held, quantity.String()+" "+symbol)
		}
	}
	line := regexp.MustCompile(`(?m)^  cash +(\S+) *(.*)$`).FindStringSubmatch(report)
	require.NotNil(t, line, report)
	require.Equal(t, cash.RoundHAZ(2).StringFixed(2), line[1])
	require.ElementsMatch(t, held, slices.DeleteFunc(strings.Split(line[2], ", "), func(s string) bool { return s == "" }))
}
