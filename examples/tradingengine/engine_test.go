package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/examples/tradingengine/candles"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
)

// candleFunc is a candle source made of a function.
type candleFunc func() (Candle, error)

func (f candleFunc) Next() (Candle, error) { return f() }

// firstOfSP500 is the first n rows of the embedded data, with atEnd called in place of the row after them.
func firstOfSP500(t *testing.T, n int, atEnd func() (Candle, error)) candleSource {
	t.Helper()
	r, err := candles.NewReader("sp500-2000.csv", strings.NewReader(sp500), candles.Options{Digits: maxDecimals})
	require.NoError(t, err)
	return candleFunc(func() (Candle, error) {
		if n == 0 {
			return atEnd()
		}
		n--
		return r.Next()
	})
}

func testEngine(t *testing.T, candles candleSource) *engine {
	t.Helper()
	o, err := parseOptions([]string{"-fast", "5", "-slow", "20"}, io.Discard)
	require.NoError(t, err)
	e, err := newEngine(o, candles, func() {}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return e
}

func endOfFile() (Candle, error) { return Candle{}, io.EOF }

func TestInterruptedRunIsTheRunOfAShorterFile(t *testing.T) {
	for _, n := range []int{0, 1, 21, 1000} {
		short, err := testEngine(t, firstOfSP500(t, n, endOfFile)).run(t.Context())
		require.NoError(t, err)
		require.False(t, short.interrupted)

		ctx, cancel := context.WithCancel(t.Context())
		source := firstOfSP500(t, n, func() (Candle, error) {
			cancel()
			return Candle{}, errors.New("the file was closed")
		})
		cut, err := testEngine(t, source).run(ctx)
		require.NoError(t, err)
		require.True(t, cut.interrupted)
		require.Equal(t, n, cut.candles)

		cut.interrupted, cut.elapsed, short.elapsed = false, 0, 0
		require.Equal(t, short, cut)
	}
}

func TestInterruptDuringACandleLetsItFinish(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := testEngine(t, firstOfSP500(t, 1000, endOfFile))
	candleUpdate.Subscribe(e.bus, func(context.Context, Opening) error {
		if e.portfolio.candles == 99 {
			cancel()
		}
		return nil
	})
	r, err := e.run(ctx)
	require.NoError(t, err)
	require.True(t, r.interrupted)
	require.Equal(t, 100, r.candles)
}

func TestCandleOpensBeforeItCloses(t *testing.T) {
	first, err := firstOfSP500(t, 1, endOfFile).Next()
	require.NoError(t, err)
	e := testEngine(t, firstOfSP500(t, 1, endOfFile))
	rec := eventbustest.NewRecorder(t, e.bus).Within(0)
	_, err = e.run(t.Context())
	require.NoError(t, err)
	rec.Expect(t,
		eventbustest.Payload(eventbus.CandleUpdate, Opening{Time: first.Time, Price: first.Open}),
		eventbustest.Payload(eventbus.CandleClosed, first))
	rec.ExpectNone(t)
}

func TestInterruptedProgramStillReports(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, stdout, stderr := program(t, ctx)
	require.Equal(t, exitInterrupted, status)
	require.Contains(t, stderr, "tradingengine: interrupted after 0 candles; the report covers these\n")
	require.Contains(t, stdout, "S&P 500 (interrupted)\n")
	require.Contains(t, stdout, "events a second")
}

func TestHandlerFailureEndsTheRun(t *testing.T) {
	broken := errors.New("broken")
	for name, handle := range map[string]func(Candle) error{
		"error": func(Candle) error { return broken },
		"panic": func(Candle) error { panic(broken) },
	} {
		for _, last := range []int{100, 200} {
			e := testEngine(t, firstOfSP500(t, 200, endOfFile))
			candleClosed.Subscribe(e.bus, func(_ context.Context, c Candle) error {
				if e.portfolio.candles == last {
					return handle(c)
				}
				return nil
			}, eventbus.WithName("broken"))
			_, err := e.run(t.Context())
			var failed *eventbus.HandlerError
			require.ErrorAs(t, err, &failed, name)
			require.ErrorIs(t, err, broken, name)
			require.Equal(t, "broken", failed.Handler)
			require.Equal(t, last, e.portfolio.candles, "no candle after the failure")
		}
	}
}

func TestWrongPayloadIsAHandlerError(t *testing.T) {
	e := testEngine(t, firstOfSP500(t, 1, func() (Candle, error) { return Candle{}, io.EOF }))
	require.NoError(t, e.bus.Publish(t.Context(), eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderFilled, "no fill", "test")))
	_, err := e.run(t.Context())
	require.ErrorContains(t, err, "the event carries a string, the topic order_filled takes a main.Fill")
}

func TestReadErrorEndsTheRun(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, err := testEngine(t, firstOfSP500(t, 3, func() (Candle, error) { return Candle{}, broken })).run(t.Context())
	require.ErrorIs(t, err, broken)
}

func TestClosedBusEndsTheRun(t *testing.T) {
	e := testEngine(t, firstOfSP500(t, 3, endOfFile))
	require.NoError(t, e.bus.Shutdown(t.Context()))
	_, err := e.run(t.Context())
	require.ErrorIs(t, err, eventbus.ErrClosed)
	require.ErrorIs(t, e.feed.run(t.Context()), eventbus.ErrClosed)
}

func TestNilLoggerIsRefused(t *testing.T) {
	_, err := newEngine(options{fast: 1, slow: 2}, nil, func() {}, nil)
	require.Error(t, err)
}

func TestStrategySignalsCrossingsOnly(t *testing.T) {
	for name, c := range map[string]struct {
		closes string
		want   []Side
	}{
		"too few":                   {"1 2", nil},
		"above from the start":      {"1 2 3 4", nil},
		"crosses above":             {"3 2 1 9", []Side{Buy}},
		"crosses below":             {"1 2 3 1", []Side{Sell}},
		"touches from above":        {"1 2 2 2 3", []Side{Buy}},
		"through from above":        {"1 2 3 3 3 2", []Side{Sell}},
		"equal at first, then over": {"5 5 5 6", []Side{Buy}},
		"equal at first, under":     {"5 5 5 4", []Side{Sell}},
		"there and back":            {"3 2 1 9 1", []Side{Buy, Sell}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, signalsOf(t, strings.Fields(c.closes))) })
	}
}

// signalsOf is what averages over 1 and 3 candles make of the closes.
func signalsOf(t *testing.T, closes []string) (sides []Side) {
	t.Helper()
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus)
	s := newStrategy(bus, 1, 3)
	for _, c := range closes {
		require.NoError(t, s.onClose(t.Context(), Candle{Close: decimal.MustParse(c)}))
	}
	require.NoError(t, bus.Flush(t.Context()))
	for _, e := range rec.Events() {
		sides = append(sides, e.Data.(Signal).Side)
	}
	require.Equal(t, len(sides), s.signals)
	return sides
}

func TestOrderManagerHasOneOrderAtATime(t *testing.T) {
	m := newOrderManager(eventbustest.New(t), decimal.MustParse("10"), decimal.MustParse("1000"))
	signal := func(side Side) Signal { return Signal{Side: side, Close: decimal.MustParse("3")} }

	_, ok := m.order(signal(Sell))
	require.False(t, ok, "there is nothing to sell")
	order, ok := m.order(signal(Buy))
	require.True(t, ok)
	require.Equal(t, "330", order.Quantity.String())
	require.Equal(t, "1000", order.Budget.String())
	_, ok = m.order(signal(Buy))
	require.False(t, ok, "an order is working")
	_, ok = m.order(signal(Sell))
	require.False(t, ok, "an order is working")

	require.NoError(t, m.onCancelled(t.Context(), Cancellation{Order: order}))
	_, ok = m.order(signal(Buy))
	require.True(t, ok)
	require.NoError(t, m.onAccount(t.Context(), Account{Cash: decimal.MustParse("10"), Position: decimal.MustParse("330")}))
	_, ok = m.order(signal(Buy))
	require.False(t, ok, "there is a position")
	order, ok = m.order(signal(Sell))
	require.True(t, ok)
	require.Equal(t, "330", order.Quantity.String())
	require.NoError(t, m.onAccount(t.Context(), Account{Cash: decimal.MustParse("29.99")}))
	_, ok = m.order(signal(Buy))
	require.False(t, ok, "the cash does not cover a lot")
	require.Equal(t, 3, m.orders)
}

func TestBrokerFillsAtTheOpenWhatTheBudgetCovers(t *testing.T) {
	for name, c := range map[string]struct {
		open string
		want string // quantity; empty: cancelled
	}{
		"as ordered":      {"10", "9"},
		"cheaper":         {"5", "9"},
		"a part":          {"15", "6"},
		"exactly one lot": {"33.333333", "3"},
		"not a lot":       {"33.4", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bus := eventbustest.New(t, eventbustest.NotStarted())
			rec := eventbustest.NewRecorder(t, bus).Within(0)
			b := newBroker(bus, decimal.MustParse("3"))
			order := Order{ID: 1, Side: Buy, Quantity: decimal.MustParse("9"), Budget: decimal.MustParse("100")}
			opening := Opening{Time: time.Unix(7, 0), Price: decimal.MustParse(c.open)}
			require.NoError(t, b.execute(t.Context(), order, opening))
			_, err := bus.RunUntilIdle(t.Context())
			require.NoError(t, err)
			if c.want == "" {
				rec.Expect(t, eventbustest.Type(eventbus.OrderUpdate))
				require.Equal(t, 1, b.cancelled)
			} else {
				rec.Expect(t, eventbustest.PayloadFunc(eventbus.OrderFilled, c.want+" at the open", func(f Fill) bool {
					return f.Quantity.String() == c.want && f.Price.String() == c.open && f.Time == opening.Time
				}))
			}
			rec.ExpectNone(t)
		})
	}
}

func TestModesGiveTheSameReport(t *testing.T) {
	_, want, _ := program(t, t.Context(), "-json")
	for _, m := range []mode{live, single, step} {
		status, got, stderr := program(t, t.Context(), "-json", "-mode", string(m))
		require.Equal(t, exitOK, status, stderr)
		require.JSONEq(t, want, got, m)
	}
	status, _, stderr := program(t, t.Context(), "-mode", "fast")
	require.Equal(t, exitUsage, status)
	require.Contains(t, stderr, `-mode "fast": must be live, single or step`)
}
