package eventbus

import "sync"

// lineMu guards the lines of all queues of all buses and the graph of which
// handler waits on which queue. There is one for the package and not one a
// bus, because a cycle of handlers may run through several buses. Only a
// publish that did not get through at once takes it, and the processor that
// lets such publishes in. It is held for a few steps: never while user code
// runs, and no send under it waits.
var lineMu sync.Mutex

// A line holds what found its queue full. Its parts are let in in this order, each
// first come, first served. Guarded by lineMu.
type line struct {
	deferred fifo[Event]   // accepted from handlers that must not wait; for their bound see deferLocked
	parked   fifo[*waiter] // handlers that wait
	outside  fifo[*waiter] // everybody else that waits, and detached events
	detached int           // how many of those are in outside; at most the queue's capacity
	awaited  []*receipt    // of handlers that wait until their events are handled
	barred   bool          // a batch is on its way in, event by event
	rush     bool          // a cycle runs through the parked handlers: let them in slot by slot
}

// accepted returns how many accepted events the line holds.
func (l *line) accepted() int { return l.deferred.len() + l.detached }

func (l *line) empty() bool {
	return l.deferred.len() == 0 && l.parked.len() == 0 && l.outside.len() == 0
}

func (l *line) of(w *waiter) *fifo[*waiter] {
	if w.by != nil {
		return &l.parked
	}
	return &l.outside
}

// admitLocked lets in whom the free slots are for: deferred events always,
// parked handlers while a cycle rushes them, and everybody when the queue has
// drained to half, which makes one wake-up do for many publishes. Eager, it
// does not wait for half. Anybody may call it; once the queue is closed for
// good, Shutdown takes out what is left, and it does nothing.
func (q *queue) admitLocked(eager bool) {
	if q.line.empty() || q.state.Load()&closed != 0 {
		return
	}
	half := eager || q.room() >= q.half()
	for q.line.deferred.len() > 0 && q.insert(*q.line.deferred.front(), 0) {
		q.line.deferred.pop()
	}
	if half || q.line.rush {
		q.admitFromLocked(&q.line.parked)
	}
	if half {
		q.admitFromLocked(&q.line.outside)
	}
	q.noteLocked()
}

// admit is admitLocked for the processor, whenever a slot has come free.
func (q *queue) admit() {
	if s := q.state.Load(); s&lined != 0 {
		q.admitSlow(s)
	}
}

func (q *queue) admitSlow(state uint32) {
	if state&urgent != 0 || q.mark().begun() >= q.halfAt.Load() {
		q.lookAtLine()
	}
}

func (q *queue) lookAtLine() {
	lineMu.Lock()
	defer lineMu.Unlock()
	q.admitLocked(false)
}

// half returns how many events fit into a queue that has drained to half.
func (q *queue) half() int { return (q.cfg.Capacity + 1) / 2 }

func (q *queue) admitFromLocked(f *fifo[*waiter]) {
	if q.line.deferred.len() > 0 || f != &q.line.parked && q.line.parked.len() > 0 {
		return
	}
	for f.len() > 0 && q.letInLocked(*f.front()) {
		f.pop()
	}
}

// letInLocked accepts w's event, or moves it if it is accepted already, if
// there is room.
func (q *queue) letInLocked(w *waiter) bool {
	switch {
	case w.detached():
		if !q.insert(w.event, 0) {
			return false
		}
		q.line.detached--
		return true
	case w.batch != nil:
		return q.letInBatchLocked(w)
	}
	if !q.offer(w.event) {
		return false
	}
	w.settleLocked(nil)
	return true
}

// noteLocked brings state, halfAt and the deferred count in line with the line.
// The position is read before the room: an event that began in between would count
// twice, and nobody would look at the line when its queue is empty.
func (q *queue) noteLocked() {
	if q.line.parked.len() == 0 {
		q.line.rush = false
	}
	s := q.state.Load() &^ (lined | urgent)
	if q.line.barred || !q.line.empty() {
		s |= lined
		q.halfAt.Store(q.mark().begun() + uint64(max(0, q.half()-q.room())))
	}
	if q.line.deferred.len() > 0 || q.line.rush {
		s |= urgent
	}
	q.state.Store(s)
	q.deferred.Store(int64(q.line.accepted()))
}

// closeLocked closes the queue to all but handlers or, for good, to everybody.
func (q *queue) closeLocked(bits uint32) {
	q.state.Or(bits)
	refuseLocked(&q.line.outside, func(w *waiter) bool { return !w.detached() })
	refuseLocked(&q.line.parked, func(w *waiter) bool { return bits&closed != 0 || w.by.bus != q.bus })
	q.noteLocked()
}

func refuseLocked(f *fifo[*waiter], who func(*waiter) bool) {
	for range f.len() {
		if w := f.pop(); who(w) {
			w.settleLocked(ErrClosed)
		} else {
			f.push(w)
		}
	}
}
