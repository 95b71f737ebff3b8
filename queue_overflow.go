package eventbus

import "fmt"

// This file is the law of publishing: what becomes of an event, depending on who
// publishes it, by which rule, and how the queue stands. Every way in asks decide
// and carries its verdict out; nothing else decides. docs/design.md has the table.

// A standing says whether a publish may wait for room.
type standing uint8

const (
	outsider    standing = iota // the publish comes from outside
	mayWait                     // a handler publishes and may wait
	mustNotWait                 // a handler publishes: it would wait for itself, or nobody drains the queue
)

// A publisher is what the law needs to know about the caller of a publish.
type publisher struct {
	standing  standing
	abandoned bool // by a call that Async has given up on
	ofBus     bool // a handler of the queue's bus
	ended     bool // the context has ended
	awaits    bool // PublishWait
}

// A queueState is what the law needs to know about the queue.
type queueState struct {
	closing  bool // Shutdown has begun
	closed   bool // Shutdown has ended, or has given up
	stepped  bool // RunUntilIdle drives the bus
	keyWaits bool // an accepted event with the same key waits
	room     bool
	ahead    bool // entries in line are entitled to the free slots
	spilled  bool // as many events are deferred as may be
}

// A verdict is what becomes of an event.
type verdict uint8

const (
	accept   verdict = iota
	replace          // the event that waits with its key
	evict            // the oldest event, and accept
	postpone         // accept without room: the event is deferred
	wait
	rejectAbandoned
	rejectClosed
	rejectEnded   // with the context's error
	rejectWait    // PublishWait cannot wait
	rejectFull    // with ErrQueueFull
	rejectSpilled // with ErrQueueFull, since as many events are deferred as may be
	rejectDropped // with ErrDropped
)

// decide is the law. The first case that matches counts.
func decide(p publisher, r *rule, q queueState) verdict {
	switch {
	case p.abandoned:
		return rejectAbandoned
	case q.closed, q.closing && !p.ofBus:
		return rejectClosed
	case p.standing == outsider && p.ended:
		return rejectEnded
	case p.awaits && (p.standing == mustNotWait || p.standing == outsider && q.stepped):
		return rejectWait
	case q.keyWaits:
		return replace
	case q.room && !q.ahead:
		return accept
	case r.atOnce:
		return rejectFull
	case r.overflow == DropOldest:
		return evict
	case r.overflow == DropNewest && r.timeout == 0:
		return rejectDropped
	case p.standing == mustNotWait && q.spilled:
		return rejectSpilled
	case p.standing == mustNotWait:
		return postpone
	case p.standing == outsider && q.stepped && r.overflow == DropNewest:
		return rejectDropped
	case p.standing == outsider && q.stepped:
		return rejectFull
	}
	return wait
}

// carryOut is carryOutLocked with admissionMu.
func (q *queue) carryOut(pub *publication) (*lineWait, error) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	return q.carryOutLocked(pub)
}

// carryOutLocked publishes what is left of pub, event by event, until one has to
// wait or is refused. No event is looked at before the one ahead of it is accepted. If
// an event has to wait, carryOutLocked returns the wait; if one is refused, the error.
func (q *queue) carryOutLocked(pub *publication) (*lineWait, error) {
	q.admitLocked(!pub.rule.waits())
	if len(pub.entries) > 1 { // nothing comes in between
		q.buffer.Gate.Or(gateBatch)
		defer q.buffer.Gate.And(^gateBatch)
	}
	for pub.accepted < len(pub.entries) {
		e := &pub.entries[pub.accepted]
		v := q.judgeLocked(pub, e)
		if v == wait {
			return q.joinLocked(pub), nil
		}
		if v >= rejectAbandoned {
			return nil, q.rejectLocked(pub, v)
		}
		if q.enforceLocked(pub, e, v) {
			pub.accepted++
		}
	}
	return nil, nil
}

// judgeLocked returns the verdict on e. It asks the wait-for graph as late as it can.
// For PublishWait it asks first, since its event must not be accepted if the handler
// must not wait. For other publishes it asks when the verdict is to wait. To ask may
// make room, so the law is asked once more after that.
func (q *queue) judgeLocked(pub *publication, e *entry) verdict {
	p := pub.publisher
	p.abandoned = pub.caller.isAbandoned()
	if p.awaits && p.standing == mayWait {
		if pub.noWait = q.beginAwaitLocked(pub); pub.noWait != nil {
			p.standing = mustNotWait
		}
	}
	v := decide(p, pub.rule, q.stateLocked(p, e))
	if v == wait && p.standing == mayWait && !p.awaits && q.mustNotWaitLocked(pub.by) != nil {
		p.standing = mustNotWait
		q.admitLocked(true)
		v = decide(p, pub.rule, q.stateLocked(p, e))
	}
	return v
}

// stateLocked returns how q stands for e, which p publishes.
func (q *queue) stateLocked(p publisher, e *entry) queueState {
	a, gate := &q.admission, q.buffer.Gate.Load()
	_, bound := q.buffer.Deferred()
	return queueState{
		closing: gate&closing != 0, closed: gate&closed != 0, stepped: a.stepped,
		keyWaits: e.meta != nil && q.buffer.Waits(e),
		room:     q.buffer.Room() > 0,
		ahead:    a.isAheadOfLocked(p.standing, q),
		spilled:  bound >= q.spillLimit(),
	}
}

// spillLimit is how many events a queue defers: its capacity, once more for the
// events that its handlers answer meanwhile, and one for each processor of a bus.
func (q *queue) spillLimit() int { return 2*q.cfg.Capacity + numQueues }

// enforceLocked does with e what v says, and reports whether it could. It cannot if the
// processor has begun the event that e should replace, or if a fast publish, which does
// not take admissionMu, has taken the room.
func (q *queue) enforceLocked(pub *publication, e *entry, v verdict) bool {
	switch v {
	case accept:
		return q.buffer.Push(e)
	case replace:
		return q.replaceLocked(e)
	case evict:
		pub.evicted = q.buffer.EvictFor(e, pub.evicted)
	case postpone:
		q.deferLocked(e, q.admission.nextTicket())
		q.admitLocked(false) // the processor may have made room and gone to sleep by now
	}
	return true
}

// rejectLocked returns the error of v.
func (q *queue) rejectLocked(pub *publication, v verdict) error {
	switch v {
	case rejectAbandoned:
		return ErrHandlerTimeout
	case rejectClosed:
		q.noteRefusedLocked(pub)
		return ErrClosed
	case rejectEnded:
		return pub.ctxErr
	case rejectWait:
		if pub.noWait == nil {
			return ErrNotRunning // an outsider's, on a bus that is stepped
		}
		return pub.noWait
	case rejectDropped:
		return ErrDropped
	case rejectSpilled:
		return errSpilled
	}
	return ErrQueueFull
}

var errSpilled = fmt.Errorf("%w: so is the list of deferred events", ErrQueueFull)

// noteRefusedLocked counts what is left of pub, if a handler of the bus publishes
// it, as refused because the queue is closed.
func (q *queue) noteRefusedLocked(pub *publication) {
	if pub.publisher.ofBus {
		q.admission.refused += len(pub.entries) - pub.accepted
	}
}
