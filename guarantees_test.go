package eventbus_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// The tests in the guarantees files hold the bus to sentences of the package
// documentation that no other test would miss.

func TestEachQueueLosesEventsInItsOwnWay(t *testing.T) {
	for q, want := range map[eventbus.Queue]struct {
		err   error
		after time.Duration
	}{
		eventbus.DataQueue:   {eventbus.ErrDropped, time.Second},
		eventbus.SignalQueue: {eventbus.ErrQueueFull, 5 * time.Second},
		eventbus.OrderQueue:  {context.DeadlineExceeded, time.Hour},
	} {
		t.Run(q.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t)
				publish(t, b, q, "tick", numbers(b.Stats().Queues[q].Capacity)...)
				began := time.Now()
				require.ErrorIs(t, b.Publish(within(t, time.Hour), q, event("tick", -1)), want.err)
				require.Equal(t, want.after, time.Since(began))
			})
		})
	}
}

// A slot that has come free is not for who comes later, though the publish that
// waits for it is not let in before the queue has drained to half.
func TestNobodyGetsAheadOfAPublishThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, g := stuck(t, 4, eventbus.Block, 0)
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		publishLater := func(n int) <-chan error {
			later := inBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, event("order", n)) })
			synctest.Wait()
			return later
		}
		waiting := publishLater(100)
		g.release <- struct{}{}
		synctest.Wait()
		require.Equal(t, 3, b.Stats().Queues[eventbus.OrderQueue].Depth)
		later := publishLater(101)
		require.ErrorIs(t, b.TryPublish(context.Background(), eventbus.OrderQueue, event("order", 200)), eventbus.ErrQueueFull)
		require.NoError(t, receive(t, waiting))
		g.open()
		require.NoError(t, receive(t, later))
		flush(t, b)
		require.Equal(t, append(upTo(0, 4), 100, 101), got.all())
	})
}

// withFullQueue returns a running bus whose order queue of n places is full of
// "order" events 0 to n-1, while a handler, f, waits for go to begin.
func withFullQueue(t *testing.T, n int, f func(context.Context, *eventbus.Bus)) (b *eventbus.Bus, begin func()) {
	t.Helper()
	b = startedBus(t, blocking(n, eventbus.OrderQueue)...)
	full := make(chan struct{})
	b.SubscribeFunc("first", func(ctx context.Context, _ eventbus.Event) error {
		<-full
		f(ctx, b)
		return nil
	})
	publish(t, b, eventbus.OrderQueue, "first", 0)
	synctest.Wait()
	publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
	return b, func() { close(full); synctest.Wait() }
}

func TestDeferredEventsComeInOrderAndBeforeAnythingFromOutside(t *testing.T) {
	for _, n := range []int{1, 3} {
		bubble(t, func(t *testing.T) {
			b, begin := withFullQueue(t, n, func(ctx context.Context, b *eventbus.Bus) {
				for i := range n {
					assert.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 10+i)))
				}
			})
			var got journal[int]
			b.SubscribeFunc("order", got.handle)
			for i := range n {
				go func() { assert.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, event("order", 20+i))) }()
				synctest.Wait()
			}
			begin()
			flush(t, b)
			require.Equal(t, slices.Concat(upTo(0, n), upTo(10, 10+n), upTo(20, 20+n)), got.all())
		})
	}
}

func TestAQueueDefersAsManyEventsAsItsCapacity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const capacity = 7
		const bound = 2*capacity + 3
		var errs []error
		b, begin := withFullQueue(t, capacity, func(ctx context.Context, b *eventbus.Bus) {
			for i := range bound + 2 {
				errs = append(errs, b.Publish(ctx, eventbus.OrderQueue, event("order", i)))
			}
			assert.Equal(t, bound, b.Stats().Queues[eventbus.OrderQueue].Deferred)
		})
		begin()
		flush(t, b)
		for _, err := range errs[:bound] {
			require.NoError(t, err)
		}
		require.ErrorIs(t, errs[bound], eventbus.ErrQueueFull)
		require.ErrorIs(t, errs[bound+1], eventbus.ErrQueueFull)
		require.ErrorContains(t, errs[bound], "deferred")
	})
}

// Nobody makes room on a bus that does not run, so a handler that waited there
// would wait for the next Start.
func TestAHandlersPublishToABusThatDoesNotRunIsDeferred(t *testing.T) {
	t.Run("after Stop", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var err error
			b, begin := withFullQueue(t, 2, func(ctx context.Context, b *eventbus.Bus) {
				b.Stop()
				err = b.Publish(ctx, eventbus.OrderQueue, event("order", 2))
			})
			var got journal[int]
			b.SubscribeFunc("order", got.handle)
			begin()
			require.NoError(t, err)
			require.Equal(t, 1, b.Stats().Queues[eventbus.OrderQueue].Deferred)
			start(t, b)
			flush(t, b)
			require.Equal(t, []int{0, 1, 2}, got.all())
		})
	})
	t.Run("which Stop finds waiting", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b, begin := withFullQueue(t, 1, func(context.Context, *eventbus.Bus) {})
			result := make(chan error, 1)
			b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
				result <- b.Publish(ctx, eventbus.OrderQueue, event("order", 1))
				return nil
			})
			publish(t, b, eventbus.DataQueue, "tick", 0)
			time.Sleep(time.Minute)
			require.Empty(t, result)
			b.Stop()
			synctest.Wait()
			require.Len(t, result, 1)
			require.NoError(t, <-result)
			require.Equal(t, 1, b.Stats().Queues[eventbus.OrderQueue].Deferred)
			begin()
		})
	})
	t.Run("of another", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			other := newBus(t, blocking(1, eventbus.DataQueue)...)
			publish(t, other, eventbus.DataQueue, "tick", 0)
			var err error
			_, begin := withFullQueue(t, 1, func(ctx context.Context, _ *eventbus.Bus) {
				err = other.Publish(ctx, eventbus.DataQueue, event("tick", 1))
			})
			begin()
			require.NoError(t, err)
			require.Equal(t, 1, other.Stats().Queues[eventbus.DataQueue].Deferred)
		})
	})
}

// What a handler starts is not the handler: with the handler's context it is
// told that the list is full, with its own it waits.
func TestAGoroutineOfAHandlerPublishesWithAContextOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		borrowed, own := make(chan error, 1), make(chan error, 1)
		b, begin := withFullQueue(t, 1, func(ctx context.Context, b *eventbus.Bus) {
			assert.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 1)))
			for i := range 4 {
				assert.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 10+i)))
			}
			go func() { borrowed <- b.Publish(ctx, eventbus.OrderQueue, event("order", 2)) }()
			go func() { own <- b.Publish(context.Background(), eventbus.OrderQueue, event("order", 3)) }()
			time.Sleep(time.Second)
			assert.ErrorIs(t, <-borrowed, eventbus.ErrQueueFull)
			assert.Empty(t, own)
		})
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		begin()
		flush(t, b)
		require.NoError(t, receive(t, own))
		flush(t, b)
		require.Equal(t, []int{0, 1, 10, 11, 12, 13, 3}, got.all())
	})
}

func TestAHandlerThatPublishesWithAnotherContextCanWaitForItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var err error
		b, begin := withFullQueue(t, 1, func(_ context.Context, b *eventbus.Bus) {
			err = b.Publish(within(t, time.Hour), eventbus.OrderQueue, event("order", 1))
		})
		begin()
		time.Sleep(time.Hour - time.Nanosecond)
		require.EqualValues(t, 0, b.Stats().Queues[eventbus.OrderQueue].Handled)
		flush(t, b)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAHandlerMayRunConcurrentlyWithItselfOnTwoQueues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		g := newGate(t)
		b.SubscribeFunc("tick", g.handle)
		publish(t, b, eventbus.DataQueue, "tick", 1)
		publish(t, b, eventbus.OrderQueue, "tick", 2)
		synctest.Wait()
		require.Len(t, g.entered, 2)
		g.open()
	})
}
