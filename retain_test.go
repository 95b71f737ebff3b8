package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

var (
	price  = eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	volume = eventbus.NewTopic[int]("volume", eventbus.DataQueue)
)

// A seen collects payloads.
type seen struct {
	mu   sync.Mutex
	data []int
}

func (s *seen) add(_ context.Context, data int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, data)
	return nil
}

func TestALateJoinerFirstGetsTheLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		start(t, b)
		ctx := context.Background()
		var early, late, plain, other, picky seen
		price.Subscribe(b, early.add, eventbus.WithLast()) // there is none yet
		for i := range 3 {
			require.NoError(t, price.Publish(ctx, b, i))
			require.NoError(t, volume.Publish(ctx, b, i))
		}
		require.NoError(t, b.Flush(ctx))
		price.Subscribe(b, late.add, eventbus.WithLast())
		price.Subscribe(b, plain.add)
		volume.Subscribe(b, other.add, eventbus.WithLast()) // nothing keeps quotes
		price.Subscribe(b, picky.add, eventbus.WithLast(), eventbus.Where(func(e eventbus.Event) bool { return e.Data != 2 }))
		require.NoError(t, b.Flush(ctx))
		require.Equal(t, []int{2}, late.data)
		require.NoError(t, b.Publish(ctx, eventbus.DataQueue, eventbus.Event{Type: "price", Data: 3})) // an untyped one
		require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "price", Data: 99}))
		require.NoError(t, b.Flush(ctx))
		var last seen
		price.Subscribe(b, last.add, eventbus.WithLast())
		require.NoError(t, volume.Publish(ctx, b, 3))
		require.NoError(t, b.Flush(ctx))
		require.Equal(t, []int{3}, last.data, "not the one of another queue")
		require.ElementsMatch(t, []int{0, 1, 2, 3, 99}, early.data)
		require.ElementsMatch(t, []int{2, 3, 99}, late.data)
		require.ElementsMatch(t, []int{3, 99}, plain.data)
		require.ElementsMatch(t, []int{3, 99}, picky.data)
		require.Equal(t, []int{3}, other.data)
	})
}

// However it races with the publisher, a late joiner sees a run of numbers
// without a gap or a repetition, up to the last.
func TestALateJoinerMissesNothingAndGetsNothingTwice(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{
		"room":          nil,
		"no room":       {eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1})},
		"single thread": {eventbus.WithSingleThread()},
		"conflation": {eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{
			Capacity: 4, ConflateBy: func(eventbus.Event) string { return "" }})},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			start(t, b)
			ctx := context.Background()
			const n, joiners = 1000, 50
			require.NoError(t, price.Publish(ctx, b, -1))
			var all [joiners]seen
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if err := price.Publish(ctx, b, i); err != nil {
						t.Error(err)
						return
					}
				}
			})
			wg.Go(func() {
				for i := range all {
					price.Subscribe(b, all[i].add, eventbus.WithLast())
				}
			})
			wg.Wait()
			require.NoError(t, b.Shutdown(ctx))
			for i := range all {
				data := all[i].data
				require.NotEmpty(t, data)
				for j, v := range data {
					require.Equal(t, data[0]+j, v)
				}
				require.Equal(t, n-1, data[len(data)-1])
			}
			q := b.Stats().Queues[eventbus.DataQueue]
			require.Equal(t, q.Accepted, q.Handled)
			require.Equal(t, uint64(n+1+joiners), q.Accepted)
			require.Len(t, b.Stats().Handlers, joiners)
		})
	}
}

func TestALateJoinerThatLeavesBeforeItsTurnGetsNothing(t *testing.T) {
	b := newBus(t)
	require.NoError(t, price.Publish(context.Background(), b, 1))
	var s seen
	sub := price.Subscribe(b, s.add, eventbus.WithLast())
	sub.Unsubscribe()
	runUntilIdle(t, b)
	require.Empty(t, s.data)
	require.Empty(t, b.Stats().Handlers)
	require.Equal(t, uint64(1), b.Stats().Queues[eventbus.DataQueue].Unhandled, "a topic that retains does not handle")
}

func TestShutdownDoesNotHandBackALateJoiner(t *testing.T) {
	for _, c := range []eventbus.QueueConfig{{Capacity: 10}, {Capacity: 1}} {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, c))
		require.NoError(t, price.Publish(context.Background(), b, 1))
		price.Subscribe(b, new(seen).add, eventbus.WithLast())
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.Len(t, left.Remaining[eventbus.DataQueue], 1)
		q := b.Stats().Queues[eventbus.DataQueue]
		require.Equal(t, []int{2, 1, 0, 1}, []int{int(q.Accepted), q.Depth, q.Deferred, int(q.Withdrawn)})
		price.Subscribe(b, new(seen).add, eventbus.WithLast()) // no effect, no panic
	}
}

func TestADroppedLateJoinerJoinsWithoutTheLastEvent(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropOldest}))
	ctx := context.Background()
	var s seen
	price.Subscribe(b, s.add, eventbus.WithLast())
	for i := range 4 {
		require.NoError(t, price.Publish(ctx, b, i))
	}
	runUntilIdle(t, b)
	require.Equal(t, []int{2, 3}, s.data)
}

func TestWithLastIsForATypeOnly(t *testing.T) {
	b := newBus(t)
	require.PanicsWithValue(t, "eventbus: SubscribeAll: WithLast: SubscribeAll has no last event; subscribe to a type", func() {
		b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return nil }), eventbus.WithLast())
	})
}

func TestARetainedEventKeepsItsHandlersOnceDisabledOrOnce(t *testing.T) {
	b := newBus(t)
	ctx := context.Background()
	require.NoError(t, price.Publish(ctx, b, 1))
	runUntilIdle(t, b)
	var s seen
	price.Subscribe(b, s.add, eventbus.WithLast(), eventbus.Once())
	require.NoError(t, price.Publish(ctx, b, 2))
	runUntilIdle(t, b)
	require.Equal(t, []int{1}, s.data, "the last event is the one call of Once")
	require.Empty(t, b.Stats().Handlers)
}

func TestALateJoinerKeepsItsPlaceAmongTheHandlers(t *testing.T) {
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

// What keeps the last event is no handler: an event that nobody else got before
// the kill switch must reach its first handler, or be handed back.
func TestTheKillSwitchDoesNotLoseAnEventThatWasOnlyRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *eventbus.Bus
		var result error
		log := &logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: event has no handler" {
				result = b.Shutdown(ended())
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
