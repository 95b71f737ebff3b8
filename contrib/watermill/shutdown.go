package eventbuswatermill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus"
)

// ErrNoSubscriber is why [Broker.Shutdown] hands back the messages of a group that
// nobody subscribes to.
var ErrNoSubscriber = errors.New("eventbus: the group has no subscriber")

// A ShutdownError tells what [Broker.Shutdown] left undone.
type ShutdownError struct {
	// Remaining holds the messages that were not acknowledged, in the order in which
	// the group would have delivered them: the one that was out comes first. A message
	// is in it once for each group that lacks it.
	Remaining map[Group][]*message.Message

	// HandedOver says that another caller of Shutdown was given Remaining, which is
	// empty here, so that nobody acts on it twice.
	HandedOver bool

	// Cause wraps the error of the context that ended, or [ErrNoSubscriber].
	Cause error
}

// Error says how many messages are left in how many groups, and why.
func (e *ShutdownError) Error() string {
	if e.HandedOver {
		return fmt.Sprintf("eventbus: shutdown of the broker: what is left was handed to another caller: %v", e.Cause)
	}
	n := 0
	for _, messages := range e.Remaining {
		n += len(messages)
	}
	return fmt.Sprintf("eventbus: shutdown of the broker: %d messages left in %d groups: %v", n, len(e.Remaining), e.Cause)
}

// Unwrap returns Cause.
func (e *ShutdownError) Unwrap() error { return e.Cause }

// A shutdown is the state of a broker's Shutdown, of which there is one.
type shutdown struct {
	begun atomic.Bool
	done  chan struct{}

	mu      sync.Mutex
	groups  []*group // all there are; set when it begins
	cause   error    // of giving up; nil until then
	left    *ShutdownError
	claimed bool // a caller has got left
}

// Shutdown ends the broker. From then on Subscribe fails, and so does Publish, except
// with the context of a message that is out. A publish that waits for room may still be
// accepted. The subscribers go on until all messages are acknowledged, including what
// they publish meanwhile. Then the channels are closed and Shutdown returns nil.
//
// When ctx ends first, or had ended before, nothing more is delivered, the contexts of
// the messages that are out end, and Shutdown hands back in a [*ShutdownError] what was
// not acknowledged. It hands back at once what is in groups without a subscriber.
//
// A later call waits for the first one; the first of their contexts to end counts for
// all. One of them is given the messages, the others the same cause with HandedOver
// set. Called with the context of a message of this broker, Shutdown does nothing and
// returns an error that wraps [eventbus.ErrWouldDeadlock].
func (b *Broker) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("eventbus: shutdown of the broker: %w", errNilContext)
	}
	if isDelivery(ctx, b) {
		return fmt.Errorf("eventbus: shutdown of the broker by a subscriber: %w", eventbus.ErrWouldDeadlock)
	}
	b.close()
	if err := ctx.Err(); err != nil {
		b.giveUp(err)
	}
	stop := context.AfterFunc(ctx, func() { b.giveUp(ctx.Err()) })
	defer stop()
	if b.shutdown.begun.CompareAndSwap(false, true) {
		b.finish()
		close(b.shutdown.done)
	}
	<-b.shutdown.done
	return b.claim()
}

// close lets nothing in from outside, and nobody subscribe.
func (b *Broker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	b.shutdown.mu.Lock()
	defer b.shutdown.mu.Unlock()
	for _, groups := range b.topics {
		b.shutdown.groups = append(b.shutdown.groups, groups...)
	}
}

// giveUp lets the groups keep what is not acknowledged.
func (b *Broker) giveUp(cause error) {
	b.shutdown.mu.Lock()
	defer b.shutdown.mu.Unlock()
	if b.shutdown.cause == nil {
		b.shutdown.cause = cause
	}
	for _, g := range b.shutdown.groups {
		g.stop()
	}
}

// finish carries the shutdown out. It ends, since after giveUp no group waits for a
// subscriber, and until then it waits for nothing else.
func (b *Broker) finish() {
	groups := b.shutdown.groups
	for _, g := range groups {
		g.drain()
	}
	settle(groups)
	var failed []error
	for _, g := range groups {
		failed = append(failed, g.end())
	}
	var subs []*subscription
	for _, g := range groups {
		g.stop()
		subs = append(subs, g.subscriptions()...)
	}
	leaveAll(subs)
	b.live.Wait() // for the subscriptions that were leaving
	b.collect(groups, errors.Join(failed...))
}

// settle waits until no group holds a message, and none is on its way from one group
// to another: nothing was published while each of them was seen idle.
func settle(groups []*group) {
	for before := accepted(groups); ; {
		for _, g := range groups {
			_ = g.bus.Flush(context.Background()) // fails only if the group was dropped meanwhile
		}
		now := accepted(groups)
		if now == before {
			return
		}
		before = now
	}
}

func accepted(groups []*group) (n uint64) {
	for _, g := range groups {
		n += g.bus.Stats().Queues[eventbus.OrderQueue].Accepted
	}
	return n
}

// collect takes what is left out of the groups.
func (b *Broker) collect(groups []*group, failed error) {
	left := make(map[Group][]*message.Message)
	for _, g := range groups {
		for _, s := range g.takeKept() {
			left[g.id] = append(left[g.id], s.message())
		}
	}
	if len(left) == 0 && failed == nil {
		return
	}
	b.shutdown.mu.Lock()
	defer b.shutdown.mu.Unlock()
	cause := b.shutdown.cause
	if cause == nil && len(left) > 0 {
		cause = ErrNoSubscriber
	}
	b.shutdown.left = &ShutdownError{Remaining: left, Cause: errors.Join(cause, failed)}
}

// claim returns the result. What is left goes to the first who asks.
func (b *Broker) claim() error {
	b.shutdown.mu.Lock()
	defer b.shutdown.mu.Unlock()
	switch {
	case b.shutdown.left == nil:
		return nil
	case b.shutdown.claimed:
		return &ShutdownError{HandedOver: true, Cause: b.shutdown.left.Cause}
	}
	b.shutdown.claimed = true
	return b.shutdown.left
}
