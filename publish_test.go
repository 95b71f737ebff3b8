package eventbus_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func capacity(q eventbus.Queue, n int, o eventbus.Overflow, timeout time.Duration) eventbus.Option {
	return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n, Overflow: o, Timeout: timeout})
}

// stuck returns a bus whose order queue holds n and whose handler is stuck on
// the first of n+1 events, and the gate that frees it.
func stuck(t *testing.T, n int, o eventbus.Overflow, timeout time.Duration) (*eventbus.Bus, *gate) {
	b := newBus(t, capacity(eventbus.OrderQueue, n, o, timeout))
	g := newGate(t)
	b.SubscribeFunc("order", g.handle)
	start(t, b)
	publish(t, b, eventbus.OrderQueue, "order", 0)
	receive(t, g.entered)
	publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
	return b, g
}

func TestAFullQueueRefusesOrDropsAfterItsTimeout(t *testing.T) {
	for o, want := range map[eventbus.Overflow]error{eventbus.Block: eventbus.ErrQueueFull, eventbus.DropNewest: eventbus.ErrDropped} {
		t.Run(o.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, g := stuck(t, 3, o, time.Second)
				began := time.Now()
				require.ErrorIs(t, b.Publish(context.Background(), eventbus.OrderQueue, event("order", 9)), want)
				require.Equal(t, time.Second, time.Since(began))
				require.ErrorIs(t, b.TryPublish(context.Background(), eventbus.OrderQueue, event("order", 9)), eventbus.ErrQueueFull)
				ctx := within(t, 10*time.Millisecond)
				require.ErrorIs(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 9)), context.DeadlineExceeded)
				g.open()
				flush(t, b)
				q := b.Stats().Queues[eventbus.OrderQueue]
				require.EqualValues(t, 4, q.Handled)
				require.EqualValues(t, 3, q.Dropped+q.Rejected)
				require.Equal(t, 3, q.HighWater)
			})
		})
	}
}

func TestDropNewestWithoutTimeoutDropsAtOnce(t *testing.T) {
	b, g := stuck(t, 3, eventbus.DropNewest, 0)
	require.ErrorIs(t, b.Publish(context.Background(), eventbus.OrderQueue, event("order", 9)), eventbus.ErrDropped)
	g.open()
}

func TestPublishesAreLetInFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := stuck(t, 2, eventbus.Block, 0)
		var publishers sync.WaitGroup
		for i := range 20 {
			publishers.Go(func() { publish(t, b, eventbus.OrderQueue, "order", 100+i) })
			synctest.Wait()
		}
		g.open()
		publishers.Wait()
		flush(t, b)
		receive(t, g.entered)
		receive(t, g.entered)
		for i := range 20 {
			require.Equal(t, 100+i, receive(t, g.entered).Data)
		}
	})
}

func TestAHandlerThatDoublesItsEventsIsTold(t *testing.T) {
	var told atomic.Int64
	b := newBus(t, capacity(eventbus.OrderQueue, 5, eventbus.Block, 0))
	b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
		for range 2 {
			if told.Load() > 0 {
				return nil
			}
			if err := b.Publish(ctx, eventbus.OrderQueue, e); err != nil {
				require.ErrorIs(t, err, eventbus.ErrQueueFull)
				told.Add(1)
			}
		}
		return nil
	})
	start(t, b)
	publish(t, b, eventbus.OrderQueue, "order", 1)
	flush(t, b)
	require.EqualValues(t, 1, told.Load())
}

// Where one goroutine serves all queues, taking an event from one makes no room in
// another.
func TestTheDeferredListsOfASingleGoroutineAreBounded(t *testing.T) {
	const size = 2
	live := func(t testing.TB, b *eventbus.Bus) {
		start(t, b)
		require.ErrorIs(t, b.Flush(t.Context()), eventbus.ErrPaused)
	}
	for name, run := range map[string]func(testing.TB, *eventbus.Bus){"WithSingleThread": live, "stepped": runUntilIdle} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, eventbus.WithSingleThread(), capacity(eventbus.OrderQueue, size, eventbus.Block, 0))
			var accepted, full int
			b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
				switch err := b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order"}); {
				case err == nil:
					accepted++
				default:
					require.ErrorIs(t, err, eventbus.ErrQueueFull)
					full++
				}
				return nil
			})
			require.NoError(t, b.Pause(eventbus.OrderQueue))
			for range 100 {
				require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "tick"}))
			}
			run(t, b)
			require.Equal(t, []int{3*size + 3, 100 - 3*size - 3}, []int{accepted, full})
			require.Equal(t, 2*size+3, b.Stats().Queues[eventbus.OrderQueue].Deferred)
		})
	}
}
