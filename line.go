package eventbus

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lineMu guards the lines of all queues of all buses and the graph of which
// handler waits on which queue. There is one for the package and not one a
// bus, because a cycle of handlers may run through several buses. Only a
// publish that did not get through at once takes it, and the processor that
// lets such publishes in. It is held for a few steps: never while user code
// runs, and no send under it waits.
var lineMu sync.Mutex

// A line holds what did not fit into a queue's channel. Its parts are let in
// in this order, each first come, first served. Guarded by lineMu.
type line struct {
	held     *Event        // taken, and to be handled first when the bus starts again
	deferred fifo[Event]   // accepted from handlers that must not wait; at most the queue's capacity
	parked   fifo[*waiter] // handlers that wait
	outside  fifo[*waiter] // everybody else that waits, and detached events
	detached int           // how many of those are in outside; at most the queue's capacity
	awaited  []*receipt    // of handlers that wait until their events are handled
	rush     bool          // a cycle runs through the parked handlers: let them in slot by slot
}

// accepted returns how many accepted events the line holds.
func (l *line) accepted() int {
	n := l.deferred.len() + l.detached
	if l.held != nil {
		n++
	}
	return n
}

func (l *line) empty() bool {
	return l.deferred.len() == 0 && l.parked.len() == 0 && l.outside.len() == 0
}

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
// not zero. It gives up the count that the fast path took.
func (q *queue) publishSlow(ctx context.Context, e Event, r *rule) error {
	q.takeBack()
	raise(&q.highWater, int64(q.depth()))
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
	if q.packs.Load() && q.mergeNew(e) {
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
// It gets one by then if slots are free that were kept until the queue has run
// dry.
func (q *queue) leave(w *waiter, err error) error {
	lineMu.Lock()
	defer lineMu.Unlock()
	q.admitLocked(true)
	if w.inLine {
		if w.batch != nil {
			q.giveUpBatchLocked(w)
		}
		q.line.of(w).remove(w)
		w.settleLocked(err)
		q.noteLocked()
	}
	return <-w.done
}

func (l *line) of(w *waiter) *fifo[*waiter] {
	if w.by != nil {
		return &l.parked
	}
	return &l.outside
}

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

// admitLocked lets in whom the free slots are for: deferred events always,
// parked handlers while a cycle rushes them, and everybody when the queue has
// run dry: one wake-up does for many publishes then, and publisher and processor
// take turns at the channel, where they would fight for its lock. Eager, it
// does not wait for that. Anybody may call it; once the queue is closed for
// good, Shutdown takes out what is left, and it does nothing.
func (q *queue) admitLocked(eager bool) {
	if q.line.empty() || q.state.Load()&closed != 0 {
		return
	}
	dry := eager || q.depth() == 0
	for q.line.deferred.len() > 0 && q.moveLocked(*q.line.deferred.front()) {
		q.line.deferred.pop()
	}
	if dry || q.line.rush {
		q.admitFromLocked(&q.line.parked)
	}
	if dry {
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
	if state&urgent == 0 && q.depth() > 0 {
		return
	}
	lineMu.Lock()
	defer lineMu.Unlock()
	q.admitLocked(false)
}

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
		if !q.moveLocked(w.event) {
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

// moveLocked sends e, which is accepted and in line, if there is room.
func (q *queue) moveLocked(e Event) bool {
	return (!q.counts() || q.room() > 0) && q.send(e)
}

// noteLocked brings state and the deferred count in line with the line.
func (q *queue) noteLocked() {
	if q.line.parked.len() == 0 {
		q.line.rush = false
	}
	s := q.state.Load() &^ (lined | urgent)
	if !q.line.empty() {
		s |= lined
	}
	if q.line.deferred.len() > 0 || q.line.rush {
		s |= urgent
	}
	q.state.Store(s)
	q.deferred.Store(int64(q.line.accepted()))
}

// keep keeps e, which a processor has taken but was told not to begin.
func (q *queue) keep(e Event) {
	if c, ok := e.Data.(*batch); ok {
		q.openBatch(c)
	} else {
		q.hold(e)
	}
}

// hold keeps e, which a processor has taken but was told not to begin, until
// it asks for it with release. It is the queue's oldest event, and so must not
// go behind those in the channel.
func (q *queue) hold(e Event) {
	lineMu.Lock()
	defer lineMu.Unlock()
	q.line.held = &e
	q.holding = true
	q.noteLocked()
}

func (q *queue) release() Event {
	lineMu.Lock()
	defer lineMu.Unlock()
	e := *q.line.held
	q.line.held = nil
	q.holding = false
	q.noteLocked()
	return e
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
