package eventbusnats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Publish returns nil once the event is stored, with its place.
func TestPublishStoresBeforeItReturns(t *testing.T) {
	n := newNode(t)
	topic := openTopic(t, n)
	for i := range 5 {
		stored, err := topic.Publish(within(t, patience), newOrder(i))
		require.NoError(t, err)
		require.Equal(t, eventbusnats.Stored{ID: newOrder(i).ID, Sequence: uint64(i + 1)}, stored)
		require.Len(t, inStream(t, n, placedStream), i+1)
	}
}

// Within the window an id is stored once; without WithID each publish has one of its own.
func TestPublishStoresAnIDOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	topic := openTopic(t, n, eventbusnats.WithDuplicates(time.Second))
	publish(t, topic, 0, 2)
	stored, err := topic.Publish(within(t, patience), newOrder(0))
	require.NoError(t, err)
	require.Equal(t, eventbusnats.Stored{ID: "o0", Sequence: 1, Duplicate: true}, stored)
	require.Len(t, inStream(t, n, placedStream), 2)

	for deadline := time.Now().Add(patience); stored.Duplicate; time.Sleep(100 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "the window does not end")
		stored, err = topic.Publish(within(t, patience), newOrder(0))
		require.NoError(t, err)
	}
	require.EqualValues(t, 3, stored.Sequence, "the window is over")

	other, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithDuplicates(time.Second))
	require.NoError(t, err)
	for range 2 {
		stored, err = other.Publish(within(t, patience), newOrder(0))
		require.NoError(t, err)
		require.False(t, stored.Duplicate)
	}
}

// A full store is permanent: it returns at once, and nothing is deleted to make room.
func TestPublishReturnsAtOnceFromAFullStore(t *testing.T) {
	n := newNode(t)
	topic := openTopic(t, n, eventbusnats.WithMaxBytes(4096))
	var err error
	stored := 0
	begun := time.Now()
	for ; err == nil && stored < 1000; stored++ {
		begun = time.Now()
		_, err = topic.Publish(within(t, patience), newOrder(stored))
	}
	require.ErrorIs(t, err, eventbusnats.ErrFull)
	require.ErrorContains(t, err, `eventbusnats: Publish "order.placed": `)
	require.Less(t, time.Since(begun), 5*time.Second, "at once, and not when the context ends")
	require.Equal(t, "o0", inStream(t, n, placedStream)[0].Headers().Get("ce-id"))
}

// The server that has no place left says so in another way than a stream that is full.
func TestPublishReturnsAtOnceFromAFullServer(t *testing.T) {
	n := newNode(t, eventbusnats.WithStoreLimit(64<<10))
	topic := openTopic(t, n, eventbusnats.WithMaxBytes(64<<10))
	_, err := eventbusnats.Open(within(t, patience), n, exported, eventbusnats.WithMaxBytes(64<<10))
	require.ErrorIs(t, err, eventbusnats.ErrFull, "no place to reserve")
	for i := 0; err == nil || i == 0; i++ {
		_, err = topic.Publish(within(t, patience), order{strings.Repeat("x", 4000) + newOrder(i).ID, i})
		require.Less(t, i, 100)
	}
	require.ErrorIs(t, err, eventbusnats.ErrFull)
}

// A message over the server's limit is refused before it is sent: the server would cut the
// connection.
func TestPublishRefusesWhatIsTooLarge(t *testing.T) {
	n := newNode(t)
	topic := openTopic(t, n)
	_, err := topic.Publish(within(t, patience), order{ID: strings.Repeat("x", 1<<20)})
	require.ErrorIs(t, err, eventbusnats.ErrTooLarge)
	require.ErrorContains(t, err, "its headers have ")
	_, err = topic.Publish(within(t, patience), order{ID: strings.Repeat("x", 40<<10)})
	require.ErrorIs(t, err, eventbusnats.ErrTooLarge, "headers: the id is there twice")
	codec := eventbusnats.JSON[order]()
	codec.Encode = func(order) ([]byte, error) { return make([]byte, 1<<20), nil }
	large := openTopic(t, n, eventbusnats.WithCodec(codec))
	_, err = large.Publish(within(t, patience), newOrder(0))
	require.ErrorIs(t, err, eventbusnats.ErrTooLarge)
	require.ErrorContains(t, err, "the server takes 1048576")
	publish(t, topic, 0, 1)
}

// A stream that was deleted is permanent, too.
func TestPublishReturnsAtOnceWithoutAStream(t *testing.T) {
	n := newNode(t)
	topic := openTopic(t, n)
	require.NoError(t, tools(t, n).DeleteStream(within(t, patience), placedStream))
	begun := time.Now()
	_, err := topic.Publish(within(t, patience), newOrder(0))
	require.ErrorIs(t, err, eventbusnats.ErrNoStream)
	require.ErrorContains(t, err, placedStream)
	require.Less(t, time.Since(begun), 5*time.Second)
}

// What cannot be made a message fails alone.
func TestPublishRefusesInvalidData(t *testing.T) {
	n := newNode(t)
	codec := eventbusnats.JSON[order]()
	codec.Encode = func(o order) ([]byte, error) {
		if o.N == 1 {
			panic("the codec is broken")
		}
		return nil, errors.New("no such bytes")
	}
	broken, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithCodec(codec))
	require.NoError(t, err)
	_, err = broken.Publish(within(t, patience), newOrder(0))
	require.ErrorIs(t, err, eventbusnats.ErrInvalidData)
	require.ErrorContains(t, err, "no such bytes")
	_, err = broken.Publish(within(t, patience), newOrder(1))
	require.ErrorContains(t, err, "panicked: the codec is broken")

	topic := openTopic(t, n)
	_, err = topic.Publish(within(t, patience), order{})
	require.ErrorIs(t, err, eventbusnats.ErrInvalidData)
	require.ErrorContains(t, err, "its id is empty")
	var none context.Context // a caller's mistake must not panic
	_, err = topic.Publish(none, newOrder(0))
	require.ErrorContains(t, err, "the context is nil")
	require.Empty(t, inStream(t, n, placedStream))
}

// Publish tells when its context has ended, before and while it waits for a server that is
// gone; and it succeeds once the server is back, if the context lets it.
func TestPublishWaitsForAServerThatIsGone(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	topic := openTopic(t, connectTo(t, urls))
	publish(t, topic, 0, 10)
	_, err := topic.Publish(ended(), newOrder(0))
	require.ErrorIs(t, err, context.Canceled)

	servers[0].kill()
	_, err = topic.Publish(within(t, 300*time.Millisecond), newOrder(10))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	waiting := inBackground(func() error {
		_, err := topic.Publish(within(t, patience), newOrder(10))
		return err
	})
	servers[0].start(t)
	require.NoError(t, receive(t, waiting))
	stored, err := topic.Publish(within(t, patience), newOrder(10))
	require.NoError(t, err)
	require.True(t, stored.Duplicate)
}

// After Close has begun, and of a publish that waits then, the error is ErrClosed.
func TestPublishAfterClose(t *testing.T) {
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic := openTopic(t, n)
	servers[0].kill()
	waiting := inBackground(func() error {
		_, err := topic.Publish(within(t, patience), newOrder(0))
		return err
	})
	time.Sleep(50 * time.Millisecond) // long enough that it waits, most times; else it is refused
	require.NoError(t, n.Close(within(t, patience)))
	require.ErrorIs(t, receive(t, waiting), eventbusnats.ErrClosed)

	_, err := topic.Publish(within(t, patience), newOrder(0))
	require.ErrorIs(t, err, eventbusnats.ErrClosed)
	_, err = eventbusnats.Open(within(t, patience), n, placed)
	require.ErrorIs(t, err, eventbusnats.ErrClosed)
	_, err = topic.Import(within(t, patience), newBus(t), "broker")
	require.ErrorIs(t, err, eventbusnats.ErrClosed)
	_, err = topic.Export(newBus(t))
	require.ErrorIs(t, err, eventbusnats.ErrClosed)
	for _, err := range topic.DeadLetters(within(t, patience)) {
		require.ErrorIs(t, err, eventbusnats.ErrClosed)
	}
}
