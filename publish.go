package eventbus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Publish puts e into q. nil means that e is accepted: it will be handled, or
// Shutdown hands it back. With an error it is not in the queue and never will
// be. The error wraps
//
//   - [ErrUnknownQueue] or [ErrInvalidEvent] (no type) if the call was wrong,
//   - [ErrDropped] or [ErrQueueFull] if the queue was full, as its rule says,
//   - the error of ctx if that ended while Publish waited,
//   - [ErrClosed] during and after Shutdown.
//
// If ctx is nil, the error says so.
//
// Before [Bus.Start] and after [Bus.Stop], events wait in the queue.
//
// Inside a handler, pass the context that the handler was given. During
// Shutdown that is what lets the event in, and where waiting for room would be
// waiting for itself, directly or around a cycle of handlers, it makes Publish
// defer the event instead: it is accepted, and enters the queue before anything
// from outside does. A queue defers as many events as its capacity; then
// Publish returns ErrQueueFull.
func (b *Bus) Publish(ctx context.Context, q Queue, e Event) error {
	return b.publish(ctx, q, e, nil)
}

// TryPublish is [Bus.Publish] that never waits. If the queue is full it returns
// [ErrQueueFull] whatever the queue's rule, and neither drops nor defers.
func (b *Bus) TryPublish(ctx context.Context, q Queue, e Event) error {
	return b.publish(ctx, q, e, atOnce)
}

func (b *Bus) publish(ctx context.Context, q Queue, e Event, r *rule) error {
	if q >= numQueues || e.Type == "" || ctx == nil {
		return b.refuse(ctx, q, e.Type, 1)
	}
	to := b.queues[q]
	if r != nil {
		to.prepare(r)
	}
	if to.accept(&e, 0) {
		return nil
	}
	return to.publishSlow(ctx, e, r)
}

// refuse counts n events that are not accepted and says what is wrong with the
// arguments of their publish.
func (b *Bus) refuse(ctx context.Context, q Queue, t EventType, n int) error {
	if q >= numQueues {
		return &publishError{q, t, fmt.Errorf("%w: want data, signal or order", ErrUnknownQueue)}
	}
	b.queues[q].rejected.Add(uint64(n))
	if ctx == nil {
		return &publishError{q, t, errNilContext}
	}
	return &publishError{q, t, fmt.Errorf("%w: its type is empty", ErrInvalidEvent)}
}

var errNilContext = errors.New("eventbus: the context is nil")

// A publishError says what could not be published where, and why.
type publishError struct {
	queue     Queue
	eventType EventType
	err       error
}

func (e *publishError) Error() string {
	return fmt.Sprintf("publish %q to the %v queue: %v", e.eventType, e.queue, e.err)
}

func (e *publishError) Unwrap() error { return e.err }

// A rule says what a publish does when its queue is full. A nil rule is the
// queue's own.
type rule struct {
	overflow Overflow
	timeout  time.Duration
	atOnce   bool // it is refused: it neither waits nor drops, evicts or defers
	inherits bool // these are the queue's

	key    func(Event) string // of conflation; nil for the queue's
	maxAge time.Duration      // 0 for the queue's
}

// atOnce is the rule of TryPublish.
var atOnce = &rule{atOnce: true}

// waits reports whether a publish may wait for room.
func (r *rule) waits() bool {
	return !r.atOnce && (r.overflow == Block || r.overflow == DropNewest && r.timeout > 0)
}

// refusal is the error of a publish that has waited in vain.
func (r *rule) refusal() error {
	if r.overflow == DropNewest {
		return ErrDropped
	}
	return ErrQueueFull
}

// publishSlow is the rest of a publish that found the queue full or its state
// not zero.
func (q *queue) publishSlow(ctx context.Context, e Event, r *rule) error {
	own := r
	if r == nil || r.inherits {
		r = &q.rule
	}
	e, accepted, err := q.repack(e, own, r.overflow == DropOldest)
	if accepted {
		return nil
	}
	var w *waiter
	var evicted uint64
	if err == nil {
		w, evicted, err = q.enter(processorOf(ctx), e, r)
	}
	if w != nil {
		err = q.await(ctx, w, r)
		q.reuse(w)
	}
	if err != nil {
		q.recycle(e)
	}
	if err != nil {
		return q.refused(e.Type, err, 1)
	}
	if evicted > 0 {
		q.logDrops("evicted the oldest event", evicted)
	}
	return nil
}

// refused counts n events that are not accepted and returns the error that says
// why.
func (q *queue) refused(t EventType, err error, n uint64) error {
	if errors.Is(err, ErrDropped) {
		q.dropped.Add(n)
		q.logDrops("dropped an event", n)
	} else {
		q.rejected.Add(n)
	}
	return &publishError{q.id, t, err}
}

// repack puts e, if the queue packs, into a parcel that carries what its rules
// need, and tries to publish that without getting in line.
func (q *queue) repack(e Event, r *rule, mayGo bool) (_ Event, accepted bool, err error) {
	if !q.packs.Load() {
		return e, false, nil
	}
	p := parcel{event: e, receipt: receiptOf(e), mayGo: mayGo}
	if p.receipt != nil {
		p.event = e.Data.(*parcel).event
	}
	if err = q.label(&p, r); err != nil {
		return e, false, err
	}
	e, accepted = q.post(p)
	return e, accepted, nil
}

// enter accepts e, or refuses it with an error, or puts it in line and returns
// the waiter. A waiter that is last to come looks again after joining the line:
// the processor may have emptied the queue and gone to sleep before it could
// see that somebody waits.
func (q *queue) enter(p *processor, e Event, r *rule) (w *waiter, evicted uint64, err error) {
	lineMu.Lock()
	defer lineMu.Unlock()
	if q.closedToLocked(p) {
		return nil, 0, ErrClosed
	}
	rc := receiptOf(e)
	if rc.ofHandler() {
		if err := q.beginWaitLocked(rc); err != nil {
			return nil, 0, err
		}
	}
	if q.packs.Load() && q.merge(e) {
		return nil, 0, nil
	}
	if !r.waits() {
		q.admitLocked(true)
	}
	if q.line.empty() && q.offer(e) {
		return nil, 0, nil
	}
	switch {
	case r.atOnce:
		return nil, 0, ErrQueueFull
	case r.overflow == DropOldest:
		evicted, err = q.dropOldestLocked(p, e)
		return nil, evicted, err
	case !r.waits():
		return nil, 0, ErrDropped
	case p != nil && rc == nil && q.mustDeferLocked(p):
		err = q.deferLocked(p, e)
		q.admitLocked(false)
		return nil, 0, err
	case p == nil && q.bus.stepped.Load():
		return nil, 0, r.refusal()
	}
	w = q.joinLocked(p, e)
	q.admitLocked(false)
	return w, 0, nil
}

// closedToLocked reports whether p's handler, or somebody outside if p is nil,
// may not publish any more.
func (q *queue) closedToLocked(p *processor) bool {
	s := q.state.Load()
	return s&closed != 0 || s&closing != 0 && (p == nil || p.bus != q.bus)
}
