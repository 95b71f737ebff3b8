package eventbuswatermill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus"
)

// A group delivers the messages of a topic to its subscriptions. Invariants:
//
//   - A message is in the queue of bus, or at deliver, or acknowledged, or in kept.
//   - Only deliver sends to subscriptions, and it is at one message at a time: it
//     returns when that is acknowledged or kept. So the order of the queue is the order
//     of the Acks, and of kept.
//   - deliver sends in offers, each to the subscriptions that it finds when it begins.
//     Once a subscription is out of subs, and the offers that began before have ended,
//     nothing is sent to it.
//   - Once stopped is closed deliver waits for nobody, so that the queue runs empty and
//     the bus ends, without a time limit.
type group struct {
	broker  *Broker
	id      Group
	named   bool
	bus     *eventbus.Bus
	removed atomic.Bool // from the broker, since it has no name and its subscription left

	acked       atomic.Uint64
	redelivered atomic.Uint64

	stopped  chan struct{} // closed when nothing is delivered any more
	stopOnce sync.Once

	mu struct {
		sync.Mutex
		subs     []*subscription // replaced, never changed
		changed  chan struct{}   // closed and replaced when subs or draining change
		draining bool            // without subscriptions, messages are kept
		kept     []*stored       // what was not acknowledged, in order
		begun    uint64          // offers
		ended    uint64          // offers
	}
	offerEnded sync.Cond // of mu
}

// newGroup returns a group whose bus runs. One goroutine serves the bus, since only one
// of its queues is used.
func newGroup(b *Broker, id Group, named bool) (*group, error) {
	bus, err := eventbus.New(
		eventbus.WithLogger(warnings(b.cfg.Logger)),
		eventbus.WithSingleThread(),
		eventbus.WithSlowHandler(0), // it waits for an Ack, for as long as a subscriber likes
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: b.cfg.Capacity}),
		eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 1}),
		eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1}),
	)
	if err != nil {
		return nil, err
	}
	g := &group{broker: b, id: id, named: named, bus: bus, stopped: make(chan struct{})}
	g.mu.changed = make(chan struct{})
	g.offerEnded.L = &g.mu
	bus.SubscribeFunc(eventbus.EventType(id.Topic), g.deliver, eventbus.WithName(id.Topic+"/"+id.Name))
	if err := bus.Start(context.Background()); err != nil {
		return nil, err
	}
	return g, nil
}

// publish puts s into the queue. ctx tells the bus who publishes.
func (g *group) publish(ctx context.Context, s *stored) error {
	err := g.bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: eventbus.EventType(g.id.Topic), Data: s})
	if err != nil && !g.isGone(err) {
		return fmt.Errorf("group %q: %w", g.id.Name, err)
	}
	return nil
}

// isGone reports whether err says that g left the topic during a publish to it. The
// publish goes on without it then.
func (g *group) isGone(err error) bool {
	return g.removed.Load() && errors.Is(err, eventbus.ErrClosed)
}

// deliver is the handler of the bus. It returns when a subscriber has acknowledged the
// message, or when the message is kept.
func (g *group) deliver(ctx context.Context, e eventbus.Event) error {
	s := e.Data.(*stored)
	for try := 0; ; try++ {
		d := g.hand(ctx, s)
		if d == nil {
			g.keep(s)
			return nil
		}
		if try > 0 {
			g.redelivered.Add(1)
		}
		if d.await(g.stopped) {
			g.acked.Add(1)
			return nil
		}
	}
}

// hand waits until a subscriber takes the message. It returns nil if none will.
func (g *group) hand(ctx context.Context, s *stored) *delivery {
	for {
		if d, open := g.offer(ctx, s); d != nil || !open {
			return d
		}
	}
}

// offer waits until a subscriber takes the message. It returns nil when the
// subscriptions have changed, and open is false if nobody will take it.
func (g *group) offer(ctx context.Context, s *stored) (d *delivery, open bool) {
	subs, changed, open := g.beginOffer()
	defer g.endOffer()
	switch {
	case !open:
		return nil, false
	case len(subs) == 1: // the usual case, which costs less than the general one
		return newDelivery(ctx, subs[0], s).send(changed, g.stopped), true
	}
	return sendToAny(newDeliveries(ctx, subs, s), changed, g.stopped), true
}

// beginOffer returns the subscriptions, and whether messages are still delivered. That
// is false too if there are no subscriptions, and none will come.
func (g *group) beginOffer() (subs []*subscription, changed <-chan struct{}, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.begun++
	select {
	case <-g.stopped:
		return nil, nil, false
	default:
	}
	return g.mu.subs, g.mu.changed, len(g.mu.subs) > 0 || !g.mu.draining
}

func (g *group) endOffer() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.ended++
	g.offerEnded.Broadcast()
}

func (g *group) keep(s *stored) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.kept = append(g.mu.kept, s)
}

// takeKept returns what was kept, once.
func (g *group) takeKept() []*stored {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := g.mu.kept
	g.mu.kept = nil
	return kept
}

func (g *group) add(s *subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.subs = append(slices.Clip(g.mu.subs), s)
	g.changeLocked()
}

// remove returns when nothing is sent to s any more. It waits for the offer at hand, which
// the change ends, and not for the next one, which may take long.
func (g *group) remove(s *subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.subs = slices.DeleteFunc(slices.Clone(g.mu.subs), func(other *subscription) bool { return other == s })
	g.changeLocked()
	for begun := g.mu.begun; g.mu.ended < begun; {
		g.offerEnded.Wait()
	}
}

func (g *group) changeLocked() {
	close(g.mu.changed)
	g.mu.changed = make(chan struct{})
}

// drain lets the messages be kept when nobody subscribes.
func (g *group) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.draining = true
	g.changeLocked()
}

// stop keeps all messages from now on, and the one that is out unless it is acknowledged.
func (g *group) stop() { g.stopOnce.Do(func() { close(g.stopped) }) }

// end ends the bus, and with that the publishes that wait. It returns when the queue is
// empty, so stop or drain comes first.
func (g *group) end() error { return g.bus.Shutdown(context.Background()) }

// subscriptions returns the subscriptions that have not left.
func (g *group) subscriptions() []*subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.subs
}
