package eventbuswatermill_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// Each group gets each publisher's messages in order, though queues are small and
// publishers wait.
func TestPublisherPublishKeepsOrder(t *testing.T) {
	const publishers, each = 4, 200
	b := newBroker(t, eventbuswatermill.Config{Capacity: 8})
	var groups []<-chan *message.Message
	for _, name := range []string{"a", "b", ""} {
		groups = append(groups, subscribe(t, b.Subscriber(name), "topic"))
	}
	for i := range publishers {
		go func() {
			p := b.Publisher()
			for j := range each {
				m := message.NewMessage(fmt.Sprint(j), []byte{byte(i)})
				if err := p.Publish("topic", m); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	var wg sync.WaitGroup
	for _, messages := range groups {
		wg.Go(func() {
			var next [publishers]int
			for range publishers * each {
				m := <-messages
				from := m.Payload[0]
				if want := fmt.Sprint(next[from]); m.UUID != want {
					t.Errorf("publisher %d: got %s, want %s", from, m.UUID, want)
				}
				next[from]++
				m.Ack()
			}
		})
	}
	await(t, start(func() bool { wg.Wait(); return true }))
}

// A publish at a full group waits for room, or until the message's context ends. The
// error says which groups have the message all the same.
func TestPublisherPublishWaitsAtAFullGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Capacity: 2})
		reading, stuck := subscribe(t, b.Subscriber("reading"), "topic"), subscribe(t, b.Subscriber("stuck"), "topic")
		go func() {
			for m := range reading {
				m.Ack()
			}
		}()
		p := b.Publisher()
		publish(t, p, "topic", 0, 3) // one is offered, two wait
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := p.Publish("topic", newMessage(ctx, 3), newMessage(ctx, 4))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		var failed *eventbuswatermill.PublishError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "topic", failed.Topic)
		require.Equal(t, 0, failed.Index)
		require.Equal(t, "3", failed.UUID)
		require.Equal(t, []string{"reading"}, failed.Reached)
		require.ErrorContains(t, err, `eventbus: message 0, "3", was not published to "topic" (it has reached reading): group "stuck"`)

		published := start(func() error { return p.Publish("topic", newMessage(t.Context(), 5)) })
		synctest.Wait()
		require.Empty(t, published)
		receiveAll(t, stuck, 0, 1)
		require.NoError(t, await(t, published))
		receiveAll(t, stuck, 1, 3)
		receiveAll(t, stuck, 5, 6)
	})
}

// A subscriber that never acknowledges holds up neither other groups nor other topics.
func TestPublisherPublishHoldsGroupsApart(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	p := b.Publisher()
	stuck := subscribe(t, b.Subscriber("stuck"), "topic")
	subscribe(t, b.Subscriber(""), "topic") // nobody reads
	other := subscribe(t, b.Subscriber("other"), "topic")
	elsewhere := subscribe(t, b.Subscriber("stuck"), "elsewhere")
	publish(t, p, "topic", 0, 100)
	publish(t, p, "elsewhere", 0, 100)
	receive(t, stuck)
	receiveAll(t, other, 0, 100)
	receiveAll(t, elsewhere, 0, 100)
}

// Without a group a message goes nowhere, and is counted.
func TestPublisherPublishWithoutGroup(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	publish(t, b.Publisher(), "topic", 0, 3)
	require.Equal(t, eventbuswatermill.Stats{Unrouted: 3}, b.Stats())
	messages := subscribe(t, b.Subscriber("group"), "topic")
	publish(t, b.Publisher(), "topic", 3, 4)
	receiveAll(t, messages, 3, 4)
}

// A message is copied: neither its publisher nor a subscriber changes what others get.
func TestPublisherPublishCopies(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	one, two := subscribe(t, b.Subscriber("one"), "topic"), subscribe(t, b.Subscriber("two"), "topic")
	m := message.NewMessage("id", []byte("payload"))
	m.Metadata.Set("key", "value")
	require.NoError(t, b.Publisher().Publish("topic", m))
	m.Metadata.Set("key", "changed by the publisher")
	got := receive(t, one)
	require.Equal(t, message.Metadata{"key": "value"}, got.Metadata)
	got.Metadata.Set("key", "changed by a subscriber")
	require.Equal(t, message.Metadata{"key": "value"}, receive(t, two).Metadata)
	got.Nack()
	got = receive(t, one)
	require.Equal(t, message.Metadata{"key": "value"}, got.Metadata)
	require.Equal(t, message.Payload("payload"), got.Payload)
}

func TestPublisherPublishErrors(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	messages := subscribe(t, b.Subscriber("group"), "topic")
	p := b.Publisher()
	require.ErrorIs(t, p.Publish("", newMessage(t.Context(), 0)), eventbus.ErrInvalidEvent)
	require.ErrorIs(t, p.Publish("topic", newMessage(ended(), 0)), context.Canceled)

	err := p.Publish("topic", newMessage(t.Context(), 0), nil, newMessage(t.Context(), 1))
	var failed *eventbuswatermill.PublishError
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.Equal(t, 1, failed.Index)
	require.Empty(t, failed.Reached)
	receiveAll(t, messages, 0, 1)

	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Publish("topic", newMessage(t.Context(), 2)), eventbus.ErrClosed)
	require.NoError(t, p.Publish("topic"))
	publish(t, b.Publisher(), "topic", 3, 4)
	receiveAll(t, messages, 3, 4)

	require.NoError(t, b.Shutdown(t.Context()))
	require.ErrorIs(t, b.Publisher().Publish("topic", newMessage(t.Context(), 5)), eventbus.ErrClosed)
	require.ErrorIs(t, b.Publisher().Publish("other", newMessage(t.Context(), 5)), eventbus.ErrClosed)
}

// A subscriber that publishes to its own full topic goes on, with publishers from
// outside that keep the topic full.
func TestPublisherPublishBySubscriberToItsOwnFullTopic(t *testing.T) {
	const publishers, each, hops = 4, 5, 100
	b := newBroker(t, eventbuswatermill.Config{Capacity: 4})
	messages := subscribe(t, b.Subscriber("group"), "loop")
	for range publishers {
		go func() {
			for range each {
				if err := b.Publisher().Publish("loop", newMessage(context.Background(), hops)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	p := b.Publisher()
	for range publishers * each * (hops + 1) {
		m := receive(t, messages)
		if n := ids([]*message.Message{m})[0]; n > 0 {
			require.NoError(t, p.Publish("loop", newMessage(m.Context(), n-1)))
		}
		m.Ack()
	}
}

// A subscriber that publishes more than its queue can defer is told, and does not wait
// for itself.
func TestPublisherPublishBySubscriberIsBounded(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{Capacity: 4})
	messages := subscribe(t, b.Subscriber("group"), "topic")
	p := b.Publisher()
	publish(t, p, "topic", 0, 1)
	m := receive(t, messages)
	n := 0
	err := await(t, start(func() error {
		for ; ; n++ {
			if err := p.Publish("topic", newMessage(m.Context(), n+1)); err != nil {
				return err
			}
		}
	}))
	require.ErrorIs(t, err, eventbus.ErrQueueFull)
	require.False(t, errors.Is(err, eventbus.ErrClosed))
	require.GreaterOrEqual(t, n, 8)
	require.LessOrEqual(t, n, 15)
	m.Ack()
	receiveAll(t, messages, 1, n+1)
}
