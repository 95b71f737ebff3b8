package eventbusnats_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// TestMain runs the tests, or what one of them runs in a process of its own.
func TestMain(m *testing.M) {
	if child := os.Getenv(childVariable); child != "" {
		os.Exit(runChild(child))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen: long for a machine under load.
const patience = 30 * time.Second

// seldom is how often the servers of tests sync their files. The server sets the timer of a
// new file without its lock: with a short interval, on a machine so busy that the timer fires
// before the file is made, the race detector finds that. It does not matter to a killed
// process when its files were synced.
const seldom = 10 * time.Second

type order struct {
	ID string
	N  int
}

func orderID(o order) string { return o.ID }

func newOrder(n int) order { return order{fmt.Sprint("o", n), n} }

// placed is the topic of most tests.
var placed = eventbus.NewTopic[order]("order.placed", eventbus.OrderQueue)

var discard = slog.New(slog.DiscardHandler)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// newNode returns an embedded node that is closed when the test ends.
func newNode(t testing.TB, opts ...eventbusnats.EmbeddedOption) *eventbusnats.Node {
	return newNodeAt(t, t.TempDir(), opts...)
}

func newNodeAt(t testing.TB, dir string, opts ...eventbusnats.EmbeddedOption) *eventbusnats.Node {
	quiet := []eventbusnats.EmbeddedOption{eventbusnats.WithLogger(discard), eventbusnats.WithSyncInterval(seldom)}
	n, err := eventbusnats.Embedded(dir, append(quiet, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Close(within(t, patience)) })
	return n
}

func openTopic(t testing.TB, n *eventbusnats.Node, opts ...eventbusnats.TopicOption) *eventbusnats.Topic[order] {
	topic, err := eventbusnats.Open(within(t, patience), n, placed, append(opts, eventbusnats.WithID(orderID))...)
	require.NoError(t, err)
	return topic
}

// newBus returns a bus that runs, logs nothing and carries messages. It ends with the test.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	b, err := eventbus.New(append(opts, eventbus.WithLogger(discard), eventbus.WithCarry(eventbusnats.Carry))...)
	require.NoError(t, err)
	require.NoError(t, b.Start(context.Background()))
	t.Cleanup(func() { _ = b.Shutdown(within(t, time.Second)) })
	return b
}

// A recorder keeps what it is told, by handlers or error handlers, in order.
type recorder[T any] struct {
	mu   sync.Mutex
	list []T
	more chan struct{} // closed and replaced with each
}

func newRecorder[T any]() *recorder[T] { return &recorder[T]{more: make(chan struct{})} }

func (r *recorder[T]) add(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, v)
	close(r.more)
	r.more = make(chan struct{})
}

func (r *recorder[T]) all() ([]T, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]T(nil), r.list...), r.more
}

// await waits until enough accepts the list, which it returns.
func (r *recorder[T]) await(t testing.TB, what string, enough func([]T) bool) []T {
	t.Helper()
	deadline := time.After(patience)
	for {
		list, more := r.all()
		if enough(list) {
			return list
		}
		select {
		case <-more:
		case <-deadline:
			require.FailNow(t, "it does not happen: "+what, "%v", list)
		}
	}
}

func (r *recorder[T]) awaitN(t testing.TB, n int) []T {
	t.Helper()
	return r.await(t, fmt.Sprint(n, " of them"), func(list []T) bool { return len(list) >= n })
}

// awaitError waits until an error that wraps target was told.
func awaitError(t testing.TB, r *recorder[error], target error) error {
	t.Helper()
	var found error
	r.await(t, target.Error(), func(list []error) bool {
		for _, err := range list {
			if errors.Is(err, target) {
				found = err
				return true
			}
		}
		return false
	})
	return found
}

// handle subscribes a handler that records the numbers of orders.
func handle(b *eventbus.Bus) *recorder[int] {
	r := newRecorder[int]()
	placed.Subscribe(b, func(_ context.Context, o order) error { r.add(o.N); return nil })
	return r
}

func publish(t testing.TB, topic *eventbusnats.Topic[order], from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		_, err := topic.Publish(within(t, patience), newOrder(n))
		require.NoError(t, err)
	}
}

func importTo(t testing.TB, topic *eventbusnats.Topic[order], b *eventbus.Bus, opts ...eventbusnats.ImportOption) *eventbusnats.Importer {
	t.Helper()
	quiet := eventbusnats.OnImportError(func(error) {})
	im, err := topic.Import(within(t, patience), b, "broker", append([]eventbusnats.ImportOption{quiet}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = im.Close(within(t, time.Second)) })
	return im
}

func closeImporter(t testing.TB, im *eventbusnats.Importer) {
	t.Helper()
	require.NoError(t, im.Close(within(t, patience)))
}

// numbers returns from to to-1.
func numbers(from, to int) []int {
	ns := []int{}
	for n := from; n < to; n++ {
		ns = append(ns, n)
	}
	return ns
}

// tools returns what an operator has: the server's own API.
func tools(t testing.TB, n *eventbusnats.Node) jetstream.JetStream {
	js, err := jetstream.New(n.Conn())
	require.NoError(t, err)
	return js
}

// inStream returns the messages of a stream as they are stored.
func inStream(t testing.TB, n *eventbusnats.Node, name string) (list []jetstream.Msg) {
	t.Helper()
	s, err := tools(t, n).Stream(within(t, patience), name)
	require.NoError(t, err)
	count := int(s.CachedInfo().State.Msgs)
	if count == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(within(t, patience), jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	batch, err := c.Fetch(count, jetstream.FetchMaxWait(patience))
	require.NoError(t, err)
	for m := range batch.Messages() {
		list = append(list, m)
	}
	require.NoError(t, batch.Error())
	require.Len(t, list, count)
	return list
}

// inBackground runs f on a goroutine and returns its result in a channel.
func inBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

func receive[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.FailNow(t, "it does not happen")
	}
	return v
}
