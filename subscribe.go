package eventbus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// A SubscribeOption changes one subscription. An invalid one is set-up misuse:
// Subscribe panics with a message that says what was wrong.
type SubscribeOption func(*Subscription) error

// WithName names the handler in logs, errors and [Stats]. Without it the name
// is that of the handler's function, such as main.(*Engine).onCandle, or of its
// type. An empty name is set-up misuse and panics in Subscribe.
func WithName(name string) SubscribeOption {
	return func(s *Subscription) error {
		if name == "" {
			return fmt.Errorf("WithName: the name is empty")
		}
		s.name = name
		return nil
	}
}

// Once ends the subscription with the first event that gets to the handler: the
// handler is called exactly once, even if several queues carry its type, and
// however the call ends. The subscription is gone when the call begins.
func Once() SubscribeOption {
	return func(s *Subscription) error {
		s.needGate().once = true
		return nil
	}
}

// Where lets only those events through for which accept returns true. It is
// called on the goroutine of the queue's processor, like the handler, and must
// not change the event. An event that it turns away reaches neither the
// subscription's middleware nor its handler and is no call in [HandlerStats]. A
// filter that panics is reported as the handler's failure, and turns the event
// away. Of several filters each must accept, in the order in which they are
// given.
func Where(accept func(Event) bool) SubscribeOption {
	return func(s *Subscription) error {
		if accept == nil {
			return errors.New("Where: the filter is nil")
		}
		g := s.needGate()
		g.where = append(g.where, accept)
		return nil
	}
}

// OnQueue lets only the events of q through; given several times, those of each
// of the queues. Without it the queue does not matter.
func OnQueue(q Queue) SubscribeOption {
	return func(s *Subscription) error {
		if q >= numQueues {
			return fmt.Errorf("OnQueue: %w: %v", ErrUnknownQueue, q)
		}
		s.needGate().queues |= 1 << q
		return nil
	}
}

// DisableAfter takes the handler out once it has failed k times in a row; a call
// that succeeds starts the count anew. It is logged at ERROR, and the
// subscription stays in [Stats], as disabled, until it is unsubscribed. To take
// the handler in again, subscribe it again.
func DisableAfter(k int) SubscribeOption {
	return func(s *Subscription) error {
		if k < 1 {
			return fmt.Errorf("DisableAfter: the number of failures is %d, want 1 or more", k)
		}
		s.needGate().limit = int64(k)
		return nil
	}
}

// A gate decides which events get to a handler. It stands outside the
// middleware. A subscription that needs none has none, and costs nothing.
type gate struct {
	queues uint8 // a bit for each queue whose events pass; 0 for all
	where  []func(Event) bool
	once   bool
	limit  int64 // the failures in a row that disable; 0 for no limit

	streak   atomic.Int64 // of failures
	closed   atomic.Bool  // nothing passes any more
	disabled atomic.Bool  // taken out of the table
}

func (s *Subscription) needGate() *gate {
	if s.gate == nil {
		s.gate = new(gate)
	}
	return s.gate
}

// gated returns call behind the gate. It counts and logs the calls itself, since
// the processor does not know which events pass.
func (s *Subscription) gated(call func(context.Context, Event) error) func(context.Context, Event) error {
	g := s.gate
	return func(ctx context.Context, e Event) error {
		p := processorOf(ctx)
		if !g.passes(p.queue.id, e) {
			return nil
		}
		if p.attention.Load()&verbose != 0 {
			p.tellCall(s, &e)
		}
		if g.once && !s.claim() {
			return nil
		}
		s.calls.Add(1)
		err := call(ctx, e)
		if err == nil && g.limit > 0 {
			g.streak.Store(0)
		}
		return err
	}
}

func (g *gate) passes(q Queue, e Event) bool {
	if g.closed.Load() || g.queues != 0 && g.queues&(1<<q) == 0 {
		return false
	}
	for _, accept := range g.where {
		if !accept(e) {
			return false
		}
	}
	return true
}

// claim ends the subscription and reports whether the caller is the one who may
// call the handler.
func (s *Subscription) claim() bool {
	if !s.gate.closed.CompareAndSwap(false, true) {
		return false
	}
	s.Unsubscribe()
	return true
}

// fail notes a failure and reports whether it took the handler out.
func (s *Subscription) fail() (disabled bool) {
	g := s.gate
	if g == nil || g.limit == 0 || g.streak.Add(1) < g.limit {
		return false
	}
	return g.closed.CompareAndSwap(false, true) && s.bus.disable(s)
}
