package eventbus

import "fmt"

// mustDeferLocked reports whether p's handler, were it to wait on q, would
// wait for itself or for a bus that does not run. A handler's context in use
// by a second goroutine while the first waits gets the same answer, so that a
// processor has one edge at most and chains end.
func (q *queue) mustDeferLocked(p *processor) bool {
	if !q.bus.running.Load() || p.parkedOn != nil {
		return true
	}
	for q.leadsToLocked(p) {
		if !q.rushLocked(p) {
			return true
		}
	}
	return false
}

// leadsToLocked follows the chain from q to its processor, to the queue where
// that one's handler is parked, and so on, and reports whether it ends at p.
func (q *queue) leadsToLocked(p *processor) bool {
	for on := q; on != nil; on = on.proc.waitsOnLocked() {
		if on.proc == p {
			return true
		}
	}
	return false
}

// rushLocked marks the queues of the chain from q to p, where handlers are
// parked, so that they get the very next free slots. If they waited for half,
// the cycle would stay closed, and one deferred event would follow another; for
// the same reason the handlers of the chain go ahead of others parked there.
// Slots may be free already; it reports whether that broke the chain.
func (q *queue) rushLocked(p *processor) (broken bool) {
	for on := q; on.proc != p; {
		by := on.proc
		if on = by.waitsOnLocked(); on == nil {
			return true
		}
		on.line.rush = true
		on.line.parked.toFront(func(w *waiter) bool { return w.by == by })
		on.admitLocked(false)
		broken = broken || by.waitsOnLocked() == nil
	}
	return broken
}

// deferLocked accepts e from p's handler without a slot. The bound keeps
// handlers that answer each event with two of the same from growing the list
// without end. One event for each that p takes does not, and may go beyond it:
// see hasFreedLocked.
func (q *queue) deferLocked(p *processor, e Event) error {
	full := q.line.deferred.len() >= q.cfg.Capacity && !q.evictFromLineLocked(true)
	if full && !p.hasFreedLocked(q) {
		return fmt.Errorf("%w: so is the list of deferred events", ErrQueueFull)
	}
	p.deferredAt = p.begun()
	if q.proc == p {
		q.deferredAt = q.mark().begun()
	}
	if q.enlist(e) {
		return nil
	}
	q.count(1)
	q.line.deferred.push(e)
	q.noteLocked()
	return nil
}

// hasFreedLocked reports whether p has taken an event since its handlers last
// deferred one: in a cycle of the bus's processors that event has freed a slot
// for one more. Where p serves q itself, and perhaps other queues, the event must
// be q's.
func (p *processor) hasFreedLocked(q *queue) bool {
	if q.proc == p {
		return q.mark().begun() != q.deferredAt
	}
	return p.bus == q.bus && p.begun() != p.deferredAt
}

// suspendLocked defers what is parked and does not fit: the bus stops, and
// nobody will free a slot.
func (q *queue) suspendLocked() {
	q.admitLocked(true)
	for q.line.parked.len() > 0 {
		switch w := q.line.parked.pop(); {
		case w.batch != nil:
			w.settleLocked(q.suspendBatchLocked(w))
		case receiptOf(w.event) != nil:
			w.settleLocked(q.notRunning())
		default:
			w.settleLocked(q.deferLocked(w.by, w.event))
		}
	}
	q.abandonLocked()
	q.noteLocked()
}
