package eventbus_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

func TestPauseInsideAHandlerLetsItsEventFinish(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		var calls []string
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls = append(calls, "first")
			return b.Pause(eventbus.OrderQueue)
		})
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls = append(calls, "second")
			return nil
		})
		for range 2 {
			publish(t, b, eventbus.OrderQueue, "e", nil)
		}
		start(t, b)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Equal(t, []string{"first", "second"}, calls)
		b.Stop()
		start(t, b) // it stays paused
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Len(t, calls, 2)
	})
}

func TestRunUntilIdleLeavesPausedQueuesAlone(t *testing.T) {
	b := newBus(t)
	require.NoError(t, b.Pause(eventbus.OrderQueue))
	for _, q := range bustest.EveryQueue {
		publish(t, b, q, "e", nil)
	}
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 2, handled)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	handled, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, handled)
}

// runtime.Goexit has interrupted an event, which goes on when the bus is started. The
// one behind it must not begin.
func TestPauseInAStepHoldsWhenTheBusIsStarted(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		calls := 0
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls++
			assert.NoError(t, b.Pause(eventbus.OrderQueue))
			runtime.Goexit()
			return nil
		})
		for range 2 {
			publish(t, b, eventbus.OrderQueue, "e", nil)
		}
		go func() { _, _ = b.RunUntilIdle(context.Background()) }()
		synctest.Wait()
		start(t, b)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Equal(t, 1, calls)
	})
}

func TestPauseRefusesQueuesThatDoNotExist(t *testing.T) {
	b := newBus(t)
	require.ErrorIs(t, b.Pause(3), eventbus.ErrUnknownQueue)
	require.ErrorIs(t, b.Resume(3), eventbus.ErrUnknownQueue)
}

// A processor that is about to sleep, and has taken an event that it must not
// begin, loses neither that one nor its place.
func TestPauseAndResumeLoseNothingAndKeepTheOrder(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			var handled []int
			b.SubscribeFunc("e", func(_ context.Context, e eventbus.Event) error {
				handled = append(handled, e.Data.(int))
				return nil
			})
			start(t, b)
			ctx := bustest.Within(t, time.Minute)
			done := make(chan bool)
			go func() {
				defer close(done)
				for range many(20_000) {
					assert.NoError(t, b.Pause(eventbus.OrderQueue))
					assert.NoError(t, b.Resume(eventbus.OrderQueue))
				}
			}()
			published := 0
			for round, pausing := 0, true; pausing; round++ {
				for range round % 4 {
					require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "e", Data: published}))
					published++
				}
				for range round % 50 { // so that the processor sometimes sleeps
					runtime.Gosched()
				}
				select {
				case <-done:
					pausing = false
				default:
				}
			}
			require.NoError(t, b.Shutdown(ctx))
			require.Len(t, handled, published)
			for i, n := range handled {
				require.Equal(t, i, n)
			}
		})
	}
}

// A paused queue that drops the oldest leaves its processor asleep, but for once a group
// of events: it is not woken, and its logger not asked, for each.
func TestPauseLetsTheProcessorOfAQueueThatEvictsSleep(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"its own": nil, "one for all": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var woken atomic.Int64
				b := newBus(t, append(opts, eventbus.WithLogger(slog.New(wakeCounter{slog.DiscardHandler, &woken})),
					capacity(eventbus.DataQueue, 10, eventbus.DropOldest, 0))...)
				start(t, b)
				require.NoError(t, b.Pause(eventbus.DataQueue))
				synctest.Wait()
				before := woken.Load()
				for n := range 320 {
					publish(t, b, eventbus.DataQueue, tick, n)
					synctest.Wait()
				}
				require.LessOrEqual(t, woken.Load()-before, int64(40))
				require.NoError(t, b.Resume(eventbus.DataQueue))
				shutdown(t, b)
			})
		})
	}
}

// Flush looks at the bus while a handler pauses its queue, and must not take the
// rest of the queue for handled.
func TestFlushTellsOfAQueueThatIsPausedMeanwhile(t *testing.T) {
	b := newBus(t)
	var handled atomic.Int64
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
		handled.Add(1)
		return b.Pause(eventbus.OrderQueue)
	})
	for range many(5_000) {
		handled.Store(0)
		publish(t, b, eventbus.OrderQueue, "e", 1, 2)
		_ = b.Start(context.Background())
		err := b.Flush(bustest.Within(t, bustest.Patience))
		if n := handled.Load(); n != 2 {
			require.ErrorIs(t, err, eventbus.ErrPaused, "%d of 2 events were handled", n)
		}
		for handled.Load() < 2 {
			require.NoError(t, b.Resume(eventbus.OrderQueue))
			runtime.Gosched()
		}
		require.NoError(t, b.Resume(eventbus.OrderQueue))
		bustest.Flush(t, b)
	}
}

func TestShutdownHandsBackWhatAPausedQueueHolds(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			return b.Publish(ctx, eventbus.SignalQueue, eventbus.Event{Type: "signal", Data: e.Data})
		})
		b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error {
			t.Error("a paused queue began an event")
			return nil
		})
		require.NoError(t, b.Pause(eventbus.SignalQueue))
		start(t, b)
		for i := range 2 {
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		left := leftBy(t, b.Shutdown(context.Background()))
		require.ErrorIs(t, left, eventbus.ErrPaused)
		require.Len(t, left.Remaining, 1)
		require.Equal(t, []any{0, 1}, []any{left.Remaining[eventbus.SignalQueue][0].Data, left.Remaining[eventbus.SignalQueue][1].Data})
	})
}
