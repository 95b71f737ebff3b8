package eventbus_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestAHandlersBatchIsDeferredWhereWaitingWouldBeWaitingForItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(3, eventbus.OrderQueue)...)
		var got journal[int]
		var results journal[batchResult]
		b.SubscribeFunc("order", got.handle)
		b.SubscribeFunc("split", func(ctx context.Context, e eventbus.Event) error {
			n := e.Data.(int)
			r := publishBatch(ctx, b, series(n, n+3))
			results.add(r)
			return nil
		})
		for _, n := range []int{100, 200} {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("split", n)))
		}
		flush(t, b)
		require.Equal(t, []int{100, 101, 102, 200, 201, 202}, got.all())
		require.Equal(t, []batchResult{{3, nil}, {3, nil}}, results.all())
		require.LessOrEqual(t, orders(b).HighWater, 3)
	})
}

func TestAHandlersBatchThatCannotBeDeferredIsToldHowFarItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(2, eventbus.OrderQueue)...)
		var got journal[int]
		var result batchResult
		b.SubscribeFunc("order", got.handle)
		b.SubscribeFunc("split", func(ctx context.Context, _ eventbus.Event) error {
			result = publishBatch(ctx, b, series(0, 12))
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("split", 0)))
		flush(t, b)
		require.ErrorIs(t, result.err, eventbus.ErrQueueFull)
		require.Equal(t, 9, result.accepted, "as many as the queue holds, and twice that and 3")
		require.Equal(t, upTo(0, 9), got.all())
	})
}

func TestBatchesAroundACycleOfFullQueuesArrive(t *testing.T) {
	for _, capacity := range []int{1, 2, 5} {
		bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(capacity, everyQueue...)...)
			var mu sync.Mutex
			handled := 0
			for _, q := range everyQueue {
				next := (q + 1) % eventbus.Queue(len(everyQueue))
				b.SubscribeFunc(eventbus.EventType(q.String()), func(ctx context.Context, e eventbus.Event) error {
					mu.Lock()
					handled++
					mu.Unlock()
					hops := e.Data.(int)
					if hops == 0 {
						return nil
					}
					_, err := b.PublishBatch(ctx, next, []eventbus.Event{numbered(eventbus.EventType(next.String()), hops-1)})
					return err
				})
			}
			var publishers sync.WaitGroup
			for i := range 4 {
				publishers.Go(func() {
					q := eventbus.Queue(i % len(everyQueue))
					for range 50 {
						e := numbered(eventbus.EventType(q.String()), 20)
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
			publishers.Wait()
			flush(t, b)
			require.Equal(t, 4*50*3*21, handled)
			for _, q := range b.Stats().Queues {
				require.Zero(t, q.Failed)
				require.LessOrEqual(t, q.HighWater, capacity)
			}
		})
	}
}

func TestAFailureInsideABatchHarmsNoOtherEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var got journal[int]
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			switch e.Data.(int) % 5 {
			case 1:
				return errors.New("one")
			case 2:
				panic("two")
			case 3:
				runtime.Goexit()
			}
			return nil
		})
		b.SubscribeFunc("order", got.handle)
		for i := range 3 {
			require.Equal(t, batchResult{10, nil}, publishBatch(t.Context(), b, series(10*i, 10*i+10)))
		}
		flush(t, b)
		require.Equal(t, upTo(0, 30), got.all())
		require.EqualValues(t, 18, orders(b).Failed)
	})
}
