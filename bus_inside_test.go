package eventbus_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A handler that publishes with the context it was given never deadlocks the bus.
// Around a cycle of full queues, within one bus or through two, all of them arrive,
// and the lists of deferred events stay short.
func TestPublishInsideHandlersNeverDeadlocks(t *testing.T) {
	type stop struct {
		bus   int
		queue eventbus.Queue
	}
	for name, cycle := range map[string][]stop{
		"one queue to the next":  {{0, eventbus.DataQueue}, {0, eventbus.SignalQueue}, {0, eventbus.OrderQueue}},
		"and back":               {{0, eventbus.DataQueue}, {0, eventbus.OrderQueue}, {0, eventbus.SignalQueue}, {0, eventbus.OrderQueue}},
		"one bus to the next":    {{0, eventbus.OrderQueue}, {1, eventbus.OrderQueue}},
		"and back on the other":  {{0, eventbus.DataQueue}, {1, eventbus.OrderQueue}, {0, eventbus.SignalQueue}, {1, eventbus.OrderQueue}},
		"to and fro and at home": {{0, eventbus.DataQueue}, {1, eventbus.DataQueue}, {1, eventbus.DataQueue}, {0, eventbus.OrderQueue}},
	} {
		for capacity, hops := range map[int]int{1: 100, 8: 100, 50: 20} {
			t.Run(fmt.Sprintf("%s, capacity %d", name, capacity), func(t *testing.T) {
				bustest.Bubble(t, func(t *testing.T) {
					var buses [2]*eventbus.Bus
					var handled, deferred atomic.Int64
					for i := range buses {
						buses[i] = startedBus(t, blocking(capacity, bustest.EveryQueue...)...)
					}
					for i, at := range cycle {
						to := cycle[(i+1)%len(cycle)]
						from, next := eventbus.EventType(fmt.Sprint(i)), eventbus.EventType(fmt.Sprint((i+1)%len(cycle)))
						buses[at.bus].SubscribeFunc(from, func(ctx context.Context, e eventbus.Event) error {
							handled.Add(1)
							if n := e.Data.(int); n > 0 {
								require.NoError(t, buses[to.bus].Publish(ctx, to.queue, event(next, n-1)))
							}
							if n := int64(buses[to.bus].Stats().Queues[to.queue].Deferred); n > deferred.Load() {
								deferred.Store(n)
							}
							return nil
						})
					}
					tokens := 3 * capacity
					var wg sync.WaitGroup
					for i, at := range cycle {
						for range tokens {
							wg.Go(func() {
								e := event(eventbus.EventType(fmt.Sprint(i)), hops)
								require.NoError(t, buses[at.bus].Publish(context.Background(), at.queue, e))
							})
						}
					}
					wait(t, &wg)
					for range 2 * hops { // one bus at rest gets work from the other
						bustest.Flush(t, buses[0])
						bustest.Flush(t, buses[1])
					}
					require.EqualValues(t, len(cycle)*tokens*(hops+1), handled.Load())
					require.LessOrEqual(t, deferred.Load(), int64(4*len(cycle)))
					for _, b := range buses {
						for _, q := range b.Stats().Queues {
							require.Equal(t, []uint64{q.Accepted, 0}, []uint64{q.Handled, q.Failed}, "%v queue", q.Queue)
						}
					}
				})
			})
		}
	}
}

// Where it must not wait, its event is deferred: accepted, and ahead of all from
// outside.
func TestPublishDefersWhereAHandlerMustNotWait(t *testing.T) {
	nothing := func(*eventbus.Bus) error { return nil }
	restart := func(b *eventbus.Bus) error { return b.Start(context.Background()) }
	for name, c := range map[string]struct {
		from          eventbus.Queue
		opts          []eventbus.Option
		before, after func(*eventbus.Bus) error
	}{
		"at its own queue": {eventbus.OrderQueue, nil, nothing, nothing},
		"at a paused queue": {eventbus.DataQueue, nil,
			func(b *eventbus.Bus) error { return b.Pause(eventbus.OrderQueue) }, func(b *eventbus.Bus) error { return b.Resume(eventbus.OrderQueue) }},
		"on a bus that does not run": {eventbus.DataQueue, nil, func(b *eventbus.Bus) error { b.Stop(); return nil }, restart},
		"WithSingleThread":           {eventbus.DataQueue, []eventbus.Option{eventbus.WithSingleThread()}, nothing, nothing},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, capacity %d", name, n), func(t *testing.T) {
				bustest.Bubble(t, func(t *testing.T) {
					b := startedBus(t, append(c.opts, blocking(n, eventbus.OrderQueue)...)...)
					g, filled := newGate(), make(chan struct{})
					var got journal[int]
					b.SubscribeFunc("order", got.handle)
					b.SubscribeFunc("hold", g.handle)
					b.SubscribeFunc("first", func(ctx context.Context, _ eventbus.Event) error {
						<-filled
						assert.NoError(t, c.before(b))
						for i := range n {
							instantly(t, "Publish", func() { assert.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 10+i))) })
						}
						assert.Equal(t, n, orders(b).Deferred)
						assert.NoError(t, c.after(b))
						return nil
					})
					if c.from != eventbus.OrderQueue && c.opts == nil {
						publish(t, b, eventbus.OrderQueue, "hold", 0)
						receive(t, g.entered)
					}
					publish(t, b, c.from, "first", 0)
					synctest.Wait()
					publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
					var outcomes []<-chan error
					for i := range n {
						outcomes = append(outcomes, publishLater(t, b, 20+i))
					}
					close(filled)
					synctest.Wait()
					g.open()
					for _, outcome := range outcomes {
						require.NoError(t, receive(t, outcome))
					}
					bustest.Flush(t, b)
					require.Equal(t, slices.Concat(upTo(0, n), upTo(10, 10+n), upTo(20, 20+n)), got.all())
				})
			})
		}
	}
}

// A queue defers at most twice its capacity and 3 events, then tells ErrQueueFull.
// The order queue does, too.
func TestPublishDefersTwiceTheCapacityAndThree(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Flush(t, b)
		for _, err := range errs[:bound] {
			require.NoError(t, err)
		}
		require.ErrorIs(t, errs[bound], eventbus.ErrQueueFull)
		require.ErrorIs(t, errs[bound+1], eventbus.ErrQueueFull)
		require.ErrorContains(t, errs[bound], "deferred")
	})
}

// A handler's own context ends none of its publishes. A deadline that the handler
// sets itself does end them.
func TestPublishGoesOnThoughTheHandlersContextEnds(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := full(t, eventbus.QueueConfig{Capacity: 1})
		b.Stop()
		synctest.Wait()
		base, cancel := context.WithCancel(context.Background())
		require.NoError(t, b.Start(base))
		waited, late := make(chan error, 2), make(chan error, 2)
		b.SubscribeFunc("waits", func(ctx context.Context, _ eventbus.Event) error {
			own, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			waited <- b.Publish(own, eventbus.OrderQueue, event("order", 9))
			waited <- b.Publish(ctx, eventbus.OrderQueue, event("order", 1))
			return nil
		})
		b.SubscribeFunc("late", func(ctx context.Context, _ eventbus.Event) error {
			<-ctx.Done()
			late <- b.Publish(ctx, eventbus.OrderQueue, event("order", 2))
			late <- b.Publish(ctx, eventbus.DataQueue, event("other", 0))
			return nil
		})
		publish(t, b, eventbus.DataQueue, "waits", 0)
		require.ErrorIs(t, receive(t, waited), context.DeadlineExceeded)
		publish(t, b, eventbus.SignalQueue, "late", 0)
		time.Sleep(time.Hour)
		require.Empty(t, waited)
		cancel()
		require.NoError(t, receive(t, waited))
		require.NoError(t, receive(t, late))
		require.NoError(t, receive(t, late))
		require.Equal(t, 2, orders(b).Deferred)
		g.open()
		start(t, b)
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 3), got.all())
	})
}

// A call that Async has given up on publishes nothing more.
func TestAsyncCallThatIsAbandonedPublishesNothingMore(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		topic := eventbus.NewTopic[int]("order", eventbus.OrderQueue)
		outcomes := make(map[string]error)
		b.Subscribe("tick", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			e := event("order", 1)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			outcomes["Publish"] = b.Publish(ctx, eventbus.OrderQueue, e)
			outcomes["derived"] = b.Publish(derived, eventbus.OrderQueue, e)
			outcomes["TryPublish"] = b.TryPublish(ctx, eventbus.OrderQueue, e)
			outcomes["PublishWait"] = b.PublishWait(ctx, eventbus.OrderQueue, e)
			outcomes["topic"] = topic.Publish(ctx, b, 1)
			_, outcomes["PublishBatch"] = b.PublishBatch(ctx, eventbus.OrderQueue, []eventbus.Event{e, e})
			return nil
		}), time.Second))
		publish(t, b, eventbus.DataQueue, "tick", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, outcomes, 6)
		for name, err := range outcomes {
			require.ErrorIs(t, err, eventbus.ErrHandlerTimeout, name)
		}
		require.EqualValues(t, []uint64{0, 7}, []uint64{orders(b).Accepted, orders(b).Rejected})
	})
}

// A bus that is stepped inside a handler is a part of that handler.
func TestRunUntilIdleInsideAHandlerIsAPartOfIt(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		inner := newBus(t)
		var published, flushed, waited error
		outer, begin := withFullQueue(t, 1, func(ctx context.Context, outer *eventbus.Bus) {
			inner.SubscribeFunc("step", func(ctx context.Context, _ eventbus.Event) error {
				published = outer.Publish(ctx, eventbus.OrderQueue, event("order", 1))
				flushed = outer.Flush(ctx)
				waited = outer.PublishWait(ctx, eventbus.OrderQueue, event("order", 9))
				return nil
			})
			assert.NoError(t, inner.Publish(ctx, eventbus.DataQueue, event("step", 0)))
			handled, err := inner.RunUntilIdle(ctx)
			assert.NoError(t, err)
			assert.Equal(t, 1, handled)
			assert.Equal(t, 1, orders(outer).Deferred)
		})
		var got journal[int]
		outer.SubscribeFunc("order", got.handle)
		begin()
		bustest.Flush(t, outer)
		require.NoError(t, published)
		require.ErrorIs(t, flushed, eventbus.ErrWouldDeadlock)
		require.ErrorIs(t, waited, eventbus.ErrWouldDeadlock)
		require.Equal(t, []int{0, 1}, got.all())
	})
}
