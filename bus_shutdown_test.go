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
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Shutdown refuses what comes from outside and accepts what its handlers publish.
// For each piece of data there is an order, although the queues are full and
// publishers from outside are refused.
func TestShutdownAcceptsWhatHandlersPublish(t *testing.T) {
	for _, capacity := range []int{1, 7} {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(capacity, bustest.EveryQueue...)...)
			pass := func(ms time.Duration, q eventbus.Queue, t eventbus.EventType) func(context.Context, eventbus.Event) error {
				return func(ctx context.Context, e eventbus.Event) error {
					time.Sleep(ms * time.Millisecond)
					return b.Publish(ctx, q, event(t, e.Data.(int)))
				}
			}
			b.SubscribeFunc("data", pass(1, eventbus.SignalQueue, "signal"))
			b.SubscribeFunc("signal", pass(1, eventbus.OrderQueue, "order"))
			b.SubscribeFunc("order", pass(3, eventbus.OrderQueue, "fill")) // the handlers before wait for room
			var fills journal[int]
			b.SubscribeFunc("fill", fills.handle)
			var accepted []int
			refused := bustest.InBackground(func() error {
				for n := 0; ; n++ {
					if err := b.Publish(context.Background(), eventbus.DataQueue, event("data", n)); err != nil {
						return err
					}
					accepted = append(accepted, n)
				}
			})
			time.Sleep(50*time.Millisecond + time.Microsecond)
			end := bustest.InBackground(func() error { return b.Shutdown(bustest.Within(t, time.Hour)) })
			synctest.Wait()
			require.ErrorIs(t, b.Publish(t.Context(), eventbus.SignalQueue, event("signal", -1)), eventbus.ErrClosed)
			require.NoError(t, receive(t, end))
			require.ErrorIs(t, receive(t, refused), eventbus.ErrClosed)
			require.Greater(t, len(accepted), 10)
			require.Equal(t, accepted, fills.all())
			require.ErrorIs(t, b.Start(context.Background()), eventbus.ErrClosed)
			shutdown(t, b)
			bustest.Flush(t, b)
		})
	}
}

// It returns nil only if nothing was refused to a handler, cut or left.
func TestShutdownReturnsNilOnlyIfNothingIsLeftUndone(t *testing.T) {
	for name, c := range map[string]struct {
		stopped bool
		prepare func(*testing.T, *eventbus.Bus)
		want    []int // remaining, interrupted, refused
	}{
		"nothing": {false, func(t *testing.T, b *eventbus.Bus) { publish(t, b, eventbus.OrderQueue, "order", 1) }, nil},
		"left":    {true, func(t *testing.T, b *eventbus.Bus) { publish(t, b, eventbus.OrderQueue, "order", 1) }, []int{1, 0, 0}},
		"cut":     {false, func(t *testing.T, b *eventbus.Bus) { publish(t, b, eventbus.OrderQueue, "stuck", 1) }, []int{0, 1, 0}},
		"refused": {false, func(t *testing.T, b *eventbus.Bus) {
			publish(t, b, eventbus.SignalQueue, "stuck", 1)
			synctest.Wait()
			publish(t, b, eventbus.SignalQueue, "order", 1)
			publish(t, b, eventbus.DataQueue, "asks", 1)
		}, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, append(blocking(1, bustest.EveryQueue...), noPoll)...)
				g := newGate()
				b.SubscribeFunc("order", pass)
				b.SubscribeFunc("stuck", g.handle)
				b.SubscribeFunc("stuck", pass, eventbus.WithName("second"))
				b.SubscribeFunc("asks", func(ctx context.Context, _ eventbus.Event) error {
					return b.Publish(ctx, eventbus.SignalQueue, event("order", 2))
				})
				if !c.stopped {
					start(t, b)
				}
				c.prepare(t, b)
				synctest.Wait()
				err := b.Shutdown(bustest.Within(t, time.Second))
				g.open()
				if c.want == nil {
					require.NoError(t, err)
					return
				}
				e := leftBy(t, err)
				n := 0
				for _, events := range e.Remaining {
					n += len(events)
				}
				require.Equal(t, c.want, []int{n, len(e.Interrupted), e.Refused}, "%v", err)
			})
		})
	}
}

// When its context ends it returns at once, names the handlers that run, and
// hands back in order what was not begun. Nothing spins meanwhile: if something
// did, the bubble's time would stand still.
func TestShutdownKeepsItsDeadlineThoughAHandlerIsStuck(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		deaf := make(chan struct{})
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			<-deaf
			return nil
		}, eventbus.WithName("deaf"))
		var later journal[int]
		b.SubscribeFunc("order", later.handle)
		publish(t, b, eventbus.OrderQueue, "order", numbers(5)...)
		synctest.Wait()
		began := time.Now()
		err := b.Shutdown(bustest.Within(t, 50*time.Millisecond))
		require.Equal(t, 50*time.Millisecond, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "handler deaf still runs on order")
		require.ErrorContains(t, err, "4 on the order queue")
		left := leftBy(t, err)
		require.Len(t, left.Remaining, 1)
		require.Equal(t, upTo(1, 5), numbersOf(left.Remaining[eventbus.OrderQueue]))
		time.Sleep(10 * time.Hour)
		close(deaf)
		synctest.Wait()
		require.Empty(t, later.all(), "a handler was called after Shutdown had returned")
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.EqualValues(t, q.Accepted, q.Handled+uint64(q.Depth))
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.True(t, left.HandedOver)
		require.Empty(t, left.Remaining)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrClosed)
	})
}

// What is left is handed over once, however many call it. All callers
// get the same cause.
func TestShutdownHandsOverOnce(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		deaf := make(chan struct{})
		defer close(deaf)
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { <-deaf; return nil })
		for i := range 3 {
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		synctest.Wait()
		results := make([]error, 8)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = b.Shutdown(bustest.Within(t, time.Duration(i+1)*time.Second)) })
		}
		began := time.Now()
		wait(t, &wg)
		require.Equal(t, time.Second, time.Since(began))
		given := 0
		for _, err := range results {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			left := leftBy(t, err)
			require.Equal(t, left.HandedOver, len(left.Remaining) == 0, "%v", left)
			given += len(left.Remaining[eventbus.DataQueue])
		}
		require.Equal(t, 2, given, "handed over once")
	})
}

// Events that handlers were at are told with the handlers that were not called.
func TestShutdownTellsWhichHandlersAnEventDidNotGetTo(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, g := startedBus(t), newGate()
		b.SubscribeFunc("order", pass, eventbus.WithName("first"))
		b.SubscribeFunc("order", g.handle, eventbus.WithName("second"))
		b.SubscribeFunc("order", pass, eventbus.WithName("third"))
		b.SubscribeAll(eventbus.HandlerFunc(pass), eventbus.WithName("tap"))
		publish(t, b, eventbus.OrderQueue, "order", 1, 2)
		receive(t, g.entered)
		e := leftBy(t, b.Shutdown(bustest.Ended()))
		require.Equal(t, []eventbus.InterruptedEvent{
			{Event: event("order", 1), Queue: eventbus.OrderQueue, Handlers: []string{"third", "tap"}},
		}, e.Interrupted)
		require.Equal(t, []int{2}, numbersOf(e.Remaining[eventbus.OrderQueue]))
		require.ErrorContains(t, e, "second still runs")
		synctest.Wait()
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Depth)
	})
}

// Shutdown ends when everything accepted is handled, the running handlers have
// returned, and the processors have logged their end, however long their logger
// takes for that. No goroutine is left then.
func TestShutdownEndsWithTheLastHandlerAndLeavesNoGoroutine(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		log := &logbook{level: slog.LevelInfo, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: processor stopped" {
				time.Sleep(time.Second)
			}
		}}
		b := startedBus(t, log.logger(), eventbus.WithSlowHandler(0))
		var running, handled atomic.Int32
		work := func(context.Context, eventbus.Event) error {
			running.Add(1)
			defer running.Add(-1)
			time.Sleep(time.Second)
			handled.Add(1)
			return nil
		}
		b.SubscribeFunc("work", work)
		b.SubscribeFunc("work", work)
		const each = 10
		for _, q := range bustest.EveryQueue {
			for range each {
				publish(t, b, q, "work", nil)
			}
		}
		began := time.Now()
		shutdown(t, b)
		require.Zero(t, running.Load())
		require.EqualValues(t, 3*each*2, handled.Load())
		require.Equal(t, (each*2+1)*time.Second, time.Since(began))
		require.Len(t, log.find("eventbus: processor stopped"), len(bustest.EveryQueue))
		synctest.Wait()
		require.NoError(t, goleak.Find(before))
	})
}

// Publishers that race with Shutdown get nil or ErrClosed and nothing else, and
// nil means that the event has been handled when Shutdown returns.
func TestShutdownRacesWithPublishersAndLosesNothing(t *testing.T) {
	const publishers = 64
	for round := range many(1000) {
		capacity := []int{4, 256}[round%2] // publishers wait, or seldom do
		b := newBus(t, append(blocking(capacity, bustest.EveryQueue...), noPoll)...)
		var handled, accepted atomic.Int64
		b.SubscribeFunc("race", func(context.Context, eventbus.Event) error {
			handled.Add(1)
			return nil
		})
		start(t, b)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for {
					err := b.Publish(context.Background(), bustest.EveryQueue[p%3], eventbus.Event{Type: "race"})
					if err != nil {
						require.ErrorIs(t, err, eventbus.ErrClosed)
						return
					}
					accepted.Add(1)
				}
			})
		}
		eventually(t, "the first event", func() bool { return handled.Load() >= publishers/2 })
		require.NoError(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(context.Background()) })))
		atReturn := handled.Load()
		receive(t, bustest.InBackground(func() bool { wg.Wait(); return true }))
		require.Equal(t, accepted.Load(), atReturn)
		require.Equal(t, atReturn, handled.Load())
	}
}

func TestShutdownOfABusThatDoesNotRunRunsNothing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *eventbus.Bus){
		"never started": func(*testing.T, *eventbus.Bus) {},
		"stopped":       func(t *testing.T, b *eventbus.Bus) { start(t, b); b.Stop(); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				var got journal[int]
				b.SubscribeFunc("tick", got.handle)
				prepare(t, b)
				for _, q := range bustest.EveryQueue {
					publish(t, b, q, "tick", 0, 1, 2)
				}
				var left *eventbus.ShutdownError
				instantly(t, "Shutdown", func() { require.ErrorAs(t, b.Shutdown(context.Background()), &left) })
				require.ErrorIs(t, left, eventbus.ErrNotRunning)
				for _, q := range bustest.EveryQueue {
					require.Equal(t, []int{0, 1, 2}, numbersOf(left.Remaining[q]))
				}
				require.ErrorContains(t, left, "3 on the data queue, 3 on the signal queue, 3 on the order queue")
				time.Sleep(time.Hour)
				require.Empty(t, got.all())
			})
		})
	}
}
