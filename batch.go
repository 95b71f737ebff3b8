package eventbus

import (
	"context"
	"fmt"
)

// PublishBatch publishes events, as one packet of a feed, to q. They enter the
// queue together and in order, with no other event in between, so the batch
// waits, by the queue's rule, until there is room for all of it. When that wait
// ends, with ctx or with the queue's timeout, as many of the first events as
// there is room for are accepted. accepted says how many are, and err, wrapped
// as that of [Bus.Publish], why the others are not; it is nil if all are. The
// caller may use the slice again.
//
// Each event counts for the capacity. Of a batch that is larger than that, as
// many events as the capacity are accepted when the queue is empty, and the
// others refused. A queue with DropOldest accepts them all. What Publish defers
// inside a handler is deferred here, too. If an event has no type, none is accepted
// and the error wraps [ErrInvalidEvent]. Without events PublishBatch returns 0 and
// nil, after Shutdown too. A queue with ConflateBy, where an event goes to the place
// of its key, gets the events one by one.
func (b *Bus) PublishBatch(ctx context.Context, q Queue, events []Event) (accepted int, err error) {
	if q >= numQueues || ctx == nil {
		var first Event
		if len(events) > 0 {
			first = events[0]
		}
		return 0, b.refuse(ctx, q, first.Type, len(events))
	}
	for i := range events {
		if events[i].Type == "" {
			return 0, fmt.Errorf("event %d of %d: %w", i, len(events), b.refuse(ctx, q, "", len(events)))
		}
	}
	to := b.queues[q]
	if to.cfg.ConflateBy != nil || len(events) < 2 {
		return b.publishEach(ctx, q, events)
	}
	return to.publishBatch(ctx, events)
}

func (b *Bus) publishEach(ctx context.Context, q Queue, events []Event) (accepted int, err error) {
	for i := range events {
		if err := b.publish(ctx, q, events[i], nil); err != nil {
			b.queues[q].rejected.Add(uint64(len(events) - i - 1))
			return i, err
		}
	}
	return len(events), nil
}

func (q *queue) publishBatch(ctx context.Context, events []Event) (accepted int, err error) {
	if q.acceptAll(events) {
		return len(events), nil
	}
	w, accepted, evicted, err := q.enterBatch(processorOf(ctx), events)
	if w != nil {
		err = q.await(ctx, w, &q.rule)
		accepted = w.accepted
		q.reuse(w)
	}
	if evicted > 0 {
		q.logDrops("evicted the oldest event", evicted)
	}
	if accepted == len(events) {
		return accepted, nil
	}
	return accepted, q.refused(events[accepted].Type, err, uint64(len(events)-accepted))
}

// acceptAll accepts events if there is room for all of them and the queue is
// open to everybody, and reports whether it did.
func (q *queue) acceptAll(events []Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	depth := int(q.accepted-q.goneLocked()) + len(events)
	if q.state.Load()&^packing != 0 || depth > q.cfg.Capacity {
		return false
	}
	q.pushAllLocked(events)
	q.raiseLocked(depth)
	return true
}

// acceptSome accepts as many of the first events as there is room for, or none
// if there is room for less than least. Only for those who hold lineMu.
func (q *queue) acceptSome(events []Event, least int) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.roomLocked()
	n = min(room, len(events))
	if n < least {
		return 0
	}
	q.pushAllLocked(events[:n])
	q.raiseLocked(q.cfg.Capacity - room + n)
	return n
}

func (q *queue) pushAllLocked(events []Event) {
	q.accepted += uint64(len(events))
	for len(events) > 0 {
		c := q.lastLocked()
		n := copy(c.events[c.n:], events)
		for i := range n {
			stamp(&c.events[c.n+i], q.cfg.MaxAge)
		}
		q.grownLocked(c, n)
		events = events[n:]
	}
}

// enterBatch is enter for events.
func (q *queue) enterBatch(p *processor, events []Event) (w *waiter, accepted int, evicted uint64, err error) {
	lineMu.Lock()
	defer lineMu.Unlock()
	r := &q.rule
	switch {
	case q.closedToLocked(p):
		return nil, 0, 0, ErrClosed
	case r.overflow == DropOldest:
		accepted, evicted, err = q.eachLocked(events, func(e Event) (uint64, error) { return q.dropOldestLocked(p, e) })
		return nil, accepted, evicted, err
	}
	if !r.waits() {
		q.admitLocked(true)
	}
	if q.line.empty() {
		if accepted = q.acceptSome(events, len(events)); accepted > 0 {
			return nil, accepted, 0, nil
		}
	}
	switch {
	case r.waits() && p != nil && q.mustDeferLocked(p):
		accepted, _, err = q.eachLocked(events, func(e Event) (uint64, error) {
			err := q.deferLocked(p, e)
			q.admitLocked(false)
			return 0, err
		})
		return nil, accepted, 0, err
	case !r.waits() || p == nil && q.bus.stepped.Load():
		if q.line.empty() {
			accepted = q.acceptSome(events, 1)
		}
		return nil, accepted, 0, r.refusal()
	}
	w = q.joinLocked(p, Event{})
	w.batch = events
	q.admitLocked(false)
	return w, 0, 0, nil
}

// eachLocked accepts one event after the other with accept, until that fails.
// Nobody else gets in between.
func (q *queue) eachLocked(events []Event, accept func(Event) (uint64, error)) (accepted int, evicted uint64, err error) {
	q.line.barred = true
	q.noteLocked()
	defer func() {
		q.line.barred = false
		q.noteLocked()
	}()
	for _, e := range events {
		stamp(&e, q.cfg.MaxAge)
		n, err := accept(e)
		evicted += n
		if err != nil {
			return accepted, evicted, err
		}
		accepted++
	}
	return accepted, evicted, nil
}

// letInBatchLocked is letInLocked for a waiter with a batch.
func (q *queue) letInBatchLocked(w *waiter) bool {
	w.accepted = q.acceptSome(w.batch, min(len(w.batch), q.cfg.Capacity))
	switch w.accepted {
	case 0:
		return false
	case len(w.batch):
		w.settleLocked(nil)
	default:
		w.settleLocked(fmt.Errorf("%w: it holds %d events, the batch is of %d", ErrQueueFull, q.cfg.Capacity, len(w.batch)))
	}
	return true
}

// giveUpBatchLocked accepts what it can of the batch of w, which waits no longer.
func (q *queue) giveUpBatchLocked(w *waiter) {
	l := &q.line
	if l.deferred.len() == 0 && *l.of(w).front() == w && (w.by != nil || l.parked.len() == 0) {
		w.accepted = q.acceptSome(w.batch, 1)
	}
}

// suspendBatchLocked defers the batch of w.
func (q *queue) suspendBatchLocked(w *waiter) (err error) {
	w.accepted, _, err = q.eachLocked(w.batch, func(e Event) (uint64, error) { return 0, q.deferLocked(w.by, e) })
	return err
}
