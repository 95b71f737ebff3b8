package eventbus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Late joiners that were unsubscribed give back their room, however many they were.
func TestUnsubscribeOfManyLateJoinersGivesBackTheirRoom(t *testing.T) {
	const n = 16
	b := newBus(t, holding(eventbus.DataQueue, n))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	require.NoError(t, price.Publish(context.Background(), b, 0))
	runUntilIdle(t, b)
	for range 1000 {
		price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()).Unsubscribe()
	}
	require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Depth)
	for i := range n {
		require.NoError(t, b.TryPublish(context.Background(), eventbus.DataQueue, event(tick, i)), "event %d", i)
	}
}

// Late joiners that left again give back all the room that they took: a publish to a
// queue that drops the oldest evicts an event that is there, and never looks for one
// that is not.
func TestUnsubscribeOfLateJoinersLeavesAnEvictingQueueUsable(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest}))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	price.Subscribe(b, func(context.Context, int) error { return nil })
	for range 2 {
		price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()).Unsubscribe()
	}
	require.NoError(t, receive(t, bustest.InBackground(func() error { return price.Publish(context.Background(), b, 1) })))
	s := b.Stats().Queues[eventbus.DataQueue]
	require.Equal(t, 1, s.Depth)
	require.Zero(t, s.Evicted)
}

// An event leaves its queue once: a late joiner that is unsubscribed when it has been
// evicted already is counted as evicted, and not as withdrawn too.
func TestUnsubscribeOfAnEvictedLateJoinerKeepsTheAccountsBalanced(t *testing.T) {
	var onClock func()
	b := newBus(t, eventbus.WithClock(func() time.Time {
		if f := onClock; f != nil {
			onClock = nil
			f()
		}
		return time.Unix(0, 0)
	}), eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest, MaxAge: time.Hour}))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	price.Subscribe(b, func(context.Context, int) error { return nil })
	require.NoError(t, price.Publish(context.Background(), b, 1))
	runUntilIdle(t, b)
	joiner := price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast())
	e := event("other", nil)
	e.Time = time.Unix(0, 0)
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, e)) // the joiner takes nobody's room
	require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Evicted)
	onClock = joiner.Unsubscribe
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, e)) // evicts the joiner, and the first
	require.Nil(t, onClock)
	require.EqualValues(t, 2, b.Stats().Queues[eventbus.DataQueue].Evicted)
	s := b.Stats().Queues[eventbus.DataQueue]
	requireBalance(t, b, eventbus.DataQueue)
	require.Equal(t, 1, s.Depth)
}

// A queue never holds more than its capacity, whoever has left it.
func TestUnsubscribeOfALateJoinerNeverOverfillsItsQueue(t *testing.T) {
	var onClock func()
	b := newBus(t, eventbus.WithClock(func() time.Time {
		if f := onClock; f != nil {
			onClock = nil
			f()
		}
		return time.Unix(0, 0)
	}), eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 2, MaxAge: time.Hour}))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	price.Subscribe(b, func(context.Context, int) error { return nil })
	require.NoError(t, price.Publish(context.Background(), b, 1))
	runUntilIdle(t, b)
	price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()).Unsubscribe()
	e := event("other", nil)
	e.Time = time.Unix(0, 0)
	depth := 0
	b.SubscribeFunc("other", func(context.Context, eventbus.Event) error { depth = max(depth, b.Stats().Queues[0].Depth); return nil })
	onClock = func() {
		for b.TryPublish(context.Background(), eventbus.DataQueue, e) == nil {
		}
	}
	runUntilIdle(t, b)
	require.Nil(t, onClock)
	s := b.Stats().Queues[eventbus.DataQueue]
	require.LessOrEqual(t, s.HighWater, 2)
	requireBalance(t, b, eventbus.DataQueue)
	require.LessOrEqual(t, s.Handled, uint64(3), "the first one and as many as the capacity")
}

// A subscription WithLast misses no event that is published after it, and evicts none:
// also at a full queue that drops the oldest.
func TestWithLastMissesNothingOfAFullQueueThatDropsTheOldest(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropOldest}))
	topic := eventbus.NewTopic[string](tick, eventbus.DataQueue, eventbus.Retain())
	var all, late journal[string]
	topic.Subscribe(b, func(_ context.Context, s string) error { all.add(s); return nil })
	for _, s := range []string{"a", "b"} {
		require.NoError(t, topic.Publish(context.Background(), b, s))
	}
	topic.Subscribe(b, func(_ context.Context, s string) error { late.add(s); return nil }, eventbus.WithLast())
	for _, s := range []string{"c", "d"} {
		require.NoError(t, topic.Publish(context.Background(), b, s))
	}
	runUntilIdle(t, b)
	require.Equal(t, []string{"c", "d"}, all.all())
	require.Equal(t, []string{"c", "d"}, late.all())
}

// Forget lets go of the last event, and not of the next one: that is kept, also if it is
// published without the topic.
func TestTopicForgetKeepsWhatIsPublishedNext(t *testing.T) {
	b := newBus(t)
	topic := eventbus.NewTopic[int]("fill", eventbus.OrderQueue, eventbus.Retain())
	require.NoError(t, topic.Publish(context.Background(), b, 1))
	runUntilIdle(t, b)
	topic.Forget(b)
	publish(t, b, eventbus.OrderQueue, "fill", 2)
	runUntilIdle(t, b)
	var late journal[int]
	topic.Subscribe(b, func(_ context.Context, n int) error { late.add(n); return nil }, eventbus.WithLast())
	runUntilIdle(t, b)
	require.Equal(t, []int{2}, late.all())
}

// Late joiners that come and go, however many, while a handler is slow hold up nobody:
// those that follow travel through the queue as the first did, and so do events.
func TestUnsubscribeOfLateJoinersHoldsUpNobody(t *testing.T) {
	const n = 33
	b := newBus(t, holding(eventbus.OrderQueue, n))
	fills := eventbus.NewTopic[int]("fill", eventbus.OrderQueue, eventbus.Retain())
	require.NoError(t, fills.Publish(context.Background(), b, 0))
	g := newGate()
	b.SubscribeFunc("order", g.handle)
	start(t, b)
	join := func(n int) (joined []*eventbus.Subscription) {
		for range n {
			joined = append(joined, fills.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()))
		}
		return joined
	}
	leave := func(joined []*eventbus.Subscription) {
		for _, s := range joined {
			s.Unsubscribe()
		}
	}
	comeAndGo := func(n int) {
		for range n {
			leave(join(1))
		}
	}
	publish(t, b, eventbus.OrderQueue, "order", 1)
	receive(t, g.entered)
	publish(t, b, eventbus.OrderQueue, "order", 2)
	receive(t, bustest.InBackground(func() bool {
		joined := join(n - 2)
		comeAndGo(n - 1)
		joined = append(joined, join(1)...)
		leave(joined)
		comeAndGo(2)
		g.release <- struct{}{}
		<-g.entered // the second order
		join(n - 1)
		comeAndGo(n - 1)
		join(1)
		return true
	}))
	g.open()
	bustest.Flush(t, b)
	requireBalance(t, b, eventbus.OrderQueue)
}

func TestPublishWaitThatIsWithdrawnBeyondTheCapacityHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 1}), eventbus.WithPollInterval(time.Hour))
		rec := eventbustest.NewRecorder(t, b)
		release, withdrawn := make(chan struct{}), make(chan struct{})
		b.SubscribeFunc("busy", func(context.Context, eventbus.Event) error { <-release; return nil })
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			defer close(withdrawn)
			for range 2 {
				time.AfterFunc(time.Second, func() { assert.NoError(t, b.Pause(eventbus.OrderQueue)) })
				assert.ErrorIs(t, b.PublishWait(ctx, eventbus.OrderQueue, eventbus.Event{Type: "withdrawn"}), eventbus.ErrPaused)
				assert.NoError(t, b.Resume(eventbus.OrderQueue))
			}
			assert.NoError(t, b.Pause(eventbus.OrderQueue))
			return b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "deferred"})
		})
		start(t, b)
		require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "busy"}))
		synctest.Wait()
		require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "tick"}))
		<-withdrawn
		close(release)
		synctest.Wait()
		require.NoError(t, b.Resume(eventbus.OrderQueue))
		synctest.Wait()
		rec.ExpectInAnyOrder(t, eventbustest.Type("busy"), eventbustest.Type("tick"), eventbustest.Type("deferred"))
	})
}
