package eventbus

import (
	"context"
	"time"
)

// A waiter is a publish that waits for room. Whoever takes it out of the line
// sends the outcome, nil for accepted, to done, which has room for it. A
// detached event, which is accepted and nobody waits for, is a waiter too.
type waiter struct {
	event    Event
	batch    []Event    // in place of event; the publisher's slice
	accepted int        // of batch; written under lineMu, and before done gets the outcome
	by       *processor // the handler's processor; nil for a publish from outside
	done     chan error // nil if detached
	inLine   bool       // guarded by lineMu

	timer *time.Timer // stopped; nil until one is needed
}

func (w *waiter) detached() bool { return w.done == nil }

func (q *queue) joinLocked(p *processor, e Event) *waiter {
	w, ok := q.bus.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{done: make(chan error, 1)}
	}
	w.event, w.by, w.inLine = e, p, true
	if p != nil {
		p.parkedOn = q
	}
	q.line.of(w).push(w)
	q.noteLocked()
	return w
}

// reuse keeps w, which has had its outcome, for the next publish that waits.
func (q *queue) reuse(w *waiter) {
	*w = waiter{done: w.done, timer: w.timer}
	q.bus.waiters.Put(w)
}

// settleLocked gives w, which has left the line, its outcome. The handler's
// edge goes in the same critical section: if it went when the handler wakes, a
// chain of handlers would look blocked long after it is not.
func (w *waiter) settleLocked(err error) {
	w.inLine = false
	if w.by != nil && w.by.awaits == nil { // if not, it waits until the event is handled
		w.by.parkedOn = nil
	}
	w.done <- err
}

// await waits until w is let in or refused, its context ends, or its time is up.
func (q *queue) await(ctx context.Context, w *waiter, r *rule) error {
	var expired <-chan time.Time
	if r.timeout > 0 {
		expired = w.setTimer(r.timeout)
		defer w.timer.Stop()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return q.leave(w, ctx.Err())
	case <-expired:
		return q.leave(w, r.refusal())
	}
}

// setTimer returns a channel that tells when d is over.
func (w *waiter) setTimer(d time.Duration) <-chan time.Time {
	if w.timer == nil {
		w.timer = time.NewTimer(d)
	} else {
		w.timer.Reset(d)
	}
	return w.timer.C
}

// leave takes w out of the line and returns err, or the outcome if w has one.
// It gets one by then if slots are free that were kept until the queue had
// drained to half.
func (q *queue) leave(w *waiter, err error) error {
	lineMu.Lock()
	defer lineMu.Unlock()
	q.admitLocked(true)
	if w.inLine {
		q.endLocked(w, err)
	}
	return <-w.done
}

// endLocked takes w, which there is no room for, out of the line.
func (q *queue) endLocked(w *waiter, err error) {
	if w.batch != nil {
		q.giveUpBatchLocked(w)
	}
	q.line.of(w).remove(w)
	w.settleLocked(err)
	q.noteLocked()
}
