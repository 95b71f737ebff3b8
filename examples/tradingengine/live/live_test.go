package live_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	quiet = slog.New(slog.DiscardHandler)
	d     = decimal.MustParse
)

// serve answers until the test ends.
func serve(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(h)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return server.URL
}

// run moves the exchange until the test ends, and serves it through wrap.
func run(t *testing.T, c exchange.Config, wrap func(http.Handler) http.Handler) (address string) {
	t.Helper()
	e, err := exchange.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return serve(t, wrap(e.Handler()))
}

func asItIs(h http.Handler) http.Handler { return h }

// flip buys and sells at every second candle of a symbol.
type flip struct{ n int }

func (s *flip) OnClose(engine.Candle) (engine.Side, bool) {
	s.n++
	return []engine.Side{engine.Buy, "", engine.Sell, ""}[s.n%4], s.n%2 == 0
}

// account is a live account with an engine around it.
type account struct {
	*live.Account
	stream *live.Stream
	ledger *engine.Ledger
	engine *engine.Engine
}

func newAccount(t *testing.T, address string) *account {
	t.Helper()
	a := &account{
		Account: live.NewAccount(address, "test", decimal.One, quiet),
		stream:  &live.Stream{URL: address, Log: quiet},
		ledger:  engine.NewLedger(d("100000"), 0),
	}
	e, err := engine.New(engine.Config{
		Feed:       a.stream,
		Strategies: []engine.Strategy{&engine.PerSymbol{New: func() engine.Strategy { return &flip{} }}},
		Broker:     a, Portfolio: a.ledger,
		Cash: d("100000"), Lot: decimal.One, Budget: d("20000"),
		Options: []eventbus.Option{eventbus.WithLogger(quiet)},
	})
	require.NoError(t, err)
	a.engine = e
	engine.QuoteChanged.Subscribe(e.Bus(), a.OnQuote)
	return a
}

// trade runs the engine for so long, as a SIGTERM would end it.
func (a *account) trade(t *testing.T, length time.Duration) {
	t.Helper()
	stopped := errors.New("told to stop")
	ctx, cancel := context.WithTimeoutCause(t.Context(), length, stopped)
	defer cancel()
	require.Equal(t, stopped, a.engine.Run(ctx))
}

// reports are all that the exchange tells of orders, read until it has nothing more to tell.
func reports(t *testing.T, address string) (all []wire.Report) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, address+"/ws/user?after=0", nil)
	require.NoError(t, err)
	defer conn.CloseNow()
	for {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		var r wire.Report
		if wsjson.Read(ctx, conn, &r) != nil {
			return all
		}
		all = append(all, r)
	}
}

// requireSameBooks checks that the ledger has every fill of the exchange, once, and that no order works any more.
func requireSameBooks(t *testing.T, a *account, address string) {
	t.Helper()
	cash, fills := d("100000"), 0
	last := map[string]string{}
	for _, r := range reports(t, address) {
		last[r.ClientID] = r.Status
		if r.Happened != wire.Traded {
			continue
		}
		fills++
		amount := r.LastPrice.Mul(r.LastQuantity)
		if r.Side == wire.Buy {
			amount = amount.Neg()
		}
		cash = cash.Add(amount)
	}
	books, counts, orders := a.ledger.Books(), a.engine.Counts(), a.Orders()
	require.Equal(t, fills, books.Fills)
	require.Equal(t, cash.String(), books.Cash.String())
	require.Len(t, last, orders.Sent-orders.Rejected, "each order is there once")
	for id, status := range last {
		require.Contains(t, []string{wire.Filled, wire.Canceled}, status, id)
	}
	require.LessOrEqual(t, orders.Sent, counts.Orders, "an order that is placed as the run ends is not sent")
	for _, q := range a.engine.Bus().Stats().Queues {
		require.Equal(t, q.Accepted, q.Handled+q.Conflated)
	}
}

func TestEngineTradesLiveAndEndsInOrder(t *testing.T) {
	address := run(t, exchange.Config{Symbols: []string{"A", "B", "C"}, Interval: time.Second, Speed: 20, Seed: 1, Rejects: 0.3,
		Latency: time.Millisecond, Drop: 700 * time.Millisecond}, asItIs)
	a := newAccount(t, address)
	a.trade(t, 3*time.Second)
	requireSameBooks(t, a, address)
	books, orders := a.ledger.Books(), a.Orders()
	require.Greater(t, a.stream.Connections, 2)
	require.Greater(t, a.stream.Candles, 30)
	require.Positive(t, books.Parts)
	require.Positive(t, orders.Rejected)
	require.Positive(t, a.engine.Bus().Stats().Queues[eventbus.DataQueue].Conflated, "quotes come in bursts")
}

func TestOrderWithoutAnAnswerIsSentAgainAndTakenOnce(t *testing.T) {
	var posts, broken atomic.Int64
	address := run(t, exchange.Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 20, Seed: 2}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && posts.Add(1)%2 == 1 {
				h.ServeHTTP(httptest.NewRecorder(), r) // the exchange takes it, and the answer is lost
				broken.Add(1)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	})
	a := newAccount(t, address)
	a.trade(t, 2*time.Second)
	require.Positive(t, broken.Load())
	require.EqualValues(t, broken.Load(), a.Orders().Resent)
	requireSameBooks(t, a, address)
}

func TestUserStreamGoesOnWhereItEnded(t *testing.T) {
	var connections atomic.Int64
	address := run(t, exchange.Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 20, Seed: 3}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/ws/user") {
				connections.Add(1)
				ctx, cancel := context.WithTimeout(r.Context(), 150*time.Millisecond)
				defer cancel()
				r = r.WithContext(ctx)
			}
			h.ServeHTTP(w, r)
		})
	})
	a := newAccount(t, address)
	a.trade(t, 2*time.Second)
	require.Greater(t, connections.Load(), int64(3))
	require.Positive(t, a.ledger.Books().Fills)
	requireSameBooks(t, a, address)
}

func TestVenueThatDoesNotAnswerEndsTheRunWithAnError(t *testing.T) {
	address := run(t, exchange.Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 20, Seed: 2}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	a := newAccount(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := a.engine.Run(ctx)
	require.ErrorContains(t, err, "whether the exchange has it is not known: status 502 Bad Gateway: want 200")
}
