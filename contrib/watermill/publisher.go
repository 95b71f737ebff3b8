package eventbuswatermill

import (
	"fmt"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus"
)

// A Publisher is a [message.Publisher]. Get one from [Broker.Publisher]. Watermill's
// router closes the publishers of its handlers, so give each handler its own.
type Publisher struct {
	broker *Broker
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// Publisher returns a publisher to all topics. Its publishes fail once it is closed, or
// Shutdown has begun.
func (b *Broker) Publisher() *Publisher { return &Publisher{broker: b} }

// Publish publishes messages one after another to all groups of the topic and returns
// when they are in the queues. nil means that each group's subscribers will get them,
// or that [Broker.Shutdown] hands them back; only what a subscriber without a name has
// not acknowledged by its end is discarded. If the topic has no group, the messages go
// nowhere, and [Stats] counts them as Unrouted. The broker keeps a copy of a message that
// shares its payload.
//
// The context of a message, context.Background unless it was set, ends a wait for room.
// A subscriber publishes with the context of its message, or one derived from it: then
// it never waits for itself, and may still publish during Shutdown.
//
// The error is a [*PublishError]. It wraps
//
//   - [eventbus.ErrClosed] after Close, and during and after Shutdown,
//   - the error of the message's context,
//   - [eventbus.ErrInvalidEvent] if the topic has no name or a message is nil,
//   - [eventbus.ErrQueueFull] if a subscriber may not wait, since that would be waiting
//     for itself, and the queue has no place left for it.
//
// Publish may be called concurrently.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	for i, m := range messages {
		if reached, err := p.publish(topic, m); err != nil {
			e := &PublishError{Topic: topic, Index: i, Reached: reached, Err: err}
			if m != nil {
				e.UUID = m.UUID
			}
			return e
		}
	}
	return nil
}

// publish puts m into the groups' queues. If it fails, it returns the names of the
// groups that have got m by then.
func (p *Publisher) publish(topic string, m *message.Message) (reached []string, err error) {
	if err := p.check(topic, m); err != nil {
		return nil, err
	}
	ctx := m.Context()
	groups, err := p.broker.groupsOf(topic, func() bool { return isDelivery(ctx, p.broker) })
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		p.broker.unrouted.Add(1)
		return nil, nil
	}
	s := store(m)
	for i, g := range groups {
		if err := g.publish(ctx, s); err != nil {
			return namesOf(groups[:i]), err
		}
	}
	return nil, nil
}

func (p *Publisher) check(topic string, m *message.Message) error {
	if p.closed.Load() {
		return eventbus.ErrClosed
	}
	if m == nil {
		return fmt.Errorf("%w: the message is nil", eventbus.ErrInvalidEvent)
	}
	return checkTopic(topic)
}

// Close lets no further publish begin. It returns nil at once, does not wait for
// publishes that have begun, and does not end the broker. Calling it again does nothing.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// A PublishError tells which message of a Publish failed. The messages before it are
// published, the later ones are not.
type PublishError struct {
	Topic string
	Index int    // of the message that failed, among the messages of the call
	UUID  string // of that message

	// Reached names the groups that have the message all the same: publishing it again
	// gives it to them twice. If it is empty, no group has it.
	Reached []string

	Err error
}

// Error names the message, the topic, the groups that were reached and the cause.
func (e *PublishError) Error() string {
	var reached string
	if len(e.Reached) > 0 {
		reached = fmt.Sprintf(" (it has reached %s)", strings.Join(e.Reached, ", "))
	}
	return fmt.Sprintf("eventbus: message %d, %q, was not published to %q%s: %v", e.Index, e.UUID, e.Topic, reached, e.Err)
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }

func namesOf(groups []*group) (names []string) {
	for _, g := range groups {
		names = append(names, g.id.Name)
	}
	return names
}

// A stored message is what waits in the queues. All groups share it, so it is never
// changed.
type stored struct {
	uuid     string
	metadata message.Metadata
	payload  message.Payload
}

func store(m *message.Message) *stored {
	return &stored{m.UUID, maps.Clone(m.Metadata), m.Payload}
}

// message returns a message of its own for one delivery.
func (s *stored) message() *message.Message {
	m := message.NewMessage(s.uuid, s.payload)
	maps.Copy(m.Metadata, s.metadata)
	return m
}
