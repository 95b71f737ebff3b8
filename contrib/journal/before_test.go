package journal_test

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// What Before has let pass is in the file, and what has led to it: the handler finds it
// there. The flush interval does not matter.
func TestBeforeStoresAheadOfTheHandler(t *testing.T) {
	path := tempPath(t)
	j := open(t, path, journal.WithFlushInterval(time.Hour))
	bus := newBus(t)
	j.Record(bus)
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error { return orders.Publish(ctx, bus, order{"A1"}) })
	var seen []journal.Record
	orders.Subscribe(bus, func(context.Context, order) error {
		seen = read(t, path)
		return nil
	}, eventbus.Use(j.Before(orders.Type())))
	require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	step(t, bus)
	require.Len(t, seen, 2)
	require.Equal(t, ticks.Type(), seen[0].Type)
	require.Equal(t, orders.Type(), seen[1].Type)
}

// An event is recorded once, though the tap and several handlers behind Before see it.
func TestBeforeRecordsAnEventOnce(t *testing.T) {
	for name, tap := range map[string]bool{"with the tap": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			j := open(t, path)
			called := 0
			handler := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { called++; return nil })
			bus := newBus(t, eventbus.WithMiddleware(j.Before("order")))
			if tap {
				j.Record(bus)
			}
			bus.Subscribe("order", handler, eventbus.Use(j.Before()))
			bus.Subscribe("order", handler, eventbus.Use(j.Before("order")))
			bus.Subscribe("tick", handler)
			for range 3 {
				require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
				require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
			}
			step(t, bus)
			require.Equal(t, 9, called)
			require.NoError(t, j.Close())
			types := make(map[eventbus.EventType]int)
			for _, r := range read(t, path) {
				types[r.Type]++
			}
			want := map[eventbus.EventType]int{"order": 3}
			if tap {
				want["tick"] = 3
			}
			require.Equal(t, want, types)
		})
	}
}

func TestBeforeLeavesOtherTypesAlone(t *testing.T) {
	j := open(t, tempPath(t))
	bus := newBus(t)
	require.NoError(t, j.Close())
	called := 0
	handler := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { called++; return nil })
	bus.SubscribeMatch("*", handler, eventbus.Use(j.Before("order")))
	require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
	require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	step(t, bus)
	require.Equal(t, 1, called, "the tick's: the journal is closed")
}

// Handlers of all queues at once wait for the same syncs.
func TestBeforeOnAllQueuesAtOnce(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	var called atomic.Int64
	bus.SubscribeMatch("*", eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { called.Add(1); return nil }), eventbus.Use(j.Before()))
	ctx := limited(t)
	require.NoError(t, bus.Start(ctx))
	for range 50 {
		require.NoError(t, ticks.Publish(ctx, bus, tick{}))
		require.NoError(t, signals.Publish(ctx, bus, signal{}))
		require.NoError(t, orders.Publish(ctx, bus, order{}))
	}
	require.NoError(t, bus.Shutdown(ctx))
	require.EqualValues(t, 150, called.Load())
	require.NoError(t, j.Close())
	require.Len(t, read(t, path), 150)
}

func TestBeforeRefusesWhatIsNoDelivery(t *testing.T) {
	j := open(t, tempPath(t))
	h := j.Before()(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
		require.Fail(t, "it was called")
		return nil
	}))
	require.ErrorIs(t, h.Handle(context.Background(), eventbus.NewEvent("order", nil, "")), journal.ErrNotStored)
}

// What Close has written and synced is stored, and its handler is called, though the journal
// is closed by then.
func TestBeforeCallsTheHandlerOfWhatCloseHasSynced(t *testing.T) {
	j := open(t, tempPath(t))
	bus := newBus(t)
	j.Record(bus)
	called := 0
	orders.Subscribe(bus, func(context.Context, order) error { return j.Close() }, eventbus.WithPriority(1))
	orders.Subscribe(bus, func(context.Context, order) error { called++; return nil }, eventbus.Use(j.Before()))
	require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
	step(t, bus)
	require.Equal(t, 1, called)
	require.NoError(t, orders.Publish(limited(t), bus, order{"A2"}))
	step(t, bus)
	require.Equal(t, 1, called, "it is not stored")
}

// A handler whose time ends while its event is being stored is not called: the bus has
// reported that it failed, and is at another event.
func TestBeforeBehindAsyncThatHasGivenUp(t *testing.T) {
	path := tempPath(t)
	j := open(t, path, journal.WithErrorHandler(func(error) {}))
	bus := newBus(t)
	j.Record(bus)
	var called atomic.Int64
	send := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { called.Add(1); return nil })
	bus.Subscribe("slow", eventbus.Async(j.Before()(send), 20*time.Millisecond))
	block, blocked := make(chan struct{}), make(chan struct{})
	ctx := limited(t)
	require.NoError(t, bus.Start(ctx))
	require.ErrorIs(t, bus.PublishWait(ctx, eventbus.OrderQueue, eventbus.Event{Type: "slow", Data: slowJSON{blocked, block}}), eventbus.ErrHandlerTimeout)
	require.ErrorIs(t, bus.PublishWait(ctx, eventbus.OrderQueue, eventbus.Event{Type: "slow", Data: math.NaN()}), eventbus.ErrHandlerTimeout)
	close(block)
	require.NoError(t, bus.Shutdown(ctx), "it waits for the abandoned calls")
	require.Zero(t, called.Load())
	require.NoError(t, j.Close())
	require.Len(t, read(t, path), 2)
}
