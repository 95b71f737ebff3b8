package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrPayloadType is why a handler of a [Topic] failed that met an event with
// another payload. The error names both types.
var ErrPayloadType = errors.New("eventbus: wrong payload type")

// A Topic binds an event type to the type of its payload and to its queue, so
// that the compiler refuses a wrong payload. Make one with [NewTopic], usually
// in a package variable; it belongs to no bus, is a value, and may be used
// concurrently. The zero Topic has no event type and so is invalid.
//
// What a topic publishes reaches untyped handlers of the event type, and what
// [Bus.Publish] publishes with the event type and a payload of type T, on any
// queue, reaches the topic's.
type Topic[T any] struct {
	eventType EventType
	queue     Queue
	topicConfig
}

// A TopicOption changes a topic. An invalid one is set-up misuse: [NewTopic]
// panics with a message that says what was wrong.
type TopicOption func(*topicConfig) error

// A topicConfig is what the options set.
type topicConfig struct {
	rule   *rule // nil for the queue's own
	retain bool

	keyType reflect.Type // of the payload that the key is made of; nil without a key
}

// ownRule returns the rule to change.
func (c *topicConfig) ownRule() *rule {
	if c.rule == nil {
		c.rule = &rule{inherits: true}
	}
	return c.rule
}

// NewTopic returns the topic of the events of type t, whose payload is a T and
// which travel through q. It panics if t is empty, q is unknown or an option is
// invalid.
func NewTopic[T any](t EventType, q Queue, opts ...TopicOption) Topic[T] {
	if t == "" {
		panic("eventbus: NewTopic: the event type is empty")
	}
	topic := Topic[T]{eventType: t, queue: q}
	err := topic.setUp(q, opts)
	if want := reflect.TypeFor[T](); err == nil && topic.keyType != nil && topic.keyType != want {
		err = fmt.Errorf("WithConflateBy: the key is made of %v, the payload is %v", topic.keyType, want)
	}
	if err != nil {
		panic(fmt.Sprintf("eventbus: NewTopic %s: %v", quoted(t), err))
	}
	return topic
}

func (c *topicConfig) setUp(q Queue, opts []TopicOption) error {
	if q >= numQueues {
		return fmt.Errorf("%w: %v", ErrUnknownQueue, q)
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

// WithOverflow overrides what a publish of this topic does when its queue is
// full. o and timeout mean what they do in [QueueConfig]. The queue's other
// events keep the queue's rule.
//
// DropOldest belongs to a queue: as a topic's rule it panics in NewTopic.
// [WithConflateBy] keeps the last event of each key in its place. And where the
// queue drops the oldest, the topic's publishes return [ErrInvalidEvent], since
// its rule could not be kept.
func WithOverflow(o Overflow, timeout time.Duration) TopicOption {
	return func(c *topicConfig) error {
		if err := (QueueConfig{Capacity: 1, Overflow: o, Timeout: timeout}).validate(); err != nil {
			return fmt.Errorf("WithOverflow: %w", err)
		}
		if o == DropOldest {
			return errors.New("WithOverflow: DropOldest is a queue's rule; to keep the latest of each key, use WithConflateBy")
		}
		r := c.ownRule()
		r.overflow, r.timeout, r.inherits = o, timeout, false
		return nil
	}
}

// WithConflateBy conflates the events that this topic publishes, by the key that
// key makes of their payload, as QueueConfig.ConflateBy does those of a queue
// and in its place. They replace none of another type. T is the topic's; another
// one panics in NewTopic.
func WithConflateBy[T any](key func(data T) string) TopicOption {
	return func(c *topicConfig) error {
		if key == nil {
			return errors.New("WithConflateBy: the function is nil")
		}
		c.keyType = reflect.TypeFor[T]()
		c.ownRule().key = func(e Event) string {
			data, _ := e.Data.(T) // nil, of an interface
			return key(data)
		}
		return nil
	}
}

// WithMaxAge lets the events that this topic publishes expire when they are
// older than d, as QueueConfig.MaxAge does those of a queue and in its place.
func WithMaxAge(d time.Duration) TopicOption {
	return func(c *topicConfig) error {
		if d <= 0 {
			return fmt.Errorf("WithMaxAge: the age is %v, want more than 0", d)
		}
		c.ownRule().maxAge = d
		return nil
	}
}

// Publish publishes data on b, as [Bus.Publish] does and with its errors, in an
// event whose Time is that of the bus's clock and whose Source is empty. Unless T is
// a pointer or an interface, putting it into the event allocates.
func (t Topic[T]) Publish(ctx context.Context, b *Bus, data T) error {
	e := Event{Type: t.eventType, Data: data}
	if err := t.prepare(ctx, b, &e); err != nil {
		return err
	}
	return b.publish(ctx, t.queue, &e, t.rule)
}

// prepare makes b ready for the topic's events, and stamps e.
func (t Topic[T]) prepare(ctx context.Context, b *Bus, e *Event) error {
	t.keepOn(b)
	q := b.queues[t.queue]
	if r := t.rule; r != nil {
		if r.key != nil {
			q.buffer.Conflate()
		}
		if !r.inherits && q.rule.overflow == DropOldest {
			return q.rejectEvents(ctx, t.eventType,
				fmt.Errorf("%w: the topic has WithOverflow and its queue drops the oldest", ErrInvalidEvent), 1)
		}
	}
	if err := contain("the clock", func() { e.Time = b.now() }); err != nil {
		return q.rejectEvents(ctx, t.eventType, err, 1)
	}
	return nil
}

// Subscribe makes f handle the topic's payloads on b, as [Bus.Subscribe] does,
// and panics where that does. An event of the topic's type with another payload
// is not passed to f: it fails the handler with [ErrPayloadType].
func (t Topic[T]) Subscribe(b *Bus, f func(ctx context.Context, data T) error, opts ...SubscribeOption) *Subscription {
	if f == nil {
		return b.Subscribe(t.eventType, nil, opts...)
	}
	t.keepOn(b)
	return b.Subscribe(t.eventType, topicHandler[T](f), opts...)
}

// keepOn makes b keep the topic's last event, if the topic says so.
func (t Topic[T]) keepOn(b *Bus) {
	if t.retain && t.eventType != "" {
		b.keep(t.eventType, t.queue, t.rule)
	}
}

// Forget lets go of the last event that b keeps for the topic with [Retain], so
// that late joiners get none before the next. It does nothing if b keeps none.
func (t Topic[T]) Forget(b *Bus) {
	b.forget(t.eventType)
}

// A topicHandler is the function of a topic as a Handler.
type topicHandler[T any] func(ctx context.Context, data T) error

func (f topicHandler[T]) handlerName() string { return funcName(f) }

// Handle calls f with the payload of e.
func (f topicHandler[T]) Handle(ctx context.Context, e Event) error {
	data, ok := e.Data.(T)
	if !ok && !isNilOf[T](e.Data) {
		return payloadError(e, reflect.TypeFor[T]())
	}
	return f(ctx, data)
}

// isNilOf reports whether data is the nil value of the interface type T, which
// is lost when it is put into an event.
func isNilOf[T any](data any) bool {
	return data == nil && reflect.TypeFor[T]().Kind() == reflect.Interface
}

// payloadError names the types with their packages' paths where the short form,
// as of two types strategy.Order, would be the same.
func payloadError(e Event, want reflect.Type) error {
	got, wanted := fmt.Sprintf("%T", e.Data), want.String()
	if got == wanted {
		got, wanted = fullName(reflect.TypeOf(e.Data)), fullName(want)
	}
	return fmt.Errorf("%w: the event carries a %s, the topic %s takes a %s", ErrPayloadType, got, quoted(e.Type), wanted)
}

func fullName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return "*" + fullName(t.Elem())
	}
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}
