package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/eventbus-go/eventbus"
)

// A Topic is an event type whose events can leave the process: a stream. Get one from
// [Open]. All methods may be called concurrently. From the beginning of [Node.Close] on
// they return [ErrClosed], Publish from when the importers are closed.
type Topic[T any] struct {
	topic  eventbus.Topic[T]
	stream *stream
	dead   *stream
	limits limits
	source string
	id     func(data T) string // nil: made up
	codec  Codec[T]
}

// A TopicOption changes a topic. An invalid one is set-up misuse: [Open] panics with a
// message that says what was wrong.
type TopicOption func(*topicConfig) error

type topicConfig struct {
	limits limits
	source string
	id     any // func(T) string
	codec  any // Codec[T]
}

const (
	defaultMaxBytes   = 1 << 30
	defaultDuplicates = 2 * time.Minute // as the server's
)

// WithID makes the message id of an event from its payload: an order's number, say. Events
// with one id within the window of [WithDuplicates] are stored once. Without it each event
// has an id that is made up, and only the retries of one publish are found. T must be that
// of [Open], and id must not be nil, else Open panics. id may be called concurrently; if it
// panics or returns "", the publish returns [ErrInvalidData].
func WithID[T any](id func(data T) string) TopicOption {
	return func(c *topicConfig) error {
		if id == nil {
			return errors.New("WithID: the function is nil")
		}
		c.id = id
		return nil
	}
}

// WithCodec sets how payloads become bytes; without it that is [JSON]. T must be that of
// [Open], and codec must have all its fields, else Open panics.
func WithCodec[T any](codec Codec[T]) TopicOption {
	return func(c *topicConfig) error {
		if err := codec.check(); err != nil {
			return fmt.Errorf("WithCodec: %w", err)
		}
		c.codec = codec
		return nil
	}
}

// WithSource sets the source in the CloudEvents sense of events that have none of their
// own: what [Topic.Publish] publishes, and exported events with an empty Source. Without
// it that is "eventbus". An empty source panics in [Open].
func WithSource(source string) TopicOption {
	return func(c *topicConfig) error {
		if source == "" {
			return errors.New("WithSource: the source is empty")
		}
		c.source = source
		return nil
	}
}

// WithMaxBytes sets how large the stream may become on the disk, and that of the dead
// letters too; without it 1 GiB. The server reserves it from its store when the stream is
// made: of the topic by [Open], and as much again of its dead letters by [Topic.Import].
// Both fail with [ErrFull] if the store has less. A full stream refuses what is published
// with [ErrFull]: nothing is deleted to make room but what is older than [WithMaxAge]. 0 or
// less panics in [Open].
func WithMaxBytes(n int64) TopicOption {
	return func(c *topicConfig) error {
		if n <= 0 {
			return fmt.Errorf("WithMaxBytes: the limit is %d bytes, want more than 0", n)
		}
		c.limits.maxBytes = n
		return nil
	}
}

// WithMaxAge has the server delete events that are older than d, dead letters too, whether
// somebody has handled them or not. Without it nothing is deleted. Less than a second
// panics in [Open].
func WithMaxAge(d time.Duration) TopicOption {
	return func(c *topicConfig) error {
		if d < time.Second {
			return fmt.Errorf("WithMaxAge: the age is %v, want a second or more", d)
		}
		c.limits.maxAge = d
		return nil
	}
}

// WithReplicas sets on how many servers of a cluster each event is stored before it counts
// as stored; without it 1: a power cut of that machine loses what it has not synced, by
// NATS's own default all since up to two minutes ago, and the topic waits while the machine
// is away. [Open] panics unless n is 1, 3 or 5.
func WithReplicas(n int) TopicOption {
	return func(c *topicConfig) error {
		if n != 1 && n != 3 && n != 5 {
			return fmt.Errorf("WithReplicas: %d replicas, want 1, 3 or 5", n)
		}
		c.limits.replicas = n
		return nil
	}
}

// WithDuplicates sets for how long the stream remembers message ids; without it for two
// minutes, or the maximum age if that is less. The server keeps the ids of that time in
// memory. Less than a second panics in [Open].
func WithDuplicates(window time.Duration) TopicOption {
	return func(c *topicConfig) error {
		if window < time.Second {
			return fmt.Errorf("WithDuplicates: the window is %v, want a second or more", window)
		}
		c.limits.duplicates = window
		return nil
	}
}

// Open opens the stream of a topic, which it creates if there is none. If there is one that
// differs from what topic and opts ask for, the error wraps [ErrDiffers] and names each
// field with what it has and what is wanted: the stream stays as it is, since an update
// could delete events. Change it with the server's tools, or open it as it is. The error
// wraps [ErrFull] if the server's store has no room for what [WithMaxBytes] reserves, and
// [ErrClosed] if the node is closed.
//
// Temporary failures, as while a cluster elects a leader, are tried again until ctx ends.
// Open panics if n is nil, topic is the zero Topic or an option is invalid. Several
// topics, also of several processes, may open one stream.
func Open[T any](ctx context.Context, n *Node, topic eventbus.Topic[T], opts ...TopicOption) (*Topic[T], error) {
	t := &Topic[T]{topic: topic}
	if err := t.setUp(n, opts); err != nil {
		panic("eventbusnats: Open: " + err.Error())
	}
	name, err := token(string(topic.Type()))
	if err != nil {
		return nil, fmt.Errorf("eventbusnats: Open: %w", err)
	}
	t.stream = &stream{n, topicStream + name, topicSubject + name}
	t.dead = &stream{n, deadStream + name, deadSubject + name}
	if err := t.stream.open(ctx, t.limits); err != nil {
		return nil, fmt.Errorf("eventbusnats: Open %q: %w", topic.Type(), err)
	}
	return t, nil
}

func (t *Topic[T]) setUp(n *Node, opts []TopicOption) error {
	if n == nil {
		return errors.New("the node is nil")
	}
	if t.topic.Type() == "" {
		return errors.New("the topic has no type: want one of eventbus.NewTopic")
	}
	c := topicConfig{source: "eventbus", codec: JSON[T](), limits: limits{maxBytes: defaultMaxBytes, replicas: 1}}
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(&c); err != nil {
			return err
		}
	}
	return t.take(c)
}

// take takes over what the options say, and checks what concerns several of them.
func (t *Topic[T]) take(c topicConfig) error {
	var ok bool
	if t.codec, ok = c.codec.(Codec[T]); !ok {
		return fmt.Errorf("WithCodec: the codec is a %T, want a %T", c.codec, t.codec)
	}
	if t.id, ok = c.id.(func(T) string); !ok && c.id != nil {
		return fmt.Errorf("WithID: the function is a %T, want a %T", c.id, t.id)
	}
	l := &c.limits
	if l.maxAge > 0 && l.duplicates > l.maxAge {
		return fmt.Errorf("WithDuplicates: the window of %v is longer than the maximum age of %v", l.duplicates, l.maxAge)
	}
	if l.duplicates == 0 {
		l.duplicates = defaultDuplicates
		if l.maxAge > 0 {
			l.duplicates = min(l.duplicates, l.maxAge)
		}
	}
	t.limits, t.source = c.limits, c.source
	return nil
}

// Stream returns the name of the topic's stream at the server, for its tools.
func (t *Topic[T]) Stream() string { return t.stream.name }

// message makes the message of an event and checks its size.
func (t *Topic[T]) message(data T, source string, at time.Time) (*nats.Msg, error) {
	e := envelope{source: source, eventType: string(t.topic.Type()), time: at}
	if source == "" {
		e.source = t.source
	}
	m := &nats.Msg{Subject: t.stream.subject}
	if err := protect("the id or codec", func() (err error) {
		e.id, e.contentType = t.idOf(data), t.codec.ContentType
		m.Data, err = t.codec.Encode(data)
		return err
	}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidData, err)
	}
	if e.id == "" {
		return nil, fmt.Errorf("%w: its id is empty", ErrInvalidData)
	}
	m.Header = e.headers()
	return m, t.stream.checkSize(m)
}

func (t *Topic[T]) idOf(data T) string {
	if t.id == nil {
		return nuid.Next()
	}
	return t.id(data)
}
