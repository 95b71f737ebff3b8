package live_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
)

// report is one of order id, of which so much has been filled by then.
func report(id, happened, status, last, filled string) wire.Report {
	return wire.Report{ClientID: id, Happened: happened, Status: status, LastQuantity: d(last), LastPrice: d("10"), Filled: d(filled), At: 1000}
}

// memory is an exchange that knows orders, and sends reports to whoever connects.
type memory struct {
	orders    map[string][]wire.Report
	late      string // the id of an order that arrives after it was asked for the first time
	asked     atomic.Int64
	stream    []wire.Report
	queries   chan string // of the connections
	cancelled chan string // the ids of orders
}

func (m *memory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("origClientOrderId")
	if r.Method == http.MethodDelete {
		m.cancelled <- id
		return
	}
	if r.URL.Path == "/api/v3/order" {
		reports, known := m.orders[id]
		if !known || id == m.late && m.asked.Add(1) == 1 {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(wire.Error{Code: wire.UnknownOrder, Message: "there is no order"})
			return
		}
		json.NewEncoder(w).Encode(wire.Order{ClientID: id, Status: reports[len(reports)-1].Status, Reports: reports})
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	m.queries <- r.URL.RawQuery
	for i, report := range m.stream {
		report.Sequence = 7 + i
		wsjson.Write(r.Context(), conn, report)
	}
	<-conn.CloseRead(r.Context()).Done()
}

func TestAccountResumesOrdersOfAnEarlierRun(t *testing.T) {
	m := &memory{late: "test-2", queries: make(chan string, 1), cancelled: make(chan string, 9),
		orders: map[string][]wire.Report{
			"test-1": {report("test-1", wire.New, wire.New, "0", "0"), report("test-1", wire.Traded, wire.Partially, "4", "4"), report("test-1", wire.Traded, wire.Partially, "1", "5")},
			"test-2": {report("test-2", wire.New, wire.New, "0", "0"), report("test-2", wire.Traded, wire.Filled, "10", "10")},
			"test-4": {report("test-4", wire.Traded, wire.Partially, "2", "2"), report("test-4", wire.Canceled, wire.Canceled, "0", "2")},
		},
		stream: []wire.Report{
			report("test-1", wire.Traded, wire.Partially, "1", "5"), // was in the answer too
			report("test-4", wire.Canceled, wire.Canceled, "0", "2"),
			report("other-1", wire.Traded, wire.Filled, "9", "9"),
			report("test-1", wire.Traded, wire.Filled, "5", "10"),
		},
	}
	account := live.NewAccount(serve(t, m), "test", decimal.One, quiet)
	order := func(id int) engine.Order { return engine.Order{ID: id, Quantity: d("10")} }
	began := time.Now()
	account.Resume(order(1), d("4"))
	for id := 2; id <= 4; id++ {
		account.Resume(order(id), decimal.Zero)
	}
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus).Within(10 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- account.Run(ctx, bus) }()
	fill := func(kind eventbus.EventType, id int, quantity string) {
		rec.Expect(t, eventbustest.PayloadFunc(kind, quantity, func(f engine.Fill) bool {
			return f.Order.ID == id && f.Quantity.String() == quantity && f.Price.String() == "10" && f.Time.Equal(time.UnixMilli(1000))
		}))
	}
	gone := func(id int, reason string) {
		rec.Expect(t, eventbustest.PayloadFunc(eventbus.OrderUpdate, reason, func(c engine.Cancellation) bool {
			return c.Order == order(id) && c.Reason == reason
		}))
	}
	fill(eventbus.OrderPartiallyFilled, 1, "1")
	fill(eventbus.OrderFilled, 2, "10")
	gone(3, "the exchange does not know it")
	require.GreaterOrEqual(t, time.Since(began), time.Second, "until then it could still arrive")
	fill(eventbus.OrderPartiallyFilled, 4, "2")
	gone(4, "cancelled")
	fill(eventbus.OrderFilled, 1, "5")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	rec.ExpectNone(t)
	require.Empty(t, <-m.queries, "the stream begins now")
	require.Equal(t, "test-1", <-m.cancelled, "it still worked")
	require.Empty(t, m.cancelled)
	require.Equal(t, live.Orders{}, account.Orders(), "nothing was sent")
}

func TestAccountGoesOnWithAnExchangeThatBeginsAnew(t *testing.T) {
	config := exchange.Config{Symbols: []string{"A", "B"}, Interval: time.Second, Speed: 20, Seed: 1}
	restarted, restart := context.WithCancel(t.Context())
	defer restart()
	var second http.Handler
	run(t, config, func(h http.Handler) http.Handler {
		second = h
		return h
	})
	address := run(t, config, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if restarted.Err() != nil {
				second.ServeHTTP(w, r)
				return
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer context.AfterFunc(restarted, cancel)()
			h.ServeHTTP(w, r.WithContext(ctx))
		})
	})
	a := newAccount(t, address)
	var before atomic.Int64
	timer := time.AfterFunc(2*time.Second, func() {
		before.Store(int64(a.ledger.Books().Fills))
		restart()
	})
	defer timer.Stop()
	a.trade(t, 4*time.Second)
	require.Positive(t, before.Load())
	require.Greater(t, int64(a.ledger.Books().Fills), before.Load()+1)
	require.Empty(t, a.engine.Working())
}

func TestCancelAllLeavesTheOrdersOfOthersAlone(t *testing.T) {
	m := &memory{cancelled: make(chan string, 9)}
	account := live.NewAccount(serve(t, m), "test", decimal.One, quiet)
	for id := 1; id <= 2; id++ {
		account.Resume(engine.Order{ID: id}, decimal.Zero)
	}
	require.NoError(t, account.CancelAll(t.Context()))
	close(m.cancelled)
	var cancelled []string
	for id := range m.cancelled {
		cancelled = append(cancelled, id)
	}
	require.Equal(t, []string{"test-1", "test-2"}, cancelled)
}
