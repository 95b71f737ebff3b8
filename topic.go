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
//
// The rules of [WithOverflow], [WithConflateBy] and [WithMaxAge] are those of the
// topic's Publish, PublishEvent, PublishBatch, PublishWait and TryPublish, the latter
// without WithOverflow. What Bus.Publish and its like publish with the event type has the
// queue's rules.
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
// invalid. T must be given, as in NewTopic[Quote]("quote", DataQueue): Go does not infer
// it from options, the function of [WithConflateBy] included.
func NewTopic[T any](t EventType, q Queue, opts ...TopicOption) Topic[T] {
	if t == "" {
		panic("eventbus: NewTopic: the event type is empty")
	}
	topic := Topic[T]{eventType: t, queue: q}
	err := topic.setUp(q, opts)
	if want := reflect.TypeFor[T](); err == nil && topic.keyType != nil && topic.keyType != want {
		key, payload := typeNames(topic.keyType, want)
		err = fmt.Errorf("WithConflateBy: the key is made of a %s, the payload is a %s: want NewTopic[T] and a function of that T", key, payload)
	}
	if r := topic.rule; err == nil && r != nil {
		r.try = &rule{atOnce: true, key: r.key, maxAge: r.maxAge}
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

// WithOverflow overrides what Publish, PublishEvent, PublishBatch and PublishWait of this
// topic do when its queue is full. o and timeout mean what they do in [QueueConfig]. The
// queue's other events keep the queue's rule, and TryPublish never waits.
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

// WithConflateBy conflates the events that this topic's own calls publish, by the key
// that key makes of their payload, as QueueConfig.ConflateBy does those of a queue
// and in its place. They replace none of another type. T must be that of [NewTopic],
// which must be given there too; another one, an interface that T implements included,
// panics in NewTopic.
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

// WithMaxAge lets the events that this topic's own calls publish expire when they are
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

// Type returns the topic's event type, empty for the zero Topic.
func (t Topic[T]) Type() EventType { return t.eventType }

// Queue returns the queue that the topic's events travel through.
func (t Topic[T]) Queue() Queue { return t.queue }

// Event returns an event of the topic with payload data and an empty Source, for
// [Topic.PublishEvent]. Since a topic has no bus, Time is [time.Now], also where the bus
// has [WithClock].
func (t Topic[T]) Event(data T) Event {
	return Event{Type: t.eventType, Data: data, Time: time.Now()}
}

// Publish publishes data on b by the topic's rules, else as [Bus.Publish] does and with its
// errors, after Shutdown and inside handlers too. The event's Time is that of the bus's
// clock and its Source is empty. Unless T is a pointer or an interface, putting it into the
// event allocates.
func (t Topic[T]) Publish(ctx context.Context, b *Bus, data T) error {
	return t.publishData(ctx, b, data, t.rule)
}

// TryPublish is [Topic.Publish] that never waits, as [Bus.TryPublish] is: if the queue is
// full it returns [ErrQueueFull], whatever WithOverflow says. An event that waits with the
// key of [WithConflateBy] is replaced all the same.
func (t Topic[T]) TryPublish(ctx context.Context, b *Bus, data T) error {
	return t.publishData(ctx, b, data, t.rule.forTry())
}

// publishData publishes data by rule r, nil for the queue's.
func (t Topic[T]) publishData(ctx context.Context, b *Bus, data T, r *rule) error {
	e := Event{Type: t.eventType, Data: data}
	var err error
	if e.Time, err = t.stamp(ctx, b, 1); err != nil {
		return err
	}
	return b.publish(ctx, t.queue, &e, r)
}

// PublishWait is [Topic.Publish] that waits until all handlers are done and returns
// their errors, as [Bus.PublishWait] does and with its errors.
func (t Topic[T]) PublishWait(ctx context.Context, b *Bus, data T) error {
	now, err := t.stamp(ctx, b, 1)
	if err != nil {
		return err
	}
	return b.publishWait(ctx, t.queue, Event{Type: t.eventType, Data: data, Time: now}, t.rule)
}

// PublishBatch publishes data, each in an event as that of [Topic.Publish], as
// [Bus.PublishBatch] does and with its errors: in one place in line, with one wait, and
// what is accepted is a prefix. The events have the same Time. It allocates a slice of
// events; the caller may use its own again. Without data it returns 0 and nil.
func (t Topic[T]) PublishBatch(ctx context.Context, b *Bus, data []T) (accepted int, err error) {
	if len(data) == 0 {
		return b.publishBatch(ctx, t.queue, nil, t.rule)
	}
	now, err := t.stamp(ctx, b, len(data))
	if err != nil {
		return 0, err
	}
	events := make([]Event, len(data))
	for i := range data {
		events[i] = Event{Type: t.eventType, Data: data[i], Time: now}
	}
	return b.publishBatch(ctx, t.queue, events, t.rule)
}

// PublishEvent is [Topic.Publish] of an event that the caller has made, as with
// [Topic.Event], to set its Source or Time. It leaves both alone, but for a zero Time
// where a maximum age applies, which becomes that of the bus's clock. An event of another
// type is refused with [ErrInvalidEvent], one with a payload that is no T with
// [ErrPayloadType]; nil is a T if T is an interface.
func (t Topic[T]) PublishEvent(ctx context.Context, b *Bus, e Event) error {
	var err error
	if e.Type != t.eventType {
		err = fmt.Errorf("%w: its type is %s, the topic's is %s", ErrInvalidEvent, quoted(e.Type), quoted(t.eventType))
	} else if _, ok := e.Data.(T); !ok && !isNilOf[T](e.Data) {
		err = payloadError(e, reflect.TypeFor[T]())
	}
	if err != nil {
		return b.queues[t.queue].rejectEvents(ctx, e.Type, err, 1)
	}
	if err := t.ready(ctx, b, 1); err != nil {
		return err
	}
	return b.publish(ctx, t.queue, &e, t.rule)
}

// ready makes b ready for n events of the topic.
func (t Topic[T]) ready(ctx context.Context, b *Bus, n int) error {
	t.keepOn(b)
	q := b.queues[t.queue]
	if r := t.rule; r != nil {
		if r.key != nil {
			q.buffer.Conflate()
		}
		if !r.inherits && q.rule.overflow == DropOldest {
			return q.rejectEvents(ctx, t.eventType,
				fmt.Errorf("%w: the topic has WithOverflow and its queue drops the oldest", ErrInvalidEvent), uint64(n))
		}
	}
	return nil
}

// stamp makes b ready for n events of the topic and returns their time.
func (t Topic[T]) stamp(ctx context.Context, b *Bus, n int) (now time.Time, err error) {
	if err := t.ready(ctx, b, n); err != nil {
		return now, err
	}
	if err := contain("the clock", func() { now = b.now() }); err != nil {
		return now, b.queues[t.queue].rejectEvents(ctx, t.eventType, err, uint64(n))
	}
	return now, nil
}

// Subscribe makes f handle the topic's payloads on b, as [Bus.Subscribe] does,
// and panics where that does. An event of the topic's type with another payload
// is not passed to f: it fails the handler with [ErrPayloadType].
//
// One event type has one payload type. Subscribe panics while a subscription of a topic
// of the same event type with another T lives on b, unless one of the two is an
// interface. One that was unsubscribed, disabled, or is done by [Once] lives no more, and
// after Shutdown none does.
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

// payloadType returns the type that the topic's events carry.
func (topicHandler[T]) payloadType() reflect.Type { return reflect.TypeFor[T]() }

// A typedHandler is a handler that takes one type of payload.
type typedHandler interface{ payloadType() reflect.Type }

// isPayload reports whether an event with data is what a topic of payload t takes.
func isPayload(data any, t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return data == nil || reflect.TypeOf(data).Implements(t)
	}
	return reflect.TypeOf(data) == t
}

// canBe reports whether a value of type a can be of type b, too: one may be an interface.
func canBe(a, b reflect.Type) bool {
	switch aKind, bKind := a.Kind() == reflect.Interface, b.Kind() == reflect.Interface; {
	case aKind && bKind:
		return true
	case aKind:
		return b.Implements(a)
	case bKind:
		return a.Implements(b)
	}
	return a == b
}

// payloadError says that e carries another payload than want.
func payloadError(e Event, want reflect.Type) error {
	got, wanted := typeNames(reflect.TypeOf(e.Data), want)
	return fmt.Errorf("%w: the event carries a %s, the topic %s takes a %s", ErrPayloadType, got, quoted(e.Type), wanted)
}

// typeNames returns the names of two types, with their packages' paths where the short
// form, as of two types strategy.Order, would be the same. a may be nil.
func typeNames(a, b reflect.Type) (nameOfA, nameOfB string) {
	if a == nil {
		return "<nil>", b.String()
	}
	if a.String() == b.String() {
		return fullName(a), fullName(b)
	}
	return a.String(), b.String()
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
