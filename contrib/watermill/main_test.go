package eventbuswatermill_test

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen: long for a machine under load.
const patience = 20 * time.Second

// newBroker returns a broker that ends with the test.
func newBroker(t testing.TB, cfg eventbuswatermill.Config) *eventbuswatermill.Broker {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := eventbuswatermill.NewBroker(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Shutdown(ended()) })
	return b
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func subscribe(t testing.TB, s *eventbuswatermill.Subscriber, topic string) <-chan *message.Message {
	messages, err := s.Subscribe(context.Background(), topic)
	require.NoError(t, err)
	return messages
}

func newMessage(ctx context.Context, id int) *message.Message {
	return message.NewMessageWithContext(ctx, strconv.Itoa(id), nil)
}

// publish publishes messages from to to-1, one at a time.
func publish(t testing.TB, p message.Publisher, topic string, from, to int) {
	for i := from; i < to; i++ {
		require.NoError(t, p.Publish(topic, newMessage(context.Background(), i)))
	}
}

// receive returns the next message.
func receive(t testing.TB, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, open := <-messages:
		require.True(t, open, "the channel is closed")
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message")
	}
	return nil
}

// receiveAll acknowledges messages from to to-1, which must come in order.
func receiveAll(t testing.TB, messages <-chan *message.Message, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m := receive(t, messages)
		require.Equal(t, strconv.Itoa(i), m.UUID)
		require.True(t, m.Ack())
	}
}

// await waits for done.
func await[T any](t testing.TB, done <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-done:
	case <-time.After(patience):
		require.FailNow(t, "it does not happen")
	}
	return v
}

// start runs f and returns its result in a channel.
func start[T any](f func() T) <-chan T {
	done := make(chan T, 1)
	go func() { done <- f() }()
	return done
}

// ids returns the numbers of messages.
func ids(messages []*message.Message) (ids []int) {
	for _, m := range messages {
		id, _ := strconv.Atoi(m.UUID)
		ids = append(ids, id)
	}
	return ids
}

// numbers returns from to to-1.
func numbers(from, to int) (ns []int) {
	for i := from; i < to; i++ {
		ns = append(ns, i)
	}
	return ns
}

// A lockedBuffer is what a logger writes to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
