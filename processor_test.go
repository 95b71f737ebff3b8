package eventbus_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

func TestHandlerIsAwaited(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		var seen journal[int]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(50 * time.Millisecond)
			return seen.handle(ctx, e)
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", numbers(3)...)
		bustest.Flush(t, b)
		require.Equal(t, []int{0, 1, 2}, seen.all())
	})
}

func TestWithPollIntervalAnEmptyQueueIsNoFault(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		var seen journal[int]
		b.SubscribeFunc("tick", seen.handle)
		start(t, b)
		time.Sleep(time.Minute)
		require.Empty(t, log.above(slog.LevelInfo))
		publish(t, b, eventbus.DataQueue, "tick", 1)
		bustest.Flush(t, b)
		require.Equal(t, []int{1}, seen.all())
	})
}

func TestStopEndsTheProcessorsWithinHalfASecond(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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

// With a poll of an hour, a processor that left at the next poll would be late.
func TestStopEndsIdleProcessorsAtOnce(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
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

// A deafLogger cannot even say what its level is.
type deafLogger struct{ *logbook }

func (deafLogger) Enabled(_ context.Context, l slog.Level) bool {
	if l == slog.LevelDebug {
		panic("deaf")
	}
	return true
}

func TestWithLoggerTellsOfAFailureOfTheProcessor(t *testing.T) {
	var log logbook
	b := newBus(t, eventbus.WithLogger(slog.New(deafLogger{&log})))
	var seen journal[int]
	b.SubscribeFunc("tick", seen.handle)
	start(t, b)
	publish(t, b, eventbus.DataQueue, "tick", numbers(10)...)
	bustest.Flush(t, b)
	shutdown(t, b)
	require.Len(t, seen.all(), 10)
	found := log.find("eventbus: processor failure")
	require.Len(t, found, 3)
	require.Equal(t, slog.LevelError+4, found[0].level)
}

func TestStartKeepsAProcessorThatHasNotLeft(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		var contexts journal[context.Context]
		g := newGate()
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
		bustest.Flush(t, b)
		require.Error(t, contexts.all()[0].Err())
		require.NoError(t, contexts.all()[1].Err())
	})
}

func TestStopLeavesWhatIsPublishedAfterIt(t *testing.T) {
	for range many(2000) {
		b := newBus(t)
		var handled atomic.Int32
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
		start(t, b)
		b.Stop()
		publish(t, b, eventbus.DataQueue, "tick", 1)
		runtime.Gosched()
		require.Zero(t, handled.Load())
		start(t, b)
		bustest.Flush(t, b)
		require.EqualValues(t, 1, handled.Load())
		shutdown(t, b)
	}
}

func TestStartWhileTheProcessorsLeave(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Flush(t, b)
		require.Len(t, seen.all(), 3)
	})
}

// With publishers that never pause, Flush ends at a moment at which nothing is
// left, and that the next event comes at once is no error.
func TestFlushSucceedsUnderPublishersThatNeverPause(t *testing.T) {
	b := startedBus(t)
	stop := traffic(b, "order")
	ctx := bustest.Within(t, bustest.Patience)
	for range many(300_000) {
		require.NoError(t, b.Flush(ctx))
	}
	require.NoError(t, stop())
}

// A handler that never returns costs its own queue, and nothing else.
func TestHandlerThatNeverReturnsBlocksItsQueue(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger())
		never := make(chan struct{})
		var got journal[int]
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { <-never; return nil })
		b.SubscribeFunc("order", got.handle)
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		time.Sleep(time.Hour)
		require.Empty(t, got.all())
		require.Len(t, log.find("eventbus: slow handler is still running"), 1)
		require.Len(t, b.Stats().Handlers, 2)
		publish(t, b, eventbus.SignalQueue, "other", 0)
		synctest.Wait()
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.SignalQueue].Handled)
		close(never)
		bustest.Flush(t, b)
		require.Equal(t, []int{0, 1}, got.all())
	})
}

func TestWithSpinHandlesEventsAndSleepsInTheEnd(t *testing.T) {
	b := newBus(t, eventbus.WithSpin(50*time.Microsecond))
	n := 0
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { n++; return nil })
	start(t, b)
	for range 200 {
		publish(t, b, eventbus.DataQueue, "e", nil)
		bustest.Flush(t, b)
	}
	require.Equal(t, 200, n)
}

func TestWithSpinFindsWhatIsPublishedMeanwhile(t *testing.T) {
	b := newBus(t, eventbus.WithSpin(time.Hour)) // it never sleeps
	handled := make(chan bool)
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { handled <- true; return nil })
	start(t, b)
	for range 10 {
		time.Sleep(time.Millisecond)
		publish(t, b, eventbus.OrderQueue, "e", nil)
		receive(t, handled)
	}
	shutdown(t, b)
}
