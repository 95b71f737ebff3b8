package eventbusnats

import (
	"context"
	"fmt"
	"time"
)

// Stored tells where an event is stored.
type Stored struct {
	ID       string // the message id
	Sequence uint64 // in the stream, from 1 on

	// Duplicate says that an event with the id was stored before, within the window of
	// WithDuplicates: by a retry, or by somebody else. Sequence is that one's.
	Duplicate bool
}

// Publish stores an event with data, at this time, in the topic's stream, and returns once
// it is stored: what that means depends on the server, see the package's documentation. It
// reaches the buses that import the topic, and no bus by itself.
//
// Temporary failures, of the network or of a cluster without a leader, are tried again with
// the same message id until ctx ends. The error wraps
//
//   - [ErrFull] if the stream or the store has reached its limit, [WithMaxBytes] or
//     [WithStoreLimit],
//   - [ErrTooLarge] if the message is larger than the server takes, 1 MiB unless it is
//     configured otherwise, or its headers are, with the id and the source: 64 KiB,
//   - [ErrNoStream] if the stream was deleted,
//   - [ErrInvalidData] if the codec or the id fails,
//   - [ErrClosed] after [Node.Close] has closed the importers,
//   - ctx's error if that ends first.
//
// A disk that fails, or is full before those limits, is waited for like a network: the
// server answers nothing then, and only its log says why. Keep the limits below what the
// disk holds.
//
// After the last two errors the event may be stored all the same: to publish it again with the
// same id is safe within the window. What one goroutine publishes is stored in that order.
func (t *Topic[T]) Publish(ctx context.Context, data T) (Stored, error) {
	s, err := t.publish(ctx, data)
	if err != nil {
		return Stored{}, fmt.Errorf("eventbusnats: Publish %q: %w", t.topic.Type(), err)
	}
	return s, nil
}

func (t *Topic[T]) publish(ctx context.Context, data T) (Stored, error) {
	m, err := t.message(data, "", time.Now())
	if err != nil {
		return Stored{}, err
	}
	n := t.stream.node
	if err := n.begin(); err != nil {
		return Stored{}, err
	}
	defer n.end()
	ack, err := t.stream.store(ctx, m, retry{quit: n.refuses})
	if err != nil {
		return Stored{}, err
	}
	return Stored{ID: unescape(m.Header.Get(headerID)), Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}
