package eventbuswatermill_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// Subscribe, Publish, Close and Shutdown at the same time: no panic, no hang, and all
// refuse in the end.
func TestSubscriberRacesWithShutdown(t *testing.T) {
	for range 200 {
		b := newBroker(t, eventbuswatermill.Config{Capacity: 1})
		named, unnamed := b.Subscriber("group"), b.Subscriber("")
		var wg sync.WaitGroup
		for _, s := range []*eventbuswatermill.Subscriber{named, unnamed} {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if messages, err := s.Subscribe(ctx, "topic"); err == nil {
					cancel()
					for m := range messages {
						m.Ack()
					}
				}
			})
			wg.Go(func() { _ = s.Close() })
			wg.Go(func() { _, _ = s.Subscribe(context.Background(), "topic") })
			wg.Go(func() {
				_ = b.Publisher().Publish("topic", newMessage(ended(), 0), newMessage(context.Background(), 1))
			})
		}
		wg.Go(func() { _ = b.Shutdown(ended()) })
		await(t, start(func() bool { wg.Wait(); return true }))
		require.ErrorIs(t, b.Publisher().Publish("topic", newMessage(t.Context(), 1)), eventbus.ErrClosed)
		_, err := b.Subscriber("late").Subscribe(t.Context(), "topic")
		require.ErrorIs(t, err, eventbus.ErrClosed)
	}
}

// Subscriptions of a group come and go while messages come: none is lost, none comes twice
// and none comes early.
func TestSubscriberComesAndGoes(t *testing.T) {
	const rounds = 3000
	b := newBroker(t, eventbuswatermill.Config{Capacity: 8})
	require.NoError(t, b.Subscriber("group").SubscribeInitialize("topic"))
	go func() {
		p := b.Publisher()
		for i := 0; p.Publish("topic", newMessage(context.Background(), i)) == nil; i++ {
		}
	}()
	for i := range rounds {
		s := b.Subscriber("group")
		messages := subscribe(t, s, "topic")
		receiveAll(t, messages, i, i+1)
		require.NoError(t, s.Close())
		requireClosed(t, messages)
	}
}

// What a subscription refers to is let go of when that has ended, though its Subscriber
// and its context live on.
func TestSubscriberLetsGoOfSubscriptions(t *testing.T) {
	b, err := eventbuswatermill.NewBroker(eventbuswatermill.Config{})
	require.NoError(t, err)
	s := b.Subscriber("group")
	long, cancelLong := context.WithCancel(t.Context())
	defer cancelLong()
	_, err = s.Subscribe(long, "topic")
	require.NoError(t, err)

	value := new([100]byte)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey("value"), value))
	messages, err := s.Subscribe(ctx, "topic")
	require.NoError(t, err)
	cancel()
	awaitClosed(t, messages)
	weakValue := weak.Make(value)
	value, ctx, cancel, messages = nil, nil, nil, nil
	require.Eventually(t, func() bool { runtime.GC(); return weakValue.Value() == nil }, patience, time.Millisecond)

	require.NoError(t, s.Close())
	require.NoError(t, b.Shutdown(t.Context()))
	weakBroker := weak.Make(b)
	b, s = nil, nil
	require.Eventually(t, func() bool { runtime.GC(); return weakBroker.Value() == nil }, patience, time.Millisecond)
	require.NoError(t, long.Err())
}

// A subscriber may take its time: only a publish that waits is logged.
func TestSubscriberIsNotReportedAsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		b := newBroker(t, eventbuswatermill.Config{Capacity: 1, Logger: log.logger()})
		messages := subscribe(t, b.Subscriber("group"), "topic")
		publish(t, b.Publisher(), "topic", 0, 2)
		m := receive(t, messages)
		time.Sleep(time.Minute)
		require.Empty(t, log.String())
		go func() { _ = b.Publisher().Publish("topic", newMessage(t.Context(), 2)) }()
		time.Sleep(time.Minute)
		require.Contains(t, log.String(), "level=WARN")
		require.Contains(t, log.String(), "topic/group")
		m.Ack()
		receiveAll(t, messages, 1, 3)
	})
}
