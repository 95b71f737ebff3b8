package eventbus_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// stops are the two ways to stop a bus that was started with a context of its
// own.
var stops = map[string]func(b *eventbus.Bus, endContext func()){
	"Stop":                       func(b *eventbus.Bus, _ func()) { b.Stop() },
	"the end of Start's context": func(_ *eventbus.Bus, endContext func()) { endContext() },
}

func TestStopLetsTheEventAtHandGoThroughItsHandlersAndKeepsTheRest(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				entered, release := make(chan struct{}, 1), make(chan struct{})
				var got journal[int]
				b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { entered <- struct{}{}; <-release; return nil })
				b.SubscribeFunc("order", got.handle)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				require.NoError(t, b.Start(ctx))
				publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
				receive(t, entered)
				instantly(t, name, func() { stop(b, cancel) })
				synctest.Wait()
				require.False(t, b.Stats().Running)
				close(release)
				time.Sleep(time.Hour)
				require.Equal(t, []int{0}, got.all())
				require.Equal(t, 2, b.Stats().Queues[eventbus.OrderQueue].Depth)
				go func() { <-entered; <-entered }()
				start(t, b)
				flush(t, b)
				require.Equal(t, []int{0, 1, 2}, got.all())
			})
		})
	}
}

// The handlers' context lives as long as handlers can need it, and no longer.
func TestTheHandlersContextEndsWithStartsAndWithTheLastHandlerAfterStop(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				contexts, release := make(chan context.Context, 1), make(chan struct{})
				b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error { contexts <- ctx; <-release; return nil })
				base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "the value"))
				defer cancel()
				require.NoError(t, b.Start(base))
				publish(t, b, eventbus.OrderQueue, "order", 0)
				ctx := receive(t, contexts)
				require.Equal(t, "the value", ctx.Value(key{}))
				stop(b, cancel)
				synctest.Wait()
				require.Equal(t, base.Err(), ctx.Err(), "while the handler runs")
				close(release)
				synctest.Wait()
				require.ErrorIs(t, ctx.Err(), context.Canceled, "when it has returned")
			})
		})
	}
}

type key struct{}

// With a poll of an hour, who left at the next poll would be late.
func TestAnIdleProcessorLeavesAtOnceWhenTold(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var log logbook
				b := newBus(t, noPoll, log.logger())
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				require.NoError(t, b.Start(ctx))
				time.Sleep(time.Minute)
				stop(b, cancel)
				synctest.Wait()
				require.Len(t, log.find("eventbus: processor stopped"), 3)
			})
		})
	}
}

// A processor asks the logger for its level whenever it has woken.
type wakeCounter struct {
	slog.Handler
	wakes *atomic.Int64
}

func (c wakeCounter) Enabled(context.Context, slog.Level) bool {
	c.wakes.Add(1)
	return false
}

func TestAnIdleBusWakesOnceAPoll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wakes atomic.Int64
		b := newBus(t, eventbus.WithLogger(slog.New(wakeCounter{slog.DiscardHandler, &wakes})))
		start(t, b)
		time.Sleep(50 * time.Millisecond)
		wakes.Store(0)
		time.Sleep(time.Minute)
		require.EqualValues(t, 3*600, wakes.Load())
	})
}

func TestABusThatDoesNotRunIsShutDownAtOnceAndRunsNothing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *eventbus.Bus){
		"never started": func(*testing.T, *eventbus.Bus) {},
		"stopped":       func(t *testing.T, b *eventbus.Bus) { start(t, b); b.Stop(); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				var got journal[int]
				b.SubscribeFunc("tick", got.handle)
				prepare(t, b)
				for _, q := range everyQueue {
					publish(t, b, q, "tick", 0, 1, 2)
				}
				var left *eventbus.ShutdownError
				instantly(t, "Shutdown", func() { require.ErrorAs(t, b.Shutdown(context.Background()), &left) })
				require.ErrorIs(t, left, eventbus.ErrNotRunning)
				for _, q := range everyQueue {
					require.Equal(t, []int{0, 1, 2}, numbersOf(left.Remaining[q]))
				}
				require.ErrorContains(t, left, "3 on the data queue, 3 on the signal queue, 3 on the order queue")
				time.Sleep(time.Hour)
				require.Empty(t, got.all())
			})
		})
	}
}

// A handler that never returns costs its own queue, and nothing else.
func TestAHandlerThatNeverReturnsBlocksItsQueueAndIsNotDetached(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger())
		never := make(chan struct{})
		var got journal[int]
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { <-never; return nil })
		b.SubscribeFunc("order", got.handle)
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		time.Sleep(1000 * time.Hour)
		require.Empty(t, got.all())
		require.Len(t, log.find("eventbus: slow handler is still running"), 1)
		require.Len(t, b.Stats().Handlers, 2)
		publish(t, b, eventbus.SignalQueue, "other", 0)
		synctest.Wait()
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.SignalQueue].Handled)
		close(never)
		flush(t, b)
		require.Equal(t, []int{0, 1}, got.all())
	})
}

// Whatever the bus tells an error handler or a logger, it holds no lock that
// they could need.
func TestErrorHandlersAndLoggersMayCallEveryMethod(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var b *eventbus.Bus
		var asked sync.Map
		ask := func(ctx context.Context, where string) {
			if _, again := asked.LoadOrStore(where, true); again { // what it calls is logged too
				return
			}
			b.SubscribeFunc("another", func(context.Context, eventbus.Event) error { return nil }).Unsubscribe()
			_ = b.TryPublish(ctx, eventbus.DataQueue, event("another", 0))
			_ = b.Publish(ended(), eventbus.SignalQueue, event("another", 0))
			if b.Stats().Running {
				b.Stop()
				_ = b.Start(context.Background())
			}
		}
		log := logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) { ask(context.Background(), r.Message) }}
		b = newBus(t, noPoll, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0),
			eventbus.WithErrorHandler(func(ctx context.Context, _ *eventbus.HandlerError) { ask(ctx, "error handler") }))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return errBroken })
		for range 2 {
			_ = b.Publish(context.Background(), eventbus.DataQueue, event("nobody's", 0))
		}
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 0)
		flush(t, b)
		b.Stop()
		time.Sleep(time.Hour)
		for _, where := range []string{
			"error handler", "eventbus: handler failed", "eventbus: processor started", "eventbus: processor stopped",
			"eventbus: calling handler", "eventbus: event has no handler", "eventbus: queue is full, dropped an event",
			"eventbus: slow handler is still running", "eventbus: slow handler has ended",
		} {
			_, ok := asked.Load(where)
			require.True(t, ok, where)
		}
	})
}

func TestTenMillisecondsAreSlowUnlessAnOptionSaysOtherwise(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger())
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error { time.Sleep(e.Data.(time.Duration)); return nil })
		publish(t, b, eventbus.OrderQueue, "order", 9*time.Millisecond)
		flush(t, b)
		require.Empty(t, log.above(slog.LevelInfo))
		publish(t, b, eventbus.OrderQueue, "order", 36*time.Millisecond) // seen within 25 ms of the limit
		flush(t, b)
		require.Len(t, log.find("eventbus: slow handler is still running"), 1)
	})
}
