package eventbuswatermill_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// After a Nack the same message comes again, ahead of all others.
func TestSubscriberNackKeepsOrder(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	messages := subscribe(t, b.Subscriber("group"), "topic")
	publish(t, b.Publisher(), "topic", 0, 10)
	for i := range 10 {
		for range 3 {
			m := receive(t, messages)
			require.Equal(t, strconv.Itoa(i), m.UUID)
			require.True(t, m.Nack())
			await(t, m.Context().Done())
		}
		receiveAll(t, messages, i, i+1)
	}
	require.NoError(t, b.Shutdown(t.Context()))
	require.Equal(t, []eventbuswatermill.GroupStats{{
		Group: eventbuswatermill.Group{Topic: "topic", Name: "group"}, Acked: 10, Redelivered: 30,
	}}, b.Stats().Groups)
}

// What a subscriber has not acknowledged by the end of the grace time goes to the next
// one of its group, in order.
func TestSubscriberCloseGivesBackInOrder(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{Grace: time.Millisecond})
	require.NoError(t, b.Subscriber("group").SubscribeInitialize("topic"))
	publish(t, b.Publisher(), "topic", 0, 100)
	for from := 0; from < 100; from += 5 {
		s := b.Subscriber("group")
		messages := subscribe(t, s, "topic")
		receiveAll(t, messages, from, from+5)
		if from < 95 {
			m := receive(t, messages)
			require.Equal(t, strconv.Itoa(from+5), m.UUID)
			require.NoError(t, s.Close())
			await(t, m.Context().Done())
		}
	}
}

// Close and the end of Subscribe's context let a handler finish: its message's context
// goes on, and the channel stays open until the Ack.
func TestSubscriberCloseAwaitsAck(t *testing.T) {
	for name, end := range map[string]func(*eventbuswatermill.Subscriber, context.CancelFunc){
		"Close":   func(s *eventbuswatermill.Subscriber, _ context.CancelFunc) { go s.Close() },
		"context": func(_ *eventbuswatermill.Subscriber, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, eventbuswatermill.Config{Grace: time.Second})
				s := b.Subscriber("group")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				messages, err := s.Subscribe(ctx, "topic")
				require.NoError(t, err)
				publish(t, b.Publisher(), "topic", 0, 2)
				m := receive(t, messages)

				end(s, cancel)
				time.Sleep(time.Second - 1) // in the bubble: to the last moment
				synctest.Wait()
				require.NoError(t, m.Context().Err())
				requireOpen(t, messages)
				require.True(t, m.Ack())
				synctest.Wait()
				requireClosed(t, messages)
				require.ErrorIs(t, m.Context().Err(), context.Canceled)
				receiveAll(t, subscribe(t, b.Subscriber("group"), "topic"), 1, 2)
			})
		})
	}
}

// When the grace time is over, the message is somebody else's, and a late Ack counts for
// nothing.
func TestSubscriberCloseGivesUpAfterTheGraceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Grace: time.Second})
		s := b.Subscriber("group")
		one, two := subscribe(t, s, "one"), subscribe(t, s, "two")
		publish(t, b.Publisher(), "one", 0, 2)
		publish(t, b.Publisher(), "two", 0, 2)
		m := receive(t, one)
		receive(t, two)
		began := time.Now()
		require.NoError(t, s.Close())
		require.Equal(t, time.Second, time.Since(began), "one grace time for all")
		requireClosed(t, one)
		requireClosed(t, two)
		synctest.Wait()
		require.ErrorIs(t, m.Context().Err(), context.Canceled)
		m.Ack()
		receiveAll(t, subscribe(t, b.Subscriber("group"), "one"), 0, 2)
	})
}

// Close waits for nothing if no message is out, though one is offered that nobody takes.
func TestSubscriberCloseWithNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Grace: time.Hour})
		s := b.Subscriber("group")
		messages, rest := subscribe(t, s, "topic"), subscribe(t, b.Subscriber("group"), "topic")
		publish(t, b.Publisher(), "topic", 0, 1)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.Zero(t, time.Since(began))
		requireClosed(t, messages)
		receiveAll(t, rest, 0, 1)
	})
}

// Subscriptions of a group share its messages, one at a time. One that does not read
// holds up none.
func TestSubscriberGroupSharesMessages(t *testing.T) {
	const readers, n = 5, 200
	b := newBroker(t, eventbuswatermill.Config{})
	subscribe(t, b.Subscriber("group"), "topic") // nobody reads
	var mu sync.Mutex
	var got []*message.Message
	done := make(chan struct{})
	for range readers {
		messages := subscribe(t, b.Subscriber("group"), "topic")
		go func() {
			for m := range messages {
				if !mu.TryLock() {
					t.Error("two messages are out")
					mu.Lock()
				}
				if got = append(got, m); len(got) == n {
					close(done)
				}
				mu.Unlock()
				m.Ack()
			}
		}()
	}
	publish(t, b.Publisher(), "topic", 0, n)
	await(t, done)
	require.Equal(t, numbers(0, n), ids(got))
}

// Without a name a subscription gets what is published from then on. What it holds when
// it ends is discarded, counted and logged, and its group is gone.
func TestSubscriberWithoutName(t *testing.T) {
	var log lockedBuffer
	b := newBroker(t, eventbuswatermill.Config{Grace: time.Millisecond, Logger: log.logger()})
	p := b.Publisher()
	s := b.Subscriber("")
	require.NoError(t, s.SubscribeInitialize("topic"))
	require.Empty(t, b.Stats().Groups)
	first := subscribe(t, s, "topic")
	publish(t, p, "topic", 0, 1)
	second := subscribe(t, b.Subscriber(""), "topic")
	publish(t, p, "topic", 1, 5)
	receiveAll(t, first, 0, 3)
	receiveAll(t, second, 1, 5)
	receive(t, first)
	require.NoError(t, s.Close())
	requireClosed(t, first)

	stats := b.Stats()
	require.Equal(t, uint64(2), stats.Discarded)
	require.Len(t, stats.Groups, 1)
	require.Equal(t, eventbuswatermill.Group{Topic: "topic", Name: "#2"}, stats.Groups[0].Group)
	require.Contains(t, log.String(), `level=WARN msg="discarded the messages of a subscriber that left" topic=topic group=#1 messages=2`)
	require.NotContains(t, log.String(), "level=INFO")
	publish(t, p, "topic", 5, 6)
	receiveAll(t, second, 5, 6)
}

// A publish that waits for a group that leaves goes on without it.
func TestSubscriberWithoutNameLeavesPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Capacity: 1})
		s := b.Subscriber("")
		subscribe(t, s, "topic")
		other := subscribe(t, b.Subscriber("other"), "topic")
		published := start(func() error {
			return b.Publisher().Publish("topic", newMessage(t.Context(), 0), newMessage(t.Context(), 1), newMessage(t.Context(), 2))
		})
		receiveAll(t, other, 0, 2)
		synctest.Wait()
		require.Empty(t, published)
		require.NoError(t, s.Close())
		require.NoError(t, await(t, published))
		receiveAll(t, other, 2, 3)
	})
}

func TestSubscriberErrors(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	s := b.Subscriber("group")
	_, err := s.Subscribe(t.Context(), "")
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorIs(t, s.SubscribeInitialize(""), eventbus.ErrInvalidEvent)
	_, err = s.Subscribe(nil, "topic") //lint:ignore SA1012 that is the case at hand
	require.EqualError(t, err, `eventbus: Subscribe to "topic": the context is nil`)
	messages, err := s.Subscribe(ended(), "topic")
	require.NoError(t, err)
	awaitClosed(t, messages)

	require.NoError(t, s.Close())
	_, err = s.Subscribe(t.Context(), "topic")
	require.ErrorIs(t, err, eventbus.ErrClosed)
	require.ErrorIs(t, s.SubscribeInitialize("topic"), eventbus.ErrClosed)
}

func requireClosed(t *testing.T, messages <-chan *message.Message) {
	t.Helper()
	select {
	case _, open := <-messages:
		require.False(t, open, "a message came")
	default:
		require.FailNow(t, "the channel is open")
	}
}

func requireOpen(t *testing.T, messages <-chan *message.Message) {
	t.Helper()
	select {
	case _, open := <-messages:
		require.True(t, open, "the channel is closed")
		require.FailNow(t, "a message came")
	default:
	}
}

func awaitClosed(t *testing.T, messages <-chan *message.Message) {
	t.Helper()
	select {
	case _, open := <-messages:
		require.False(t, open, "a message came")
	case <-time.After(patience):
		require.FailNow(t, "the channel is open")
	}
}
