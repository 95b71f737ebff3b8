package eventbuswatermill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus"
)

// A Subscriber is a [message.Subscriber] and a [message.SubscribeInitializer]. Get one
// from [Broker.Subscriber]. Its methods may be called concurrently.
type Subscriber struct {
	broker *Broker
	group  string

	mu     sync.Mutex // taken before the broker's mu
	closed bool
	subs   map[*subscription]struct{} // have not ended
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// Subscriber returns a subscriber in the named group. Subscriptions of one group, of
// this subscriber or others, share the messages of a topic. Without a name, each
// subscription gets all messages that are published after it was made.
func (b *Broker) Subscriber(group string) *Subscriber {
	return &Subscriber{broker: b, group: group, subs: make(map[*subscription]struct{})}
}

// SubscribeInitialize makes the group of the topic, so that it gets what is published
// from then on, before anybody subscribes. Without a group's name it does nothing. The
// error wraps [eventbus.ErrClosed] after Close and once Shutdown has begun, or
// [eventbus.ErrInvalidEvent] if the topic has no name.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if err := s.initialize(topic); err != nil {
		return fmt.Errorf("eventbus: SubscribeInitialize %q: %w", topic, err)
	}
	return nil
}

func (s *Subscriber) initialize(topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkTopic(topic); err != nil || s.group == "" {
		return err
	}
	if s.closed {
		return eventbus.ErrClosed
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	_, err := s.broker.groupLocked(Group{topic, s.group}, true)
	return err
}

// Subscribe returns the messages of the topic that the group has not acknowledged, one
// at a time. The channel has no buffer, and is closed by Close, Shutdown and the end of
// ctx, once the outstanding message is acknowledged or the grace time is over.
//
// The context of a message has the values of ctx, but not its end: it ends with the
// message's Ack or Nack, or with the grace time, so that a handler can finish what it
// has begun. To acknowledge and publish after that, publish with another context.
//
// The error wraps [eventbus.ErrClosed] after Close and once Shutdown has begun, or
// [eventbus.ErrInvalidEvent] if the topic has no name; if ctx is nil, it says so.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub, err := s.subscribe(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("eventbus: Subscribe to %q: %w", topic, err)
	}
	sub.unhook = context.AfterFunc(ctx, sub.leave) // without a lock: ctx may run user code
	close(sub.hooked)
	return sub.out, nil
}

func (s *Subscriber) subscribe(ctx context.Context, topic string) (*subscription, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, eventbus.ErrClosed
	}
	sub, err := s.broker.subscribe(ctx, topic, s)
	if err == nil {
		s.subs[sub] = struct{}{}
	}
	return sub, err
}

// subscribe adds a subscription of s to a group. It may end before subscribe returns.
func (b *Broker) subscribe(ctx context.Context, topic string, s *Subscriber) (*subscription, error) {
	name, named := s.group, s.group != ""
	if !named {
		name = fmt.Sprintf("#%d", b.unnamed.Add(1))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.groupLocked(Group{topic, name}, named)
	if err != nil {
		return nil, err
	}
	sub := newSubscription(ctx, g, s)
	b.live.Add(1)
	g.add(sub)
	return sub, nil
}

// Close ends the subscriptions. It hands out no further messages, waits for the grace
// time at most until the messages that are out are acknowledged, closes the channels and
// returns nil. What was not acknowledged goes to the group's next subscriber. A second
// call waits as the first one does. A handler that calls Close makes it wait for its own
// Ack, for the grace time. The broker and its groups live on.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	subs := slices.Collect(maps.Keys(s.subs))
	s.mu.Unlock()
	leaveAll(subs)
	return nil
}

func (s *Subscriber) forget(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, sub)
}

// A subscription is one channel of messages.
type subscription struct {
	group  *group
	owner  *Subscriber
	values context.Context // of Subscribe

	unhook func() bool   // keeps the end of that context from ending the subscription
	hooked chan struct{} // closed when unhook is set

	out  chan *message.Message
	last *message.Message // that was taken; belongs to the group's offers, and after the last of them to end
	gone chan struct{}    // closed when its message goes to somebody else

	leaving atomic.Bool
	left    chan struct{} // closed when it has ended
}

func newSubscription(ctx context.Context, g *group, owner *Subscriber) *subscription {
	return &subscription{
		group: g, owner: owner, values: ctx,
		hooked: make(chan struct{}), out: make(chan *message.Message), gone: make(chan struct{}), left: make(chan struct{}),
	}
}

// leave ends the subscription and returns when it has ended, also if another call has begun that.
// The wait is at a channel, which a synctest bubble knows, unlike that of a sync.Once.
func (s *subscription) leave() {
	if s.leaving.CompareAndSwap(false, true) {
		s.end()
		close(s.left)
	}
	<-s.left
}

// end closes the channel after the Ack of the outstanding message: when its channel is
// closed, a router closes the publisher that its handler may be about to use.
func (s *subscription) end() {
	defer s.group.broker.live.Done()
	s.group.remove(s)
	s.awaitLast()
	close(s.gone)
	close(s.out)
	s.owner.forget(s)
	<-s.hooked
	s.unhook()
	if !s.group.named {
		s.group.broker.drop(s.group)
	}
}

// awaitLast waits until the message that is out is acknowledged or refused.
func (s *subscription) awaitLast() {
	if s.last == nil {
		return
	}
	timer := time.NewTimer(s.group.broker.cfg.Grace)
	defer timer.Stop()
	select {
	case <-s.last.Acked():
	case <-s.last.Nacked():
	case <-s.group.stopped:
	case <-timer.C:
	}
}

// leaveAll ends subscriptions at the same time, so that there is one grace time.
func leaveAll(subs []*subscription) {
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(s.leave)
	}
	wg.Wait()
}
