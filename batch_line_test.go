package eventbus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// parkedBatch makes a handler of the signal queue publish events as one batch to
// the order queue, which has no room for it.
func parkedBatch(t *testing.T, b *eventbus.Bus, events []eventbus.Event) <-chan batchResult {
	t.Helper()
	result := make(chan batchResult, 1)
	b.SubscribeFunc("signal", func(ctx context.Context, _ eventbus.Event) error {
		result <- publishBatch(ctx, b, events)
		return nil
	})
	publish(t, b, eventbus.SignalQueue, "signal", 0)
	synctest.Wait()
	require.Empty(t, result)
	return result
}

func TestABatchThatAHandlerWaitsWithIsDeferredWhenTheBusStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 2})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		result := parkedBatch(t, b, series(2, 4))
		b.Stop()
		require.Equal(t, batchResult{2, nil}, receive(t, result))
		require.Equal(t, 2, orders(b).Deferred)
		g.open()
		start(t, b)
		flush(t, b)
		require.Equal(t, upTo(-1, 4), got.all())
	})
}

func TestABatchWhoseWaitEndsTakesNoRoomThatAHandlerWaitsFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
		result := parkedBatch(t, b, series(3, 5))
		r := publishBatch(within(t, time.Second), b, series(9, 11))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Zero(t, r.accepted)
		g.open()
		require.Equal(t, batchResult{2, nil}, receive(t, result))
		flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

// A batch fills the queue as far as it has events, so an event that is deferred
// stays out until one of them is begun.
func TestWhatAHandlerDefersStaysOutOfAQueueThatABatchFills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(4, eventbus.OrderQueue)...)
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		var during eventbus.QueueStats
		b.SubscribeFunc("fill", func(ctx context.Context, _ eventbus.Event) error {
			if r := publishBatch(ctx, b, series(0, 4)); r.err != nil {
				return r.err
			}
			err := b.Publish(ctx, eventbus.OrderQueue, numbered("order", 4))
			during = orders(b)
			return err
		})
		publish(t, b, eventbus.OrderQueue, "fill", 0)
		flush(t, b)
		require.Equal(t, []int{4, 1}, []int{during.Depth, during.Deferred})
		require.Equal(t, upTo(0, 5), got.all())
	})
}
