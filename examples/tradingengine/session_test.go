package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// candleFunc is a candle source made of a function.
type candleFunc func() (candles.Candle, error)

func (f candleFunc) Next() (candles.Candle, error) { return f() }

// firstOfSP500 is the first n rows of the embedded data, with atEnd called in place of the row after them.
func firstOfSP500(t *testing.T, n int, atEnd func() (candles.Candle, error)) engine.Source {
	t.Helper()
	r, err := candles.NewReader("sp500-2000.csv", strings.NewReader(sp500), candles.Options{Digits: maxDecimals})
	require.NoError(t, err)
	return candleFunc(func() (candles.Candle, error) {
		if n == 0 {
			return atEnd()
		}
		n--
		return r.Next()
	})
}

// feedOf is the feed of a program that reads from source.
func feedOf(o options, source engine.Source) engine.Feed {
	return &engine.Replay{Candles: source, Stepped: o.mode == step}
}

func testSession(t *testing.T, source engine.Source) *session {
	t.Helper()
	o, err := parseOptions([]string{"-fast", "5", "-slow", "20"}, io.Discard)
	require.NoError(t, err)
	e, err := newSession(o, feedOf(o, source), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return e
}

func endOfFile() (candles.Candle, error) { return candles.Candle{}, io.EOF }

func TestInterruptedRunIsTheRunOfAShorterFile(t *testing.T) {
	for _, n := range []int{0, 1, 21, 1000} {
		short, err := testSession(t, firstOfSP500(t, n, endOfFile)).run(t.Context())
		require.NoError(t, err)
		require.False(t, short.Interrupted)

		ctx, cancel := context.WithCancel(t.Context())
		source := firstOfSP500(t, n, func() (candles.Candle, error) {
			cancel()
			return candles.Candle{}, errors.New("the file was closed")
		})
		cut, err := testSession(t, source).run(ctx)
		require.NoError(t, err)
		require.True(t, cut.Interrupted)
		require.Equal(t, n, cut.Candles)

		cut.Interrupted, cut.Took, short.Took = false, 0, 0
		require.Equal(t, short, cut)
	}
}

func TestInterruptDuringACandleLetsItFinish(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := testSession(t, firstOfSP500(t, 1000, endOfFile))
	engine.CandleUpdate.Subscribe(e.engine.Bus(), func(context.Context, engine.Opening) error {
		if e.ledger.Books().Candles == 99 {
			cancel()
		}
		return nil
	})
	r, err := e.run(ctx)
	require.NoError(t, err)
	require.True(t, r.Interrupted)
	require.Equal(t, 100, r.Candles)
}

func TestCandleOpensBeforeItCloses(t *testing.T) {
	first, err := firstOfSP500(t, 1, endOfFile).Next()
	require.NoError(t, err)
	e := testSession(t, firstOfSP500(t, 1, endOfFile))
	rec := eventbustest.NewRecorder(t, e.engine.Bus()).Within(0)
	_, err = e.run(t.Context())
	require.NoError(t, err)
	rec.Expect(t,
		eventbustest.Payload(eventbus.CandleUpdate, engine.Opening{Time: first.Time, Price: first.Open}),
		eventbustest.Payload(eventbus.CandleClosed, engine.Candle{Candle: first}),
		eventbustest.Type(engine.FeedEnded.Type()))
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
	for name, handle := range map[string]func(engine.Candle) error{
		"error": func(engine.Candle) error { return broken },
		"panic": func(engine.Candle) error { panic(broken) },
	} {
		for _, last := range []int{100, 200} {
			e := testSession(t, firstOfSP500(t, 200, endOfFile))
			engine.CandleClosed.Subscribe(e.engine.Bus(), func(_ context.Context, c engine.Candle) error {
				if e.ledger.Books().Candles == last {
					return handle(c)
				}
				return nil
			}, eventbus.WithName("broken"))
			_, err := e.run(t.Context())
			var failed *eventbus.HandlerError
			require.ErrorAs(t, err, &failed, name)
			require.ErrorIs(t, err, broken, name)
			require.Equal(t, "broken", failed.Handler)
			require.Equal(t, last, e.ledger.Books().Candles, "no candle after the failure")
		}
	}
}

func TestWrongPayloadIsAHandlerError(t *testing.T) {
	e := testSession(t, firstOfSP500(t, 1, func() (candles.Candle, error) { return candles.Candle{}, io.EOF }))
	require.NoError(t, e.engine.Bus().Publish(t.Context(), eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderFilled, "no fill", "test")))
	_, err := e.run(t.Context())
	require.ErrorContains(t, err, "the event carries a string, the topic order_filled takes a engine.Fill")
}

func TestReadErrorEndsTheRun(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, err := testSession(t, firstOfSP500(t, 3, func() (candles.Candle, error) { return candles.Candle{}, broken })).run(t.Context())
	require.ErrorIs(t, err, broken)
}

func TestClosedBusEndsTheRun(t *testing.T) {
	e := testSession(t, firstOfSP500(t, 3, endOfFile))
	require.NoError(t, e.engine.Bus().Shutdown(t.Context()))
	_, err := e.run(t.Context())
	require.ErrorIs(t, err, eventbus.ErrClosed)
}

func TestNilLoggerIsRefused(t *testing.T) {
	_, err := newSession(options{parameters: parameters{Fast: 1, Slow: 2, Lot: decimal.One, Cash: decimal.One}}, feedOf(options{}, candleFunc(endOfFile)), nil)
	require.Error(t, err)
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
