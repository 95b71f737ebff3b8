package eventbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// A receipt is how PublishWait learns what became of its event. It travels in
// the event's parcel.
type receipt struct {
	join  *Subscription // the event stands for one that begins WithLast; nobody waits then
	by    *processor    // whose handler waits; nil for somebody outside
	begun atomic.Bool   // its event's turn has come
	over  atomic.Bool   // and passed
	errs  []error       // of the handlers; the processor's until it is over
	done  chan error    // gets the outcome, and has room for it
}

// complete ends the wait, unless that has ended.
func (rc *receipt) complete(err error) {
	if rc != nil && rc.over.CompareAndSwap(false, true) {
		rc.done <- err
	}
}

// note adds the failure of a handler.
func (rc *receipt) note(h *HandlerError) {
	if rc != nil {
		rc.errs = append(rc.errs, h)
	}
}

func (rc *receipt) ofHandler() bool { return rc != nil && rc.by != nil }

// receiptOf returns the receipt that e carries, if any, while e is not
// accepted.
func receiptOf(e Event) *receipt {
	if box, ok := e.Data.(*parcel); ok {
		return box.receipt
	}
	return nil
}

// PublishWait is [Bus.Publish] that waits until all handlers of e are done. It
// returns their errors, joined: each is a [*HandlerError], and is logged and
// passed to the error handler as usual. If e is not accepted, the error is that
// of Publish. If it is accepted and not handled, the error wraps
//
//   - [ErrDropped] if it was evicted, or replaced by a later event with its key,
//   - [ErrExpired] if it was too old when its turn came,
//   - [ErrClosed] if Shutdown handed it back, or kept some of its handlers from
//     being called.
//
// When ctx ends first, PublishWait returns its error, and e is handled without
// anybody waiting for it. On a bus that does not run, PublishWait waits for the
// next Start.
//
// Inside a handler, pass the context that the handler was given. Where waiting
// would be waiting for itself, directly or around a cycle of handlers,
// PublishWait returns [ErrWouldDeadlock] at once, and on a bus that does not
// run [ErrNotRunning]; e is not accepted then. If the bus is stopped while the
// handler waits, it returns ErrNotRunning and e stays in the queue.
func (b *Bus) PublishWait(ctx context.Context, q Queue, e Event) error {
	if q >= numQueues || e.Type == "" || ctx == nil {
		return b.refuse(ctx, q, e.Type, 1)
	}
	if b.stepped.Load() && processorOf(ctx) == nil && b.queues[q].state.Load()&(closing|closed) == 0 {
		b.queues[q].rejected.Add(1)
		return &publishError{q, e.Type, ErrNotRunning}
	}
	rc := &receipt{by: processorOf(ctx), done: make(chan error, 1)}
	if rc.by != nil {
		defer b.queues[q].endWait(rc)
	}
	if err := b.publishFor(ctx, b.queues[q], e, rc); err != nil {
		return err
	}
	if err := rc.await(ctx); err != nil {
		if h := (*HandlerError)(nil); errors.As(err, &h) {
			return err
		}
		return &publishError{q, e.Type, err}
	}
	return nil
}

// publishFor publishes e with rc. A handler's publish must not be accepted
// before it is certain that it may wait.
func (b *Bus) publishFor(ctx context.Context, q *queue, e Event, rc *receipt) error {
	carrier := (&parcel{event: e, receipt: rc}).carrier()
	if rc.by == nil {
		return b.publish(ctx, q.id, carrier, nil)
	}
	return q.publishSlow(ctx, carrier, nil)
}

// await waits for the outcome.
func (rc *receipt) await(ctx context.Context) error {
	select {
	case err := <-rc.done:
		return err
	default:
	}
	select {
	case err := <-rc.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it is accepted, and its handlers are not done: %w", ctx.Err())
	}
}

// beginWaitLocked records that the handler of rc waits on q until its event is
// handled, unless it would wait for itself or for a bus that does not run.
func (q *queue) beginWaitLocked(rc *receipt) error {
	p := rc.by
	switch {
	case !q.bus.running.Load():
		return ErrNotRunning
	case p.parkedOn != nil:
		return ErrWouldDeadlock
	}
	for q.leadsToLocked(p) {
		if !q.rushLocked(p) {
			return ErrWouldDeadlock
		}
	}
	p.parkedOn, p.awaits = q, rc
	q.line.awaited = append(q.line.awaited, rc)
	return nil
}

// endWait takes back what beginWaitLocked has recorded, if it has.
func (q *queue) endWait(rc *receipt) {
	lineMu.Lock()
	defer lineMu.Unlock()
	if rc.by.awaits == rc {
		q.endWaitLocked(rc.by)
	}
}

// endWaitLocked takes back that p's handler waits until an event in q is
// handled, if it does.
func (q *queue) endWaitLocked(p *processor) {
	if i := slices.Index(q.line.awaited, p.awaits); i >= 0 {
		q.line.awaited = slices.Delete(q.line.awaited, i, i+1)
		p.parkedOn, p.awaits = nil, nil
	}
}

// waitsOnLocked returns the queue that p's handler waits for. It does not wait
// any more when its event is handled, even if it has not yet been woken.
func (p *processor) waitsOnLocked() *queue {
	if p.awaits != nil && p.awaits.over.Load() {
		return nil
	}
	return p.parkedOn
}

// abandonLocked ends the waits of handlers for events that are not begun, since
// the bus stops.
func (q *queue) abandonLocked() {
	for _, rc := range q.line.awaited {
		if !rc.begun.Load() {
			rc.complete(fmt.Errorf("it is accepted, and not handled: %w", q.notRunning()))
		}
	}
}

// notRunning returns why nobody handles what is in the queue.
func (q *queue) notRunning() error {
	if q.state.Load()&closed != 0 {
		return ErrClosed
	}
	return ErrNotRunning
}

// sign takes note of the receipt of the event at hand. The bit of attention
// makes the processor look after it when the event has gone through its
// handlers.
func (p *processor) sign(rc *receipt) {
	if rc != nil {
		rc.begun.Store(true)
		p.receipt = rc
		p.attention.Or(tracked)
	}
}

// deliver tells who waits for the event that was handled last.
func (p *processor) deliver() {
	p.attention.And(^tracked)
	rc := p.receipt
	p.receipt = nil
	if c := p.queue.cut.Load(); c != nil { // nothing is begun after that
		rc.errs = append(rc.errs, fmt.Errorf("handler %s and those after it were not called: %w", c.handler, ErrClosed))
	}
	rc.complete(errors.Join(rc.errs...))
}

// forsakeLocked ends the waits for events that nobody goes on with after
// Shutdown: a handler has ended RunUntilIdle with its goroutine. Bus.mu is held.
func (b *Bus) forsakeLocked() {
	for _, p := range b.processors {
		if p.alive || p.receipt == nil { // while it is alive, the receipt is its own
			continue
		}
		rc := p.receipt
		p.receipt = nil
		rc.complete(errors.Join(append(rc.errs, fmt.Errorf("its other handlers were not called: %w", ErrClosed))...))
	}
}
