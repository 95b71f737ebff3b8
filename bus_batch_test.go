package eventbus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

func TestPublishBatchKeepsOrderAndGivesTheSliceBack(t *testing.T) {
	b := startedBus(t)
	var got journal[int]
	b.SubscribeFunc("order", got.handle)
	events := make([]eventbus.Event, 16)
	for i := range 1000 {
		copy(events, series(16*i, 16*i+16))
		require.Equal(t, batchResult{16, nil}, publishBatch(context.Background(), b, events))
		clear(events)
	}
	require.Equal(t, batchResult{}, publishBatch(context.Background(), b, nil))
	require.Equal(t, batchResult{1, nil}, publishBatch(context.Background(), b, series(16_000, 16_001)))
	shutdown(t, b)
	require.Equal(t, upTo(0, 16_001), got.all())
	require.EqualValues(t, 16_001, orders(b).Handled)
}

func TestPublishBatchCountsForTheCapacity(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 10, Overflow: eventbus.DropNewest})
		require.Equal(t, batchResult{8, nil}, publishBatch(t.Context(), b, series(0, 8)))
		require.Equal(t, 8, orders(b).Depth)
		r := publishBatch(t.Context(), b, series(8, 12))
		require.ErrorIs(t, r.err, eventbus.ErrDropped)
		require.ErrorContains(t, r.err, `publish "order" to the order queue`)
		require.Equal(t, 2, r.accepted)
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, event("order", 12)), eventbus.ErrDropped)
		require.ErrorIs(t, b.TryPublish(t.Context(), eventbus.OrderQueue, event("order", 12)), eventbus.ErrQueueFull)

		g.release <- struct{}{}
		receive(t, g.entered)
		require.Equal(t, 9, orders(b).Depth, "the batch is open")
		publish(t, b, eventbus.OrderQueue, "order", 13)
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, event("order", 14)), eventbus.ErrDropped)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, append(upTo(-1, 10), 13), got.all())
		s := orders(b)
		require.Equal(t, []any{10, uint64(12), uint64(12), uint64(4), uint64(1)}, []any{s.HighWater, s.Accepted, s.Handled, s.Dropped, s.Rejected})
	})
}

func TestPublishBatchWhoseWaitEndsIsAPrefix(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  eventbus.QueueConfig
		wait time.Duration // of the context
		want error
	}{
		"its context ends":    {eventbus.QueueConfig{Capacity: 4}, time.Second, context.DeadlineExceeded},
		"the queue refuses":   {eventbus.QueueConfig{Capacity: 4, Timeout: time.Second}, time.Hour, eventbus.ErrQueueFull},
		"the queue drops":     {eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropNewest, Timeout: time.Second}, time.Hour, eventbus.ErrDropped},
		"the queue drops now": {eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropNewest}, time.Hour, eventbus.ErrDropped},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, got, g := busy(t, c.cfg)
				publish(t, b, eventbus.OrderQueue, "order", 0)
				r := publishBatch(bustest.Within(t, c.wait), b, series(1, 6))
				require.ErrorIs(t, r.err, c.want)
				require.Equal(t, 3, r.accepted)
				s := orders(b)
				require.EqualValues(t, []uint64{5, 2}, []uint64{s.Accepted, s.Dropped + s.Rejected})
				g.open()
				bustest.Flush(t, b)
				require.Equal(t, upTo(-1, 4), got.all())
			})
		})
	}
}

func TestPublishBatchBehindOthersIsRefusedWhole(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		first := bustest.InBackground(func() batchResult { return publishBatch(context.Background(), b, series(2, 5)) })
		synctest.Wait()
		r := publishBatch(bustest.Within(t, time.Second), b, series(9, 11))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Zero(t, r.accepted)
		g.open()
		require.Equal(t, batchResult{3, nil}, receive(t, first))
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

func TestPublishBatchMayBeLargerThanTheQueue(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0)
		waiting := bustest.InBackground(func() batchResult { return publishBatch(context.Background(), b, series(1, 7)) })
		synctest.Wait()
		g.open()
		require.Equal(t, batchResult{6, nil}, receive(t, waiting))
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 7), got.all())
	})
}

func TestPublishBatchEvictsTheOldest(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropOldest})
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(0, 3)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(3, 6)))
		require.EqualValues(t, 2, orders(b).Evicted)
		require.Equal(t, batchResult{6, nil}, publishBatch(t.Context(), b, series(6, 12)))
		require.EqualValues(t, 8, orders(b).Evicted)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, append([]int{-1}, upTo(8, 12)...), got.all())
	})
}

func TestPublishBatchThatIsWrongIsRefusedWhole(t *testing.T) {
	b := startedBus(t)
	n, err := b.PublishBatch(t.Context(), 7, series(0, 2))
	require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
	require.Zero(t, n)
	r := publishBatch(t.Context(), b, append(series(0, 2), eventbus.Event{}))
	require.ErrorIs(t, r.err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, r.err, "event 2 of 3")
	require.Zero(t, r.accepted)
	var none context.Context
	r = publishBatch(none, b, series(0, 2))
	require.ErrorContains(t, r.err, "the context is nil")
	require.EqualValues(t, 5, orders(b).Rejected)
	require.ErrorContains(t, publishBatch(none, b, nil).err, "the context is nil")
	require.EqualValues(t, 5, orders(b).Rejected)
	require.NoError(t, publishBatch(t.Context(), b, nil).err)
	require.Zero(t, orders(b).Accepted)
}

func TestPublishBatchWithRoomAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector empties pools")
	}
	b := newBus(t)
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil })
	events := series(0, 16)
	ctx := context.Background()
	require.Zero(t, testing.AllocsPerRun(many(500), func() {
		_, _ = b.PublishBatch(ctx, eventbus.OrderQueue, events)
		_, _ = b.RunUntilIdle(ctx)
	}))
}

func TestPublishBatchInAHandlerIsDeferred(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
			publish(t, b, eventbus.OrderQueue, "split", n)
		}
		bustest.Flush(t, b)
		require.Equal(t, []int{100, 101, 102, 200, 201, 202}, got.all())
		require.Equal(t, []batchResult{{3, nil}, {3, nil}}, results.all())
		require.LessOrEqual(t, orders(b).HighWater, 3)
	})
}

func TestPublishBatchInAHandlerIsToldHowFarItIs(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(2, eventbus.OrderQueue)...)
		var got journal[int]
		var result batchResult
		b.SubscribeFunc("order", got.handle)
		b.SubscribeFunc("split", func(ctx context.Context, _ eventbus.Event) error {
			result = publishBatch(ctx, b, series(0, 12))
			return nil
		})
		publish(t, b, eventbus.OrderQueue, "split", 0)
		bustest.Flush(t, b)
		require.ErrorIs(t, result.err, eventbus.ErrQueueFull)
		require.Equal(t, 9, result.accepted, "as many as the queue holds, and twice that and 3")
		require.Equal(t, upTo(0, 9), got.all())
	})
}

// waitingBatch makes a handler of the signal queue publish events as one batch to
// the order queue, which has no room for it.
func waitingBatch(t *testing.T, b *eventbus.Bus, events []eventbus.Event) <-chan batchResult {
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

func TestPublishBatchOfAHandlerIsDeferredByStop(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 2})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		result := waitingBatch(t, b, series(2, 4))
		b.Stop()
		require.Equal(t, batchResult{2, nil}, receive(t, result))
		require.Equal(t, 2, orders(b).Deferred)
		g.open()
		start(t, b)
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 4), got.all())
	})
}

func TestPublishBatchTakesNoRoomThatAHandlerWaitsFor(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
		result := waitingBatch(t, b, series(3, 5))
		r := publishBatch(bustest.Within(t, time.Second), b, series(9, 11))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Zero(t, r.accepted)
		g.open()
		require.Equal(t, batchResult{2, nil}, receive(t, result))
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

// A batch fills the queue as far as it has events, so an event that is deferred
// stays out until one of them is begun.
func TestPublishBatchKeepsDeferredEventsOut(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(4, eventbus.OrderQueue)...)
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		var during eventbus.QueueStats
		b.SubscribeFunc("fill", func(ctx context.Context, _ eventbus.Event) error {
			if r := publishBatch(ctx, b, series(0, 4)); r.err != nil {
				return r.err
			}
			err := b.Publish(ctx, eventbus.OrderQueue, event("order", 4))
			during = orders(b)
			return err
		})
		publish(t, b, eventbus.OrderQueue, "fill", 0)
		bustest.Flush(t, b)
		require.Equal(t, []int{4, 1}, []int{during.Depth, during.Deferred})
		require.Equal(t, upTo(0, 5), got.all())
	})
}
