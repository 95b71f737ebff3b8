package eventbus

import (
	"context"
	"fmt"
	"sync"
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
// inside a handler is deferred here, too. An event without a type makes
// PublishBatch accept none. A queue with ConflateBy, where an event goes to the
// place of its key, gets the events one by one.
func (b *Bus) PublishBatch(ctx context.Context, q Queue, events []Event) (accepted int, err error) {
	if q >= numQueues || ctx == nil {
		return 0, b.refuseAll(ctx, q, events)
	}
	for i := range events {
		if events[i].Type == "" {
			return 0, fmt.Errorf("event %d of %d: %w", i, len(events), b.refuseAll(ctx, q, events))
		}
	}
	to := b.queues[q]
	if to.cfg.ConflateBy != nil || len(events) < 2 {
		return b.publishEach(ctx, q, events)
	}
	return to.publishBatch(ctx, events)
}

// refuseAll is refuse for a batch.
func (b *Bus) refuseAll(ctx context.Context, q Queue, events []Event) error {
	if q < numQueues && len(events) > 0 {
		b.queues[q].rejected.Add(uint64(len(events) - 1))
	}
	var t EventType
	if ctx == nil && len(events) > 0 {
		t = events[0].Type
	}
	return b.refuse(ctx, q, t)
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

// A batch is events that take one place in the channel, as the Data of a
// carrier, and each a share of the capacity.
type batch struct{ events []Event }

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(events []Event) *batch {
	c := batches.Get().(*batch)
	c.events = append(c.events[:0], events...)
	return c
}

func (c *batch) recycle() {
	clear(c.events)
	batches.Put(c)
}

func (c *batch) carrier() Event { return Event{Type: c.events[0].Type, Data: c} }

func (q *queue) publishBatch(ctx context.Context, events []Event) (accepted int, err error) {
	if q.state.Load()&batched == 0 {
		q.beginBatching()
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

// beginBatching closes the fast path, where publishers count places in the
// channel and not events. It waits for those who are in it, since they could get
// between the events of a batch in a queue with DropOldest. Whoever calls it
// meanwhile waits too, and batches of others may be in the queue by then.
func (q *queue) beginBatching() {
	lineMu.Lock()
	q.state.Or(batching)
	lineMu.Unlock()
	awaitTurn(func() bool {
		lineMu.Lock()
		defer lineMu.Unlock()
		if int(q.waiting()) > q.depth()+q.line.accepted() && q.state.Load()&closed == 0 {
			return false
		}
		q.state.Or(batched)
		return true
	})
}

// counts reports whether the events in q are counted, and not its channel's
// places: there may be batches in it. DropOldest, which may evict a part of a
// batch, puts each event into a place of its own.
func (q *queue) counts() bool {
	return q.state.Load()&batched != 0 && q.rule.overflow != DropOldest
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
	if q.line.empty() && q.room() >= len(events) {
		q.acceptLocked(events)
		return nil, len(events), 0, nil
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
			accepted = q.acceptSomeLocked(events)
		}
		return nil, accepted, 0, r.refusal()
	}
	w = q.joinLocked(p, Event{})
	w.batch = events
	q.admitLocked(false)
	return w, 0, 0, nil
}

// eachLocked accepts one event after the other with accept, until that fails.
func (q *queue) eachLocked(events []Event, accept func(Event) (uint64, error)) (accepted int, evicted uint64, err error) {
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

// room returns how many events fit into a queue that counts them. Only for those
// who hold lineMu.
func (q *queue) room() int { return q.cfg.Capacity - q.depth() }

// depth returns how many events are in the queue: of the open batch those that
// are not begun. It is exact for those who hold lineMu. Others may miss what the
// processor moves meanwhile, but do not see it twice: depth reads in the order
// against that in which openBatch does.
func (q *queue) depth() int {
	left, surplus := q.left(), q.surplus.Load()
	return left + int(surplus) + len(q.ch)
}

// left returns how many events of the open batch are not begun.
func (q *queue) left() int {
	end, begun := q.openEnd.Load(), q.mark().begun()
	if end <= begun {
		return 0
	}
	return int(end - begun)
}

// remainder returns those events.
func (q *queue) remainder() []Event {
	n := q.left()
	if n == 0 {
		return nil
	}
	return q.opened.events[len(q.opened.events)-n:]
}

// openBatch makes c, which the processor has taken out of the channel, the open
// batch and returns its events.
func (q *queue) openBatch(c *batch) []Event {
	lineMu.Lock()
	defer lineMu.Unlock()
	q.opened = c
	q.surplus.Add(-int64(len(c.events) - 1)) // first, or those who look meanwhile would see them twice
	q.openEnd.Store(q.mark().begun() + uint64(len(c.events)))
	return c.events
}

// shift takes the first event out of rest, what is left of the open batch. The
// batch is taken back with the last one, which is about to begin.
func (q *queue) shift(rest []Event) (Event, []Event) {
	e, rest := rest[0], rest[1:]
	if len(rest) == 0 {
		q.opened.recycle()
		q.opened = nil
	}
	return e, rest
}

// acceptLocked accepts events, which there is room for.
func (q *queue) acceptLocked(events []Event) {
	c := newBatch(events)
	for i := range c.events {
		stamp(&c.events[i], q.cfg.MaxAge)
	}
	q.accepted.Add(uint64(len(events)))
	q.surplus.Add(int64(len(events) - 1))
	q.ch <- c.carrier() // does not wait: no more places are taken than events are there
	raise(&q.highWater, int64(q.depth()))
}

// acceptSomeLocked accepts as many of the first events as there is room for.
func (q *queue) acceptSomeLocked(events []Event) (n int) {
	n = min(q.room(), len(events))
	if n > 0 {
		q.acceptLocked(events[:n])
	}
	return max(n, 0)
}

// letInBatchLocked is letInLocked for a waiter with a batch.
func (q *queue) letInBatchLocked(w *waiter) bool {
	if q.room() < min(len(w.batch), q.cfg.Capacity) {
		return false
	}
	w.accepted = q.acceptSomeLocked(w.batch)
	if w.accepted < len(w.batch) {
		w.settleLocked(fmt.Errorf("%w: it holds %d events, the batch is of %d", ErrQueueFull, q.cfg.Capacity, len(w.batch)))
	} else {
		w.settleLocked(nil)
	}
	return true
}

// giveUpBatchLocked accepts what it can of the batch of w, which waits no longer.
func (q *queue) giveUpBatchLocked(w *waiter) {
	l := &q.line
	if l.deferred.len() == 0 && *l.of(w).front() == w && (w.by != nil || l.parked.len() == 0) {
		w.accepted = q.acceptSomeLocked(w.batch)
	}
}

// suspendBatchLocked defers the batch of w.
func (q *queue) suspendBatchLocked(w *waiter) (err error) {
	w.accepted, _, err = q.eachLocked(w.batch, func(e Event) (uint64, error) { return 0, q.deferLocked(w.by, e) })
	return err
}

// unload appends e, which was taken out of the channel to be handed back, or the
// batch in it.
func (q *queue) unload(events []Event, e Event) []Event {
	c, ok := e.Data.(*batch)
	if !ok {
		return append(events, q.discard(e, ErrClosed))
	}
	q.surplus.Add(-int64(len(c.events) - 1))
	return append(events, c.events...)
}
