package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

var (
	price  = eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	volume = eventbus.NewTopic[int]("volume", eventbus.DataQueue)
)

func TestWithLastFirstGetsTheLastEvent(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		start(t, b)
		ctx := context.Background()
		var early, late, plain, other, picky journal[int]
		price.Subscribe(b, early.note, eventbus.WithLast()) // there is none yet
		for i := range 3 {
			require.NoError(t, price.Publish(ctx, b, i))
			require.NoError(t, volume.Publish(ctx, b, i))
		}
		bustest.Flush(t, b)
		price.Subscribe(b, late.note, eventbus.WithLast())
		price.Subscribe(b, plain.note)
		volume.Subscribe(b, other.note, eventbus.WithLast()) // nothing keeps volumes
		price.Subscribe(b, picky.note, eventbus.WithLast(), eventbus.Where(func(e eventbus.Event) bool { return e.Data != 2 }))
		bustest.Flush(t, b)
		require.Equal(t, []int{2}, late.all())
		require.NoError(t, b.Publish(ctx, eventbus.DataQueue, eventbus.Event{Type: "price", Data: 3})) // an untyped one
		require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "price", Data: 99}))
		bustest.Flush(t, b)
		var last journal[int]
		price.Subscribe(b, last.note, eventbus.WithLast())
		require.NoError(t, volume.Publish(ctx, b, 3))
		bustest.Flush(t, b)
		require.Equal(t, []int{3}, last.all(), "not the one of another queue")
		require.ElementsMatch(t, []int{0, 1, 2, 3, 99}, early.all())
		require.ElementsMatch(t, []int{2, 3, 99}, late.all())
		require.ElementsMatch(t, []int{3, 99}, plain.all())
		require.ElementsMatch(t, []int{3, 99}, picky.all())
		require.Equal(t, []int{3}, other.all())
	})
}

func TestWithLastThatLeavesBeforeItsTurnGetsNothing(t *testing.T) {
	b := newBus(t)
	require.NoError(t, price.Publish(context.Background(), b, 1))
	var s journal[int]
	sub := price.Subscribe(b, s.note, eventbus.WithLast())
	sub.Unsubscribe()
	runUntilIdle(t, b)
	require.Empty(t, s.all())
	require.Empty(t, b.Stats().Handlers)
	require.Equal(t, uint64(1), b.Stats().Queues[eventbus.DataQueue].Unhandled, "a topic that retains does not handle")
}

func TestWithLastIsNotHandedBack(t *testing.T) {
	for _, c := range []eventbus.QueueConfig{{Capacity: 10}, {Capacity: 1}} {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, c))
		require.NoError(t, price.Publish(context.Background(), b, 1))
		price.Subscribe(b, new(journal[int]).note, eventbus.WithLast())
		left := leftBy(t, b.Shutdown(context.Background()))
		require.Len(t, left.Remaining[eventbus.DataQueue], 1)
		q := b.Stats().Queues[eventbus.DataQueue]
		require.Equal(t, []int{2, 1, 0, 1}, []int{int(q.Accepted), q.Depth, q.Deferred, int(q.Withdrawn)})
		price.Subscribe(b, new(journal[int]).note, eventbus.WithLast()) // no effect, no panic
	}
}

func TestWithLastThatIsEvictedJoinsWithoutTheLastEvent(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropOldest}))
	ctx := context.Background()
	var s journal[int]
	price.Subscribe(b, s.note, eventbus.WithLast())
	for i := range 4 {
		require.NoError(t, price.Publish(ctx, b, i))
	}
	runUntilIdle(t, b)
	require.Equal(t, []int{2, 3}, s.all())
}

func TestWithLastIsForATypeOnly(t *testing.T) {
	b := newBus(t)
	require.PanicsWithValue(t, "eventbus: SubscribeAll: WithLast: SubscribeAll has no last event; subscribe to a type", func() {
		b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return nil }), eventbus.WithLast())
	})
}

func TestWithLastIsTheCallOfOnce(t *testing.T) {
	b := newBus(t)
	ctx := context.Background()
	require.NoError(t, price.Publish(ctx, b, 1))
	runUntilIdle(t, b)
	var s journal[int]
	price.Subscribe(b, s.note, eventbus.WithLast(), eventbus.Once())
	require.NoError(t, price.Publish(ctx, b, 2))
	runUntilIdle(t, b)
	require.Equal(t, []int{1}, s.all(), "the last event is the one call of Once")
	require.Empty(t, b.Stats().Handlers)
}

func TestWithLastKeepsItsPlaceAmongTheHandlers(t *testing.T) {
	b := newBus(t)
	ctx := context.Background()
	require.NoError(t, price.Publish(ctx, b, 1))
	runUntilIdle(t, b)
	var calls []string
	note := func(name string) func(context.Context, int) error {
		return func(context.Context, int) error { calls = append(calls, name); return nil }
	}
	price.Subscribe(b, note("late"), eventbus.WithLast())
	price.Subscribe(b, note("plain"))
	runUntilIdle(t, b)
	require.NoError(t, price.Publish(ctx, b, 2))
	runUntilIdle(t, b)
	require.Equal(t, []string{"late", "late", "plain"}, calls)
}

// Retaining an event is not handling it. An event that was only retained before the
// kill switch reaches its first handler, or is handed back.
func TestRetainLosesNoEventToTheKillSwitch(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var b *eventbus.Bus
		var result error
		log := &logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: event has no handler" {
				result = b.Shutdown(bustest.Ended())
			}
		}}
		b = newBus(t, log.logger())
		taps := 0
		b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { taps++; return nil }))
		start(t, b)
		require.NoError(t, price.Publish(t.Context(), b, 1))
		synctest.Wait()
		require.ErrorContains(t, result, "of the data queue")
		left := new(eventbus.ShutdownError)
		errors.As(result, &left)
		require.Equal(t, 1, taps+len(left.Remaining[eventbus.DataQueue]))
	})
}

func TestForgetLetsGoOfTheLastEvent(t *testing.T) {
	b := newBus(t)
	price.Forget(b) // there is none
	require.NoError(t, price.Publish(context.Background(), b, 1))
	runUntilIdle(t, b)
	price.Forget(b)
	var got journal[int]
	b.SubscribeFunc("price", got.handle, eventbus.WithLast())
	runUntilIdle(t, b)
	require.Empty(t, got.all())
	require.NoError(t, price.Publish(context.Background(), b, 2))
	runUntilIdle(t, b)
	require.Equal(t, []int{2}, got.all())
}

func TestDeliveryFromAllocatesNothing(t *testing.T) {
	b := newBus(t)
	var allocs float64
	b.SubscribeFunc("e", func(ctx context.Context, _ eventbus.Event) error {
		allocs = testing.AllocsPerRun(100, func() { _, _ = eventbus.DeliveryFrom(ctx) })
		return nil
	})
	start(t, b)
	publish(t, b, eventbus.DataQueue, "e", nil)
	bustest.Flush(t, b)
	require.Zero(t, allocs)
}

func TestDeliveryFromNeedsAHandlersContext(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		_, ok := eventbus.DeliveryFrom(context.Background())
		require.False(t, ok)

		abandoned := make(chan bool)
		b := newBus(t)
		b.Subscribe("e", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			<-ctx.Done()
			for {
				if _, ok := eventbus.DeliveryFrom(ctx); !ok {
					close(abandoned)
					return nil
				}
				time.Sleep(time.Millisecond)
			}
		}), time.Millisecond))
		start(t, b)
		publish(t, b, eventbus.DataQueue, "e", nil)
		<-abandoned
	})
}

// A processor remembers the handlers of its last event. RunUntilIdle has handled
// other events since.
func TestDeliveryFromNamesItsHandlerAfterAStep(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		var names []string
		note := func(ctx context.Context, _ eventbus.Event) error {
			d, _ := eventbus.DeliveryFrom(ctx)
			names = append(names, d.Handler)
			return nil
		}
		b.SubscribeFunc("a", note, eventbus.WithName("of a"))
		b.SubscribeFunc("b", note, eventbus.WithName("of b"))
		for range 2 {
			start(t, b)
			publish(t, b, eventbus.DataQueue, "a", nil)
			bustest.Flush(t, b)
			b.Stop()
			publish(t, b, eventbus.DataQueue, "b", nil)
			runUntilIdle(t, b)
		}
		require.Equal(t, []string{"of a", "of b", "of a", "of b"}, names)
	})
}
