package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func TestABlockingHandlerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var seen journal[int]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(50 * time.Millisecond)
			return seen.handle(ctx, e)
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", numbers(3)...)
		flush(t, b)
		require.Equal(t, []int{0, 1, 2}, seen.all())
	})
}

func TestAPlainHandlerIsCalled(t *testing.T) {
	b := newBus(t)
	var seen journal[int]
	b.SubscribeFunc("tick", seen.handle)
	start(t, b)
	publish(t, b, eventbus.SignalQueue, "tick", 7)
	flush(t, b)
	require.Equal(t, []int{7}, seen.all())
}

// failures are the ways in which a handler fails.
var failures = map[string]func() error{
	"error":          func() error { return errBroken },
	"panic":          func() error { panic("broken") },
	"panic of error": func() error { panic(errBroken) },
	"panic of nil":   func() error { panic(nil) }, //nolint:govet // on purpose
	"Goexit":         func() error { runtime.Goexit(); return nil },
}

var errBroken = errors.New("broken")

func TestOneHandlersFailureLeavesTheOthersRunning(t *testing.T) {
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			var reports journal[*eventbus.HandlerError]
			b := newBus(t, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { reports.add(err) }))
			var before, after journal[int]
			b.SubscribeFunc("tick", before.handle)
			b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return fail() }, eventbus.WithName("failing"))
			b.SubscribeFunc("tick", after.handle)
			start(t, b)
			publish(t, b, eventbus.DataQueue, "tick", numbers(20)...)
			flush(t, b)
			require.Len(t, before.all(), 20)
			require.Equal(t, before.all(), after.all())
			require.Len(t, reports.all(), 20)
			for _, r := range reports.all() {
				require.Equal(t, "failing", r.Handler)
				require.Equal(t, eventbus.DataQueue, r.Queue)
				require.ErrorContains(t, r, "failing")
			}
			q := b.Stats().Queues[eventbus.DataQueue]
			require.EqualValues(t, 20, q.Handled)
			require.EqualValues(t, 20, q.Failed)
		})
	}
}

func panicDeepDown() error { panic(errBroken) }

func TestTheProcessorGoesOnAfterFailures(t *testing.T) {
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			var seen journal[int]
			b.SubscribeFunc("bad", func(context.Context, eventbus.Event) error { return fail() })
			b.SubscribeFunc("good", seen.handle)
			start(t, b)
			for i := range 50 {
				publish(t, b, eventbus.DataQueue, "bad", i)
				publish(t, b, eventbus.DataQueue, "good", i)
			}
			flush(t, b)
			require.Len(t, seen.all(), 50)
		})
	}
}

func TestAnEmptyQueuePollsWithoutFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		var seen journal[int]
		b.SubscribeFunc("tick", seen.handle)
		start(t, b)
		time.Sleep(time.Minute)
		require.Empty(t, log.above(slog.LevelInfo))
		publish(t, b, eventbus.DataQueue, "tick", 1)
		flush(t, b)
		require.Equal(t, []int{1}, seen.all())
	})
}

func TestTheProcessorEndsWithinHalfASecondOfStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		start(t, b)
		synctest.Wait()
		began := time.Now()
		b.Stop()
		synctest.Wait()
		ends := log.find("eventbus: processor stopped")
		require.Len(t, ends, 3)
		for _, end := range ends {
			require.Less(t, end.at.Sub(began), 500*time.Millisecond)
		}
	})
}

func TestHandlersRunOneAfterAnother(t *testing.T) {
	b := newBus(t)
	var running, most atomic.Int32
	var order journal[int]
	for i := range 5 {
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error {
			most.Store(max(most.Load(), running.Add(1)))
			runtime.Gosched()
			order.add(i)
			running.Add(-1)
			return nil
		})
	}
	start(t, b)
	publish(t, b, eventbus.DataQueue, "tick", numbers(100)...)
	flush(t, b)
	require.EqualValues(t, 1, most.Load())
	for i, h := range order.all() {
		require.Equal(t, i%5, h)
	}
}

func TestALoggerThatFailsKeepsNoHandlerFromItsEvent(t *testing.T) {
	for _, message := range []string{
		"eventbus: processor started", "eventbus: calling handler", "eventbus: event has no handler",
		"eventbus: handler failed", "eventbus: processor failure", "eventbus: processor stopped", "",
	} {
		for name, fail := range map[string]func(){"panics": func() { panic("logger") }, "exits": runtime.Goexit} {
			t.Run(message+" "+name, func(t *testing.T) {
				log := logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
					if message == "" || r.Message == message {
						fail()
					}
				}}
				var reports atomic.Int32
				b := newBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports.Add(1) }))
				var first, last journal[int]
				b.SubscribeFunc("tick", first.handle)
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return errBroken })
				b.SubscribeFunc("tick", last.handle)
				start(t, b)
				publish(t, b, eventbus.DataQueue, "nobody's", 0)
				publish(t, b, eventbus.DataQueue, "tick", 1, 2)
				publish(t, b, eventbus.DataQueue, "nobody's", 3)
				flush(t, b)
				require.Equal(t, []int{1, 2}, first.all())
				require.Equal(t, []int{1, 2}, last.all())
				require.EqualValues(t, 2, reports.Load())
				shutdown(t, b)
			})
		}
	}
}

// A deafLogger cannot even say what its level is.
type deafLogger struct{ *logbook }

func (deafLogger) Enabled(_ context.Context, l slog.Level) bool {
	if l == slog.LevelDebug {
		panic("deaf")
	}
	return true
}

func TestAFailureOfTheProcessorItselfIsLoggedAsCriticalAndItGoesOn(t *testing.T) {
	var log logbook
	b := newBus(t, eventbus.WithLogger(slog.New(deafLogger{&log})))
	var seen journal[int]
	b.SubscribeFunc("tick", seen.handle)
	start(t, b)
	publish(t, b, eventbus.DataQueue, "tick", numbers(10)...)
	flush(t, b)
	shutdown(t, b)
	require.Len(t, seen.all(), 10)
	found := log.find("eventbus: processor failure")
	require.Len(t, found, 3)
	require.Equal(t, slog.LevelError+4, found[0].level)
}

func TestAnErrorHandlerThatPanicsIsContained(t *testing.T) {
	b := newBus(t, eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { panic("error handler") }))
	var seen journal[int]
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return errBroken })
	b.SubscribeFunc("tick", seen.handle)
	start(t, b)
	publish(t, b, eventbus.DataQueue, "tick", numbers(10)...)
	flush(t, b)
	require.Len(t, seen.all(), 10)
}

func TestWithheldLogRecordsAreCountedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return errBroken })
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", numbers(100)...)
		flush(t, b)
		require.Len(t, log.find("eventbus: handler failed"), 10)
		time.Sleep(2 * time.Second)
		more := log.find("eventbus: handler failed more often")
		require.Len(t, more, 1)
		require.EqualValues(t, 90, more[0].attrs["failures"])
	})
}

func TestStartKeepsAProcessorThatHasNotLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var contexts journal[context.Context]
		g := newGate(t)
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			contexts.add(ctx)
			g.entered <- e
			<-g.release
			return nil
		})
		first, cancel := context.WithCancel(context.Background())
		require.NoError(t, b.Start(first))
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		receive(t, g.entered)
		cancel()
		synctest.Wait()
		require.False(t, b.Stats().Running)
		start(t, b)
		require.ErrorIs(t, b.Start(context.Background()), eventbus.ErrRunning)
		g.open()
		flush(t, b)
		require.Error(t, contexts.all()[0].Err())
		require.NoError(t, contexts.all()[1].Err())
	})
}

func TestNothingPublishedAfterStopIsHandledBeforeTheNextStart(t *testing.T) {
	for range 2000 {
		b := newBus(t)
		var handled atomic.Int32
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
		start(t, b)
		b.Stop()
		publish(t, b, eventbus.DataQueue, "tick", 1)
		runtime.Gosched()
		require.Zero(t, handled.Load())
		start(t, b)
		flush(t, b)
		require.EqualValues(t, 1, handled.Load())
		shutdown(t, b)
	}
}

func TestABusStartedWhileItsProcessorsLeaveGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *eventbus.Bus
		var restarted atomic.Bool
		log := logbook{onRecord: func(r slog.Record) {
			if r.Message == "eventbus: processor stopped" && restarted.CompareAndSwap(false, true) {
				start(t, b)
			}
		}}
		b = newBus(t, log.logger())
		var seen journal[int]
		b.SubscribeFunc("tick", seen.handle)
		start(t, b)
		synctest.Wait()
		b.Stop()
		synctest.Wait()
		require.True(t, b.Stats().Running)
		for _, q := range []eventbus.Queue{eventbus.DataQueue, eventbus.SignalQueue, eventbus.OrderQueue} {
			publish(t, b, q, "tick", 1)
		}
		flush(t, b)
		require.Len(t, seen.all(), 3)
	})
}
