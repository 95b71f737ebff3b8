package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
)

// An ImportOption changes an importer. An invalid one is set-up misuse: [Topic.Import]
// panics with a message that says what was wrong.
type ImportOption func(*importConfig) error

type importConfig struct {
	attempts         int
	firstWait        time.Duration
	lastWait         time.Duration
	ackWait          time.Duration
	acceptsUnhandled bool
	onError          func(error)
}

// The defaults give handlers 16 s until an event is a dead letter: what they call may be
// restarted meanwhile.
const (
	defaultAttempts  = 10
	defaultFirstWait = 50 * time.Millisecond
	defaultLastWait  = 5 * time.Second
	defaultAckWait   = 30 * time.Second
	leastAckWait     = time.Second
)

// WithAttempts sets how often an event is published before it goes to the dead letters;
// without it 10 times. Less than 1 panics in [Topic.Import].
func WithAttempts(n int) ImportOption {
	return func(c *importConfig) error {
		if n < 1 {
			return fmt.Errorf("WithAttempts: %d attempts, want 1 or more", n)
		}
		c.attempts = n
		return nil
	}
}

// WithBackoff sets how long an importer waits between attempts: first, then twice as long
// each time, up to last. Without it 50 ms up to 5 s. It panics in [Topic.Import] unless
// 0 < first <= last.
func WithBackoff(first, last time.Duration) ImportOption {
	return func(c *importConfig) error {
		if first <= 0 || last < first {
			return fmt.Errorf("WithBackoff: from %v to %v, want the first more than 0 and the last no less", first, last)
		}
		c.firstWait, c.lastWait = first, last
		return nil
	}
}

// WithAckWait sets after what time without a sign of life the server sends an event again;
// without it 30 s. While handlers run, the importer gives one in each third of that. It is a
// property of the group: another value than that of an existing group is refused. Less than
// 1 s panics in [Topic.Import].
func WithAckWait(d time.Duration) ImportOption {
	return func(c *importConfig) error {
		if d < leastAckWait {
			return fmt.Errorf("WithAckWait: %v, want %v or more", d, leastAckWait)
		}
		c.ackWait = d
		return nil
	}
}

// WithUnhandled has an importer acknowledge events that no handler took, because every
// filter turned them away or nobody subscribes. Without it they are failures with
// [eventbus.ErrUnhandled], and go to the dead letters in the end: an engine whose handlers
// are missing must not use its orders up.
func WithUnhandled() ImportOption {
	return func(c *importConfig) error {
		c.acceptsUnhandled = true
		return nil
	}
}

// OnImportError sets who is told what goes wrong: each attempt that fails, each
// [*DeadLetterError], gaps ([ErrMissed]), a consumer or server that is gone, and why an
// importer has ended by itself. What is tried again is told once for each kind and every
// ten seconds. It is called on the importer's goroutine, which goes on after it: it must
// not call Close of the importer, of an exporter or of the node, nor wait for one. Its panics are
// contained. Without it errors are logged to [log/slog.Default]. nil panics in
// [Topic.Import].
func OnImportError(f func(error)) ImportOption {
	return func(c *importConfig) error {
		if f == nil {
			return errors.New("OnImportError: the function is nil")
		}
		c.onError = f
		return nil
	}
}

func (c *importConfig) apply(bus *eventbus.Bus, group string, opts []ImportOption) error {
	if bus == nil {
		return errors.New("the bus is nil")
	}
	if group == "" {
		return errors.New("the group is empty")
	}
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	return nil
}

// Import publishes the stream's events on bus, in the order of the stream, each after the
// one before is done. A new group begins with the oldest event, a known one where it was:
// after the last event that it acknowledged. Subscribe the handlers first. The importer has
// up to 256 events ahead in memory.
//
// Each event is published with [eventbus.Bus.PublishWait] on the topic's queue, by the
// queue's rules, with the Time and Source that it had. What comes of it:
//
//   - nil: it is acknowledged.
//   - Handlers fail: it is published again after a while, as [WithBackoff] says, and all its
//     handlers are called again, those that have succeeded too. After [WithAttempts] it is a
//     dead letter. Until then no later event is published: a failing one holds its group up.
//     After [eventbus.ErrHandlerTimeout] the call that was given up may still run beside that.
//   - It is too old ([eventbus.ErrExpired]) or cannot be decoded: it is a dead letter at once.
//   - There is no room, or the bus does not run: it waits, without counting attempts.
//   - The bus is shut down: the importer ends. The event is not acknowledged and comes again.
//
// A dead letter is stored in a stream of its own, see [Topic.DeadLetters], before the event
// is acknowledged. After a crash between the two it is buried again, and is there twice if
// that is after the window of [WithDuplicates]. While that stream is full, the importer
// waits. While handlers run for long, the server is told so.
//
// When the consumer is deleted, or the server is gone, the importer tells [OnImportError],
// makes the consumer anew where it was, and goes on. A group has one importer: if
// another one works for it, on whatever node, the error wraps [ErrGroupInUse]. Of two
// that begin in the same moment, the later one ends by itself with that error.
//
// ctx is for this call alone, which tries temporary failures again until it ends; the
// importer lives until [Importer.Close] or [Node.Close]. The error wraps [ErrDiffers] if the
// group's consumer or the stream of the dead letters is not as this package makes it,
// [ErrFull] if the server's store has no room for that stream, which reserves as much as the
// topic's, and [ErrClosed] if the node is closed. Import refuses a bus that an exporter of
// the same node and topic listens to. It panics if bus is nil, group is empty or an option
// is invalid.
func (t *Topic[T]) Import(ctx context.Context, bus *eventbus.Bus, group string, opts ...ImportOption) (*Importer, error) {
	c := importConfig{attempts: defaultAttempts, firstWait: defaultFirstWait, lastWait: defaultLastWait, ackWait: defaultAckWait, onError: logError}
	if err := c.apply(bus, group, opts); err != nil {
		panic("eventbusnats: Import: " + err.Error())
	}
	im, err := t.newImporter(ctx, bus, group, c)
	if err != nil {
		return nil, fmt.Errorf("eventbusnats: Import %q for group %q: %w", t.topic.Type(), group, err)
	}
	go im.run()
	return im, nil
}

// newImporter makes the dead letters' stream and the consumer, if there are none, and claims
// the group.
func (t *Topic[T]) newImporter(ctx context.Context, bus *eventbus.Bus, group string, c importConfig) (*Importer, error) {
	durable, err := token(group)
	if err != nil {
		return nil, err
	}
	im := &Importer{
		bus: bus, queue: t.topic.Queue(), eventType: t.topic.Type(), group: group, config: c,
		stream: t.stream, dead: t.dead, limits: t.limits, consumer: consumer{stream: t.stream, durable: durable, ackWait: c.ackWait},
		decode: t.decode, closing: make(chan struct{}), done: make(chan struct{}),
	}
	im.cut, im.cutOff = context.WithCancelCause(context.Background())
	if err := t.dead.open(ctx, t.limits); err != nil {
		return nil, err
	}
	if err := t.stream.node.manage(ctx, im.consumer.open); err != nil {
		return nil, err
	}
	if err := t.stream.node.manage(ctx, func(ctx context.Context) (err error) {
		im.claim, err = newClaim(ctx, t.stream.node.in, im.claimSubject(), im.lose)
		return err
	}); err != nil {
		return nil, err
	}
	if err := t.stream.node.add(im, nil); err != nil {
		im.claim.release()
		return nil, err
	}
	return im, nil
}

// decode makes a payload of a message.
func (t *Topic[T]) decode(b []byte) (data any, err error) {
	panicked := protect("the codec", func() error {
		var v T
		v, err = t.codec.Decode(b)
		data = v
		return nil
	})
	if err = errors.Join(err, panicked); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return data, nil
}
