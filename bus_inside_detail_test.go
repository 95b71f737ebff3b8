package eventbus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A handler may publish to its own full queue, without a hang and without a loss,
// at capacity 1 and while others wait for it.
func TestPublishToTheHandlersOwnFullQueueLosesNothing(t *testing.T) {
	const hops, outsiders = 300, 4
	for _, q := range bustest.EveryQueue {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(1, q)...)
			var got []int
			deferred := 0
			b.SubscribeFunc("hop", func(ctx context.Context, e eventbus.Event) error {
				n := e.Data.(int)
				got = append(got, n)
				time.Sleep(time.Millisecond) // the others fill the queue
				if n+1 < hops {
					require.NoError(t, b.Publish(ctx, q, event("hop", n+1)))
				}
				deferred += b.Stats().Queues[q].Deferred
				return nil
			})
			var others journal[int]
			b.SubscribeFunc("other", others.handle)
			publish(t, b, q, "hop", 0)
			synctest.Wait()
			var wg sync.WaitGroup
			for range outsiders {
				wg.Go(func() {
					for i := range hops {
						publish(t, b, q, "other", i)
					}
				})
			}
			wait(t, &wg)
			bustest.Flush(t, b)
			require.Equal(t, upTo(0, hops), got)
			require.Len(t, others.all(), outsiders*hops)
			require.Positive(t, deferred, "the queue was never full")
		})
	}
}

// Nobody makes room on a bus that does not run, so a handler that waited there
// would wait for the next Start.
func TestPublishDefersOnABusThatDoesNotRun(t *testing.T) {
	t.Run("after Stop", func(t *testing.T) {
		bustest.Bubble(t, func(t *testing.T) {
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
			bustest.Flush(t, b)
			require.Equal(t, []int{0, 1, 2}, got.all())
		})
	})
	t.Run("which Stop finds waiting", func(t *testing.T) {
		bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Bubble(t, func(t *testing.T) {
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

// Where one goroutine serves all queues, taking an event from one makes no room
// in another.
func TestWithSingleThreadDeferredEventsAreBounded(t *testing.T) {
	const size = 2
	live := func(t testing.TB, b *eventbus.Bus) {
		start(t, b)
		require.ErrorIs(t, b.Flush(bustest.Within(t, bustest.Patience)), eventbus.ErrPaused)
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
				publish(t, b, eventbus.DataQueue, "tick", nil)
			}
			run(t, b)
			require.Equal(t, []int{3*size + 3, 100 - 3*size - 3}, []int{accepted, full})
			require.Equal(t, 2*size+3, b.Stats().Queues[eventbus.OrderQueue].Deferred)
		})
	}
}

// A handler's publish leaves when the deadline that it has set ends, and when
// Shutdown gives up.
func TestPublishOfAHandlerLeavesWhenShutdownGivesUp(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, _, _ := full(t, eventbus.QueueConfig{Capacity: 1})
		result := make(chan error, 1)
		b.SubscribeFunc("nested", func(ctx context.Context, e eventbus.Event) error {
			ctx, cancel := context.WithTimeout(ctx, e.Data.(time.Duration))
			defer cancel()
			result <- b.Publish(ctx, eventbus.OrderQueue, event("order", 9))
			return nil
		})
		const wait = 10*time.Second + 37*time.Millisecond
		publish(t, b, eventbus.DataQueue, "nested", wait, time.Hour)
		time.Sleep(wait)
		requireSoon(t, result, context.DeadlineExceeded)

		time.Sleep(wait)
		go b.Shutdown(bustest.Within(t, wait))
		time.Sleep(wait - time.Millisecond)
		require.Empty(t, result, "handlers may publish while Shutdown drains")
		time.Sleep(time.Millisecond)
		requireSoon(t, result, eventbus.ErrClosed)
	})
}

// What a handler starts is not the handler: with the handler's context it is
// told that the list of deferred events is full, with its own it waits.
func TestPublishOfAHandlersGoroutineNeedsItsOwnContext(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Flush(t, b)
		require.NoError(t, receive(t, own))
		bustest.Flush(t, b)
		require.Equal(t, []int{0, 1, 10, 11, 12, 13, 3}, got.all())
	})
}

func TestPublishWithAnotherContextCanWaitForItself(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var err error
		b, begin := withFullQueue(t, 1, func(_ context.Context, b *eventbus.Bus) {
			err = b.Publish(bustest.Within(t, time.Hour), eventbus.OrderQueue, event("order", 1))
		})
		begin()
		time.Sleep(time.Hour - time.Nanosecond)
		require.EqualValues(t, 0, b.Stats().Queues[eventbus.OrderQueue].Handled)
		bustest.Flush(t, b)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestPublishBatchNeverDeadlocksInACycle(t *testing.T) {
	for _, capacity := range []int{1, 2, 5} {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(capacity, bustest.EveryQueue...)...)
			var mu sync.Mutex
			handled := 0
			for _, q := range bustest.EveryQueue {
				next := (q + 1) % eventbus.Queue(len(bustest.EveryQueue))
				b.SubscribeFunc(eventbus.EventType(q.String()), func(ctx context.Context, e eventbus.Event) error {
					mu.Lock()
					handled++
					mu.Unlock()
					hops := e.Data.(int)
					if hops == 0 {
						return nil
					}
					_, err := b.PublishBatch(ctx, next, []eventbus.Event{event(eventbus.EventType(next.String()), hops-1)})
					return err
				})
			}
			var publishers sync.WaitGroup
			for i := range 4 {
				publishers.Go(func() {
					q := eventbus.Queue(i % len(bustest.EveryQueue))
					for range 50 {
						e := event(eventbus.EventType(q.String()), 20)
						for batch := []eventbus.Event{e, e, e}; len(batch) > 0; {
							n, err := b.PublishBatch(context.Background(), q, batch)
							if err != nil && !errors.Is(err, eventbus.ErrQueueFull) {
								t.Error(err)
								return
							}
							batch = batch[n:]
						}
					}
				})
			}
			wait(t, &publishers)
			bustest.Flush(t, b)
			require.Equal(t, 4*50*3*21, handled)
			for _, q := range b.Stats().Queues {
				require.Zero(t, q.Failed)
				require.LessOrEqual(t, q.HighWater, capacity)
			}
		})
	}
}
