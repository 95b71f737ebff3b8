package eventbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestEachRecordHasItsLevelAndSaysWhatItIsAbout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := logbook{level: slog.LevelDebug}
		b := newBus(t, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return errBroken }, eventbus.WithName("returns"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return panicDeepDown() }, eventbus.WithName("panics"))
		b.SubscribeFunc("slow", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil }, eventbus.WithName("sleeps"))
		publish(t, b, eventbus.DataQueue, "nobody's", 0)
		require.Error(t, b.TryPublish(t.Context(), eventbus.DataQueue, event("nobody's", 1)))
		require.Error(t, b.Publish(t.Context(), eventbus.DataQueue, event("nobody's", 1)))
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 0)
		publish(t, b, eventbus.SignalQueue, "slow", 0)
		shutdown(t, b)

		find := func(message string, level slog.Level, n int) []record {
			t.Helper()
			found := log.find(message)
			require.Len(t, found, n, message)
			for _, r := range found {
				require.Equal(t, level, r.level, message)
			}
			return found
		}
		about := func(r record, keys ...string) []string {
			var values []string
			for _, k := range keys {
				values = append(values, fmt.Sprint(r.attrs[k]))
			}
			return values
		}
		find("eventbus: processor started", slog.LevelInfo, 3)
		find("eventbus: processor stopped", slog.LevelInfo, 3)
		called := find("eventbus: calling handler", slog.LevelDebug, 3)
		for _, r := range called {
			require.Contains(t, []string{"[returns order order]", "[panics order order]", "[sleeps signal slow]"}, fmt.Sprint(about(r, "handler", "queue", "type")))
		}
		nobody := find("eventbus: event has no handler", slog.LevelDebug, 1)
		require.Equal(t, []string{"data", "nobody's"}, about(nobody[0], "queue", "type"))
		dropped := find("eventbus: queue is full, dropped an event", slog.LevelWarn, 1)
		require.Equal(t, []string{"data", "1", "1"}, about(dropped[0], "queue", "capacity", "events"))
		slow := find("eventbus: slow handler is still running", slog.LevelWarn, 1)
		require.Equal(t, []string{"sleeps", "signal", "slow"}, about(slow[0], "handler", "queue", "type"))
		find("eventbus: slow handler has ended", slog.LevelWarn, 1)
		failed := find("eventbus: handler failed", slog.LevelError, 2)
		require.Equal(t, []string{"returns", "order", "order", "broken"}, about(failed[0], "handler", "queue", "type", "error"))
		require.NotContains(t, failed[0].attrs, "stack")
		require.Equal(t, []string{"panics", "order", "order", "panic: broken"}, about(failed[1], "handler", "queue", "type", "error"))
		require.Contains(t, failed[1].attrs["stack"], "panicDeepDown")
		require.Len(t, log.records, 3+3+3+1+1+1+1+2)
	})
}

// A logger that is not interested in DEBUG is asked once a run, not once a call.
func TestHandlerCallsCostTheLoggerNothingWhileDebugIsOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		b := newBus(t, noPoll, eventbus.WithLogger(slog.New(wakeCounter{slog.DiscardHandler, &asked})))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil })
		publish(t, b, eventbus.DataQueue, "tick", numbers(1000)...)
		start(t, b)
		shutdown(t, b)
		require.Less(t, asked.Load(), int64(50))
	})
}

func TestTenFailuresASecondOfEachHandlerAreLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelError}
		reports := 0
		b := newBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports++ }))
		for _, name := range []string{"one", "two"} {
			b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return errBroken }, eventbus.WithName(name))
		}
		start(t, b)
		for range 3 {
			publish(t, b, eventbus.DataQueue, "tick", numbers(100)...)
			flush(t, b)
			time.Sleep(2500 * time.Millisecond) // the count is logged after one second, and is a record itself
		}
		require.Equal(t, 2*300, reports)
		logged, counted := make(map[any]int), make(map[any]uint64)
		for _, r := range log.find("eventbus: handler failed") {
			logged[r.attrs["handler"]]++
		}
		for _, r := range log.find("eventbus: handler failed more often") {
			counted[r.attrs["handler"]] += r.attrs["failures"].(uint64)
		}
		require.Equal(t, map[any]int{"one": 30, "two": 30}, logged)
		require.Equal(t, map[any]uint64{"one": 270, "two": 270}, counted)
		require.Len(t, log.find("eventbus: handler failed more often"), 2*3)
	})
}

func TestNoSlowHandlerIsReportedIfThatIsTurnedOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := newBus(t, log.logger(), eventbus.WithSlowHandler(0))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", 0)
		shutdown(t, b)
		require.Empty(t, log.above(slog.LevelDebug))
	})
}

type strategy struct{}

func (strategy) Handle(context.Context, eventbus.Event) error    { return nil }
func (*strategy) onCandle(context.Context, eventbus.Event) error { return nil }

func onCandle(context.Context, eventbus.Event) error { return nil }

func TestAHandlerIsCalledByItsNameElseItsFunctionElseItsType(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc("tick", onCandle, eventbus.WithName("mine"))
	b.Subscribe("tick", strategy{}, eventbus.WithName("my own"))
	b.SubscribeFunc("tick", onCandle)
	b.SubscribeFunc("tick", new(strategy).onCandle)
	b.Subscribe("tick", eventbus.HandlerFunc(onCandle))
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil })
	b.Subscribe("tick", strategy{})
	b.Subscribe("tick", new(strategy))
	var names []string
	for _, h := range b.Stats().Handlers {
		names = append(names, h.Name)
	}
	require.Equal(t, []string{
		"mine",
		"my own",
		"eventbus_test.onCandle",
		"eventbus_test.(*strategy).onCandle",
		"eventbus_test.onCandle",
		"eventbus_test.TestAHandlerIsCalledByItsNameElseItsFunctionElseItsType.func1",
		"eventbus_test.strategy",
		"*eventbus_test.strategy",
	}, names)
}
