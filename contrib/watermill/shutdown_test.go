package eventbuswatermill_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// Shutdown lets the subscribers finish, with what they publish meanwhile to other topics,
// and refuses what comes from outside.
func TestBrokerShutdownDrainsCascades(t *testing.T) {
	const n, hops = 2, 200
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{})
		p := b.Publisher()
		begin := make(chan struct{})
		relay := func(from, to string) <-chan int {
			messages := subscribe(t, b.Subscriber("relay"), from)
			return start(func() (acked int) {
				<-begin
				for m := range messages {
					if i := ids([]*message.Message{m})[0]; i < hops {
						if err := p.Publish(to, newMessage(m.Context(), i+1)); err != nil {
							t.Error(err)
						}
					}
					m.Ack()
					acked++
				}
				return acked
			})
		}
		ping, pong := relay("ping", "pong"), relay("pong", "ping")
		for range n {
			publish(t, p, "ping", 0, 1)
		}
		down := start(func() error { return b.Shutdown(t.Context()) })
		synctest.Wait()
		require.ErrorIs(t, p.Publish("ping", newMessage(t.Context(), 0)), eventbus.ErrClosed)
		require.Empty(t, down)
		close(begin)
		require.NoError(t, await(t, down))
		require.Equal(t, n*(hops+1), await(t, ping)+await(t, pong))
	})
}

// When its context ends, Shutdown hands back what each group has not acknowledged, in
// order, the message that is out first. That message's context ends.
func TestBrokerShutdownHandsBackInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{})
		slow, other := subscribe(t, b.Subscriber("slow"), "topic"), subscribe(t, b.Subscriber("other"), "topic")
		unnamed := subscribe(t, b.Subscriber(""), "topic")
		publish(t, b.Publisher(), "topic", 0, 50)
		receiveAll(t, other, 0, 50)
		receiveAll(t, slow, 0, 10)
		out := receive(t, slow)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := b.Shutdown(ctx)
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "eventbus: shutdown of the broker: 90 messages left in 2 groups: context deadline exceeded")
		left := remaining(t, err)
		require.Len(t, left, 2)
		require.Equal(t, numbers(10, 50), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "slow"}]))
		require.Equal(t, numbers(0, 50), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "#1"}]))
		require.ErrorIs(t, out.Context().Err(), context.Canceled)
		for _, messages := range []<-chan *message.Message{slow, other, unnamed} {
			requireClosed(t, messages)
		}
	})
}

// With a context that has ended nothing more is delivered.
func TestBrokerShutdownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Grace: time.Hour})
		messages := subscribe(t, b.Subscriber("group"), "topic")
		publish(t, b.Publisher(), "topic", 0, 10)
		m := receive(t, messages)
		require.True(t, m.Ack())
		synctest.Wait()
		receive(t, messages)
		began := time.Now()
		left := remaining(t, b.Shutdown(ended()))
		require.Zero(t, time.Since(began))
		require.Equal(t, numbers(1, 10), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "group"}]))
		requireClosed(t, messages)
	})
}

// Shutdown with a context that has ended gives that as the cause, and returns when all
// subscriptions have ended, those included that were about to.
func TestBrokerShutdownAtOnceAwaitsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			b := newBroker(t, eventbuswatermill.Config{Grace: time.Hour})
			require.NoError(t, b.Subscriber("nobody").SubscribeInitialize("topic"))
			ctx, cancel := context.WithCancel(t.Context())
			messages, err := b.Subscriber("group").Subscribe(ctx, "topic")
			require.NoError(t, err)
			publish(t, b.Publisher(), "topic", 0, 2)
			receive(t, messages)
			cancel()
			synctest.Wait() // it waits for the Ack
			requireOpen(t, messages)
			err = b.Shutdown(ended())
			require.ErrorIs(t, err, context.Canceled)
			require.Len(t, remaining(t, err), 2)
			requireClosed(t, messages)
		}
	})
}

// What was acknowledged before Shutdown gave up is not handed back, however late the group
// learns of it. On one thread it learns of both at once.
func TestBrokerShutdownSeesAcks(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			b := newBroker(t, eventbuswatermill.Config{})
			messages := subscribe(t, b.Subscriber("group"), "topic")
			publish(t, b.Publisher(), "topic", 0, 1)
			synctest.Wait() // until it is offered
			require.True(t, receive(t, messages).Ack())
			require.NoError(t, b.Shutdown(ended()))
		}
	})
}

// What nobody subscribes to is handed back at once, though the context has no end; what
// a subscriber leaves behind meanwhile likewise.
func TestBrokerShutdownWithoutSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Grace: time.Second})
		require.NoError(t, b.Subscriber("waiting").SubscribeInitialize("topic"))
		leaving := b.Subscriber("leaving")
		messages := subscribe(t, leaving, "topic")
		unnamed := b.Subscriber("")
		subscribe(t, unnamed, "topic")
		publish(t, b.Publisher(), "topic", 0, 5)
		receiveAll(t, messages, 0, 2)

		down := start(func() error { return b.Shutdown(t.Context()) })
		synctest.Wait()
		require.Empty(t, down)
		require.NoError(t, leaving.Close())
		require.NoError(t, unnamed.Close())
		err := await(t, down)
		require.ErrorIs(t, err, eventbuswatermill.ErrNoSubscriber)
		left := remaining(t, err)
		require.Equal(t, numbers(0, 5), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "waiting"}]))
		require.Equal(t, numbers(2, 5), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "leaving"}]))
		require.Equal(t, numbers(0, 5), ids(left[eventbuswatermill.Group{Topic: "topic", Name: "#1"}]))
		require.Zero(t, b.Stats().Discarded)
	})
}

// However many call Shutdown, what is left goes to one of them. The first of their
// contexts to end counts for all.
func TestBrokerShutdownHandsOverOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{})
		subscribe(t, b.Subscriber("group"), "topic")
		publish(t, b.Publisher(), "topic", 0, 3)
		first := start(func() error { return b.Shutdown(t.Context()) })
		synctest.Wait()
		second := start(func() error { return b.Shutdown(ended()) })
		n := 0
		for _, err := range []error{await(t, first), await(t, second), b.Shutdown(t.Context())} {
			require.ErrorIs(t, err, context.Canceled)
			var left *eventbuswatermill.ShutdownError
			require.ErrorAs(t, err, &left)
			require.Equal(t, len(left.Remaining) == 0, left.HandedOver)
			n += len(left.Remaining)
		}
		require.Equal(t, 1, n)
	})
}

// What a subscriber published before Shutdown gave up is handed back, beside its own
// message; what it publishes after that is refused.
func TestBrokerShutdownCutsSubscriberOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Capacity: 1})
		require.NoError(t, b.Subscriber("next").SubscribeInitialize("out"))
		messages := subscribe(t, b.Subscriber("group"), "in")
		p := b.Publisher()
		publish(t, p, "in", 0, 1)
		m := receive(t, messages)
		// One is offered to a subscriber to come, one waits in the queue, one for room.
		var published <-chan error
		for i := range 3 {
			published = start(func() error { return p.Publish("out", newMessage(m.Context(), i+1)) })
			synctest.Wait()
		}
		require.Empty(t, published)
		left := remaining(t, b.Shutdown(ended()))
		err := await(t, published)
		want := numbers(1, 3)
		if err == nil { // room came before the end of the message's context
			want = numbers(1, 4)
		}
		require.Equal(t, want, ids(left[eventbuswatermill.Group{Topic: "out", Name: "next"}]))
		require.Equal(t, []int{0}, ids(left[eventbuswatermill.Group{Topic: "in", Name: "group"}]))
		require.ErrorIs(t, p.Publish("out", newMessage(m.Context(), 9)), eventbus.ErrClosed)
	})
}

func TestBrokerShutdownErrors(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	require.EqualError(t, b.Shutdown(nil), "eventbus: shutdown of the broker: the context is nil") //lint:ignore SA1012 that is the case at hand
	messages := subscribe(t, b.Subscriber("group"), "topic")
	publish(t, b.Publisher(), "topic", 0, 2)
	m := receive(t, messages)
	require.ErrorIs(t, b.Shutdown(m.Context()), eventbus.ErrWouldDeadlock)
	m.Ack()
	publish(t, b.Publisher(), "topic", 2, 3) // nothing has begun
	receiveAll(t, messages, 1, 3)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, b.Shutdown(ended()))
	awaitClosed(t, messages)
}

func TestNewBrokerErrors(t *testing.T) {
	_, err := eventbuswatermill.NewBroker(eventbuswatermill.Config{Capacity: -1})
	require.EqualError(t, err, "eventbus: NewBroker: the capacity is -1, want 0 or more")
	_, err = eventbuswatermill.NewBroker(eventbuswatermill.Config{Grace: -1})
	require.EqualError(t, err, "eventbus: NewBroker: the grace time is -1ns, want 0 or more")
}

func remaining(t *testing.T, err error) map[eventbuswatermill.Group][]*message.Message {
	t.Helper()
	var left *eventbuswatermill.ShutdownError
	require.ErrorAs(t, err, &left)
	return left.Remaining
}
