package eventbus

import (
	"context"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/lockrank"
)

// This file is the admission: the publishes that wait for room, and the order in which
// they are let in.
//
// Invariants, while admissionMu is not held:
//
//   - The gate has the bit gateLine if and only if the line is not empty.
//   - While the line is not empty, either the queue is full, or its free slots are
//     kept until the event numbered lowWaterAt begins. The processor looks at the line
//     when it begins that event.
//   - While the first list is not empty, no publisher from outside is let in.
//   - A waiting handler has an edge in the graph, unless it has returned and a goroutine
//     waits with its context, and a handler that does not wait has none.

// admissionMu guards the lines of all queues of all buses and the wait-for graph.
// There is one for the package and not one a bus, because a cycle of handlers may
// run through several buses. Slow publishes take it, and processors when they let
// slow publishes in. It is held for a few steps: no user code runs under it, and no
// send under it waits.
var admissionMu lockrank.Mutex

func init() { admissionMu.SetRank(lockrank.Admission) }

// An admission is the line of a queue: two lists. Deferred events, which are
// accepted and in the buffer, and waiting handlers stand in the first one in the
// order of their tickets, publishers from outside in the second. Guarded by
// admissionMu.
type admission struct {
	handlers     []*lineWait   // of the first list; the deferred events are the rest of it
	publishers   []*lineWait   // the second list
	awaited      []*completion // of the PublishWait calls of handlers
	ticket       uint64        // the last that was given out
	joined       uint64        // how many have joined the line
	handOverUpTo uint64        // while a wait with a number up to this is in line, each free slot goes at once to the head
	hasten       bool          // a chain of waits led back to its first handler: each free slot goes at once to the first list
	idle         error         // why nobody drains the queue; nil if somebody does
	stepped      bool          // RunUntilIdle drives the bus
	refused      int           // events of this bus's handlers that Shutdown has refused; see ShutdownError.Refused
}

func (a *admission) nextTicket() uint64 {
	a.ticket++
	return a.ticket
}

// isAheadOfLocked reports whether the line has a claim to the free slots before a
// publish of the given standing. Before a handler only the first list has one, before
// an outsider the whole line.
func (a *admission) isAheadOfLocked(s standing, q *queue) bool {
	return q.firstListLocked() > 0 || s == outsider && len(a.publishers) > 0
}

func (q *queue) firstListLocked() int {
	n, _ := q.buffer.Deferred()
	return n + len(q.admission.handlers)
}

// joinLocked puts pub in line. Then it looks at the room once more: the processor may
// have emptied the queue and gone to sleep before the gate said that the line is not
// empty.
func (q *queue) joinLocked(pub *publication) *lineWait {
	a := &q.admission
	w := &pub.wait
	a.joined++
	w.pub, w.number, w.since, w.inLine = pub, a.joined, time.Now(), true // the rest is empty
	if w.done == nil {
		w.done = make(chan error, 1)
	}
	if w.isHandler() {
		w.ticket = a.nextTicket()
		a.handlers = append(a.handlers, w)
		q.beginEdgeLocked(pub, w)
	} else {
		a.publishers = append(a.publishers, w)
	}
	q.syncGateLocked()
	q.admitLocked(false)
	return w
}

// admitLocked gives the free slots to the line, in order. It gives all of them if eager,
// if the queue has drained to half, or if nobody drains it. Otherwise it gives them only
// to waits that get each free slot at once: see givesAtOnceLocked and isHandingOver. The other
// waits stay until the queue has drained to half, so that one wake-up does for many.
//
// The processor may have made room after the look at it and before the gate asked to be
// told of that. So admitLocked looks again whenever the gate asks for more than before.
func (q *queue) admitLocked(eager bool) {
	a := &q.admission
	if q.firstListLocked() == 0 && len(a.publishers) == 0 && q.buffer.Gate.Load()&gateLine == 0 ||
		q.buffer.Gate.Load()&closed != 0 { // Shutdown takes out what is left
		return
	}
	for more := true; more; more = q.syncGateLocked() {
		all := eager || a.idle != nil || q.buffer.Room() >= q.lowWater()
		for q.firstListLocked() > 0 && (all || q.givesAtOnceLocked()) && q.letInFirstLocked() {
		}
		for q.firstListLocked() == 0 && len(a.publishers) > 0 && (all || a.isHandingOver()) && q.letInLocked(a.publishers[0]) {
			a.publishers = slices.Delete(a.publishers, 0, 1)
		}
	}
}

// givesAtOnceLocked reports whether the next free slot goes to the line at once, and not
// only when the queue has drained to half.
func (q *queue) givesAtOnceLocked() bool {
	n, _ := q.buffer.Deferred()
	return n > 0 || q.admission.hasten || q.admission.isHandingOver()
}

// isHandingOver reports whether the line still holds a wait of the last hand-over: one that
// was in line when handOver was called.
func (a *admission) isHandingOver() bool {
	isDue := func(w *lineWait) bool { return w.number <= a.handOverUpTo }
	return len(a.publishers) > 0 && isDue(a.publishers[0]) || slices.ContainsFunc(a.handlers, isDue)
}

// letInFirstLocked lets in the front of the first list, and reports whether it is
// in.
func (q *queue) letInFirstLocked() bool {
	a := &q.admission
	ticket, ok := q.buffer.FirstTicket()
	if ok && (len(a.handlers) == 0 || ticket <= a.handlers[0].ticket) {
		return q.buffer.PromoteFirst()
	}
	if !q.letInLocked(a.handlers[0]) {
		return false
	}
	a.handlers = slices.Delete(a.handlers, 0, 1)
	return true
}

// letInLocked accepts the next events of w for which there is room, and reports whether
// all of them are accepted now.
func (q *queue) letInLocked(w *lineWait) bool {
	for pub := w.pub; pub.accepted < len(pub.entries); pub.accepted++ {
		if !q.buffer.Push(&pub.entries[pub.accepted]) {
			return false
		}
	}
	w.settleLocked(nil)
	return true
}

// replaceLocked lets e replace the event that waits with its key, if one does.
func (q *queue) replaceLocked(e *entry) bool {
	return e.meta != nil && q.buffer.Replace(e)
}

// deferLocked accepts e without room.
func (q *queue) deferLocked(e *entry, ticket uint64) {
	q.buffer.Defer(e, ticket, e.meta != nil && e.meta.joins != nil)
	q.syncGateLocked()
}

// lowWater returns how many events fit into a queue that has drained to half.
func (q *queue) lowWater() int { return (q.cfg.Capacity + 1) / 2 }

// syncGateLocked makes the gate and lowWaterAt agree with the line, and reports whether
// the processor is asked to look at the line sooner than before. It reads the site before
// the room. In the other order an event that begins in between would count twice:
// lowWaterAt would be too high, and nobody would look at the line of an empty queue.
func (q *queue) syncGateLocked() (sooner bool) {
	a := &q.admission
	if len(a.handlers) == 0 {
		a.hasten = false
	}
	var bits uint32
	if q.firstListLocked() > 0 || len(a.publishers) > 0 {
		bits = gateLine
		begun := q.buffer.Site().Begun()
		at := begun + uint64(max(0, q.lowWater()-q.buffer.Room()))
		sooner = at < q.lowWaterAt.Swap(at)
	}
	if q.givesAtOnceLocked() {
		bits |= gateAtOnce
	}
	gate := q.buffer.Gate.Load()
	kept := gate & (closing | closed | gateBatch)
	if gate != kept|bits {
		q.buffer.Gate.Store(kept | bits)
	}
	return sooner || bits&^gate != 0
}

// admit gives free slots to the line if the queue has drained to half or a wait gets
// each free slot at once. The processor calls it when it has begun an event.
func (q *queue) admit() {
	gate := q.buffer.Gate.Load()
	if gate&gateLine != 0 && (gate&gateAtOnce != 0 || q.buffer.Site().Begun() >= q.lowWaterAt.Load()) {
		q.lookAtLine()
	}
}

func (q *queue) lookAtLine() {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	q.admitLocked(false)
}

// waitingPublishes returns how many publishes wait for room, and how long the first of
// them has.
func (q *queue) waitingPublishes() (n int, longest time.Duration) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, list := range [][]*lineWait{q.admission.handlers, q.admission.publishers} {
		for _, w := range list {
			n, longest = n+1, max(longest, time.Since(w.since))
		}
	}
	return n, longest
}

// removeLocked takes w, for which there is no room, out of the line.
func (q *queue) removeLocked(w *lineWait, err error) {
	is := func(o *lineWait) bool { return o == w }
	q.admission.handlers = slices.DeleteFunc(q.admission.handlers, is)
	q.admission.publishers = slices.DeleteFunc(q.admission.publishers, is)
	w.settleLocked(err)
	q.syncGateLocked()
}

// hastenLocked makes the queues on a chain of waits give each free slot away at once,
// moves the waits up, and reports whether one of them was let in, which breaks the
// chain. If the queues kept their slots until half, each publish around the cycle
// would find it closed and be deferred.
func hastenLocked(chain []*edge) (broken bool) {
	for _, e := range chain {
		w := e.wait
		if w == nil {
			continue
		}
		e.on.admission.hasten = true
		e.on.moveUpLocked(w)
		e.on.admitLocked(false)
		broken = broken || !w.inLine
	}
	return broken
}

// moveUpLocked moves w up in the first list past handlers that wait. It never moves
// past a deferred event, since an event accepted later must not overtake one
// accepted earlier, nor past one that as many as the capacity have passed: without
// that bound two handlers that answer each other keep a third waiting for good.
// Tickets belong to places, so the two exchange them.
func (q *queue) moveUpLocked(w *lineWait) {
	l := q.admission.handlers
	for i := slices.Index(l, w); i > 0; i-- {
		p := l[i-1]
		if p.passed >= q.cfg.Capacity || q.buffer.Between(p.ticket, w.ticket) {
			return
		}
		p.passed++
		p.ticket, w.ticket = w.ticket, p.ticket
		l[i-1], l[i] = w, p
	}
}

// closeLocked closes the queue: with the bit closing to all but handlers of its bus,
// with the bit closed to everybody. Waits that the bits exclude are refused.
func (q *queue) closeLocked(bits uint32) {
	q.buffer.Gate.Or(bits)
	a := &q.admission
	stays := func(w *lineWait) bool { return bits&closed == 0 && w.pub.publisher.ofBus }
	for _, l := range []*[]*lineWait{&a.handlers, &a.publishers} {
		for _, w := range slices.Clone(*l) {
			if !stays(w) {
				q.noteRefusedLocked(w.pub)
				q.removeLocked(w, ErrClosed)
			}
		}
	}
	if bits&closed != 0 {
		q.withdrawLocked(ErrClosed)
	}
	q.syncGateLocked()
}

// setIdleLocked notes why nobody drains the queue; nil means that a processor does. If
// nobody does, no handler may wait: their events get the room there is, in order, and
// the rest is deferred or, beyond the bound, refused.
func (q *queue) setIdleLocked(err error) {
	a := &q.admission
	a.idle = err
	q.admitLocked(false)
	if err == nil {
		return
	}
	for _, w := range slices.Clone(a.handlers) {
		if w.pub.publisher.awaits {
			if q.buffer.Gate.Load()&closing != 0 {
				q.noteRefusedLocked(w.pub)
			}
			q.removeLocked(w, err)
		} else {
			q.removeLocked(w, q.deferRestLocked(w))
		}
	}
	q.withdrawLocked(err)
	q.syncGateLocked()
}

// deferRestLocked defers what is left of w's events, in w's place.
func (q *queue) deferRestLocked(w *lineWait) error {
	for pub := w.pub; pub.accepted < len(pub.entries); pub.accepted++ {
		e := &pub.entries[pub.accepted]
		if q.replaceLocked(e) {
			continue
		}
		if _, n := q.buffer.Deferred(); n >= q.spillLimit() {
			return errSpilled
		}
		q.deferLocked(e, w.ticket)
	}
	return nil
}

// beginAwaitLocked notes that a handler waits until the event of pub is handled,
// or returns why it must not.
func (q *queue) beginAwaitLocked(pub *publication) error {
	if c := pub.completion; !c.noted {
		if err := q.mustNotWaitLocked(pub.by); err != nil {
			return err
		}
		c.noted = true
		q.beginEdgeLocked(pub, nil)
		q.admission.awaited = append(q.admission.awaited, c)
	}
	return nil
}

// endAwait takes back what beginAwaitLocked has noted, if it has.
func (q *queue) endAwait(by []*drainer, c *completion) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	endEdgeLocked(by, nil, c)
	q.admission.awaited = slices.DeleteFunc(q.admission.awaited, func(o *completion) bool { return o == c })
}

// withdrawLocked withdraws the accepted and not begun events of the handlers that are in
// PublishWait, since nobody drains the queue. Their room goes to the line.
func (q *queue) withdrawLocked(err error) {
	for _, c := range q.admission.awaited {
		withdrawn := q.buffer.Withdraw(c.key, func(e entry) bool { return e.meta != nil && e.meta.completion == c },
			func() (uint64, bool) { return c.revoke(err) })
		if withdrawn && c.ofBus && q.buffer.Gate.Load()&closing != 0 {
			q.admission.refused++
		}
	}
	q.admitLocked(false)
}

// admitJoiner accepts the entry of a late joiner, whether there is room or not, and
// reports whether the queue is open.
func (q *queue) admitJoiner(j *joiner) bool {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	if q.buffer.Gate.Load()&closed != 0 {
		return false
	}
	j.travels = true
	e := entry{Event{Type: j.sub.eventType}, &meta{joins: j}}
	q.admitLocked(true)
	switch {
	case q.rule.overflow == DropOldest: // those that evict must not overtake it
		q.buffer.PushFree(&e)
	case q.firstListLocked() > 0 || len(q.admission.publishers) > 0 || !q.buffer.Push(&e):
		q.deferLocked(&e, q.admission.nextTicket())
		q.admitLocked(false)
	}
	return true
}

// withdrawJoiner takes back the entry of a late joiner that has left.
func (q *queue) withdrawJoiner(j *joiner) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	q.buffer.Withdraw(conflationKey{}, func(e entry) bool { return e.meta != nil && e.meta.joins == j },
		func() (uint64, bool) { return j.place, j.leave() })
	q.admitLocked(false)
}

// endAbandoned ends the waits of calls that Async has given up on. They would soon
// leave by themselves, but until then their edges would be taken for those of the next
// handler. by holds the drainers whose handlers made the calls.
func endAbandoned(by []*drainer) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, d := range by {
		e := d.edge
		if e == nil || !e.pub.caller.isAbandoned() {
			continue
		}
		if w := e.wait; w != nil {
			e.on.admitLocked(true)
			if w.inLine {
				e.on.removeLocked(w, context.DeadlineExceeded)
			}
		}
		if d.edge == e {
			d.edge = nil
		}
	}
}
