package eventbus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/race"
)

// series returns events with the data from to to-1.
func series(from, to int) []eventbus.Event {
	var events []eventbus.Event
	for n := from; n < to; n++ {
		events = append(events, numbered("order", n))
	}
	return events
}

// busyWithFirst returns a started bus with a journal of the orders it has begun
// to handle, the first of which, number -1, waits for the gate.
func busyWithFirst(t *testing.T, c eventbus.QueueConfig, opts ...eventbus.Option) (*eventbus.Bus, *journal[int], *gate) {
	t.Helper()
	b := startedBus(t, append(opts, eventbus.WithQueue(eventbus.OrderQueue, c))...)
	var got journal[int]
	g := newGate(t)
	b.SubscribeFunc("order", got.handle)
	b.SubscribeFunc("order", g.handle)
	require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, numbered("order", -1)))
	receive(t, g.entered)
	return b, &got, g
}

// publishBatch publishes events as one batch to the order queue.
func publishBatch(ctx context.Context, b *eventbus.Bus, events []eventbus.Event) batchResult {
	n, err := b.PublishBatch(ctx, eventbus.OrderQueue, events)
	return batchResult{n, err}
}

type batchResult struct {
	accepted int
	err      error
}

func orders(b *eventbus.Bus) eventbus.QueueStats { return b.Stats().Queues[eventbus.OrderQueue] }

func TestABatchIsHandledInOrderAndItsSliceIsTheCallersAgain(t *testing.T) {
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

func TestTheEventsOfABatchCountForTheCapacity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10, Overflow: eventbus.DropNewest})
		require.Equal(t, batchResult{8, nil}, publishBatch(t.Context(), b, series(0, 8)))
		require.Equal(t, 8, orders(b).Depth)
		r := publishBatch(t.Context(), b, series(8, 12))
		require.ErrorIs(t, r.err, eventbus.ErrDropped)
		require.ErrorContains(t, r.err, `publish "order" to the order queue`)
		require.Equal(t, 2, r.accepted)
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 12)), eventbus.ErrDropped)
		require.ErrorIs(t, b.TryPublish(t.Context(), eventbus.OrderQueue, numbered("order", 12)), eventbus.ErrQueueFull)

		g.release <- struct{}{}
		receive(t, g.entered)
		require.Equal(t, 9, orders(b).Depth, "the batch is open")
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 13)))
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 14)), eventbus.ErrDropped)
		g.open()
		flush(t, b)
		require.Equal(t, append(upTo(-1, 10), 13), got.all())
		s := orders(b)
		require.Equal(t, []any{10, uint64(12), uint64(12), uint64(4), uint64(1)}, []any{s.HighWater, s.Accepted, s.Handled, s.Dropped, s.Rejected})
	})
}

func TestABatchWaitsUntilThereIsRoomForAllOfIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(3, 7)) })
		synctest.Wait()
		later := inBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, numbered("order", 7)) })
		synctest.Wait()
		require.Equal(t, 4, orders(b).Depth, "it takes the place that is free")
		g.open()
		require.Equal(t, batchResult{4, nil}, receive(t, waiting))
		require.NoError(t, receive(t, later))
		flush(t, b)
		require.Equal(t, upTo(-1, 8), got.all())
		require.Equal(t, 4, orders(b).HighWater)
	})
}

func TestABatchWhoseWaitEndsIsAcceptedAsFarAsThereIsRoom(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
				b, got, g := busyWithFirst(t, c.cfg)
				publish(t, b, eventbus.OrderQueue, "order", 0)
				r := publishBatch(within(t, c.wait), b, series(1, 6))
				require.ErrorIs(t, r.err, c.want)
				require.Equal(t, 3, r.accepted)
				s := orders(b)
				require.EqualValues(t, []uint64{5, 2}, []uint64{s.Accepted, s.Dropped + s.Rejected})
				g.open()
				flush(t, b)
				require.Equal(t, upTo(-1, 4), got.all())
			})
		})
	}
}

func TestOfABatchBehindOthersNothingIsAcceptedWhenItsWaitEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		first := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(2, 5)) })
		synctest.Wait()
		r := publishBatch(within(t, time.Second), b, series(9, 11))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Zero(t, r.accepted)
		g.open()
		require.Equal(t, batchResult{3, nil}, receive(t, first))
		flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

func TestABatchLargerThanTheQueueIsAcceptedAsFarAsItFits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(1, 7)) })
		synctest.Wait()
		g.open()
		require.Equal(t, batchResult{6, nil}, receive(t, waiting))
		flush(t, b)
		require.Equal(t, upTo(-1, 7), got.all())
	})
}

func TestABatchEvictsTheOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropOldest})
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(0, 3)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(3, 6)))
		require.EqualValues(t, 2, orders(b).Evicted)
		require.Equal(t, batchResult{6, nil}, publishBatch(t.Context(), b, series(6, 12)))
		require.EqualValues(t, 8, orders(b).Evicted)
		g.open()
		flush(t, b)
		require.Equal(t, append([]int{-1}, upTo(8, 12)...), got.all())
	})
}

func TestABatchThatIsWrongIsRefusedWhole(t *testing.T) {
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

func TestABatchThatFindsRoomAllocatesNothing(t *testing.T) {
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
