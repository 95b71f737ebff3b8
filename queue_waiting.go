package eventbus

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// This file holds the two waits of a publish: in line, until its event is let in, and
// that of PublishWait, until its event is handled.
//
// A wait in line ends when the admission lets it in or refuses it and sends the outcome,
// when its context ends, or when the time of its rule is over. Whatever ends it takes it
// out of the line under admissionMu, so there is one outcome. Of a completion one
// compare-and-swap decides. What publishes wait with is kept for the next ones at the end.

// handoverAfter is how long free slots are kept from a wait at most. Without it, a
// publish at a full queue of 50 waits for 25 handlers until the queue is half empty;
// with it, for one. Measured with handlers of 1, 10 and 100 ms.
const handoverAfter = time.Millisecond

// A lineWait is the place in line of a publish. Whoever takes it out of the line sends
// the outcome, nil for accepted, to done, which has room for it. In a spare publication done,
// timer and when it waited last are there before the wait; the rest is empty.
type lineWait struct {
	pub    *publication
	ticket uint64 // its place in the first list
	number uint64 // of those that have joined the line
	passed int    // how many waiting handlers have moved up past it
	since  time.Time
	done   chan error
	inLine bool

	// Only the waiting goroutine uses these.
	timer    *time.Timer
	rung     alarm     // the alarms that have rung
	deadline time.Time // when the wait ends after its session has ended; see ending
}

func (w *lineWait) isHandler() bool { return w.pub.publisher.standing != outsider }

// settleLocked gives w, which leaves the line, its outcome. The edge goes in the
// same critical section: if it went when the handler wakes, a chain of handlers
// would look blocked long after it is not. A handler that waits until its event is
// handled keeps it.
func (w *lineWait) settleLocked(err error) {
	w.inLine = false
	if err == nil && w.pub.completion != nil {
		hasRoomLocked(w)
	} else {
		endEdgeLocked(w.pub.by, w, nil)
	}
	w.done <- err
}

// handOver is called when a wait has lasted for handoverAfter. From then on each free
// slot goes at once to the head, until all waits that are in line now have been let in.
func (q *queue) handOver() {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	q.admission.handOverUpTo = q.admission.joined
	q.admitLocked(false)
}

// await waits until w is let in or refused, its context ends, or its time is up. If a
// logger ends the goroutine with runtime.Goexit meanwhile, w leaves the line.
func (q *queue) await(w *lineWait) (err error) {
	ended := false
	defer func() {
		if !ended {
			err = q.leave(w, errDone)
		}
	}()
	err = q.awaitOutcome(w)
	ended = true
	return err
}

func (q *queue) awaitOutcome(w *lineWait) error {
	done := w.pub.ctx.Done()
	next, after := q.nextAlarm(w)
	timer := w.startTimer(after)
	defer timer.Stop()
	for {
		select {
		case err := <-w.done:
			return err
		case <-done:
			e := w.pub.end()
			if e.err != nil {
				return q.leave(w, e.err)
			}
			defer e.release()
			done, w.deadline = e.killed, e.deadline
		case <-timer.C:
			// With GODEBUG=asynctimerchan=1 an earlier alarm may have left this tick.
			if time.Since(w.since) >= after {
				if err := q.ring(w, next); err != nil {
					return q.leave(w, err)
				}
			}
		}
		if next, after = q.nextAlarm(w); next != 0 {
			timer.Reset(after - time.Since(w.since))
		}
	}
}

// startTimer returns a timer that rings after d.
func (w *lineWait) startTimer(d time.Duration) *time.Timer {
	if w.timer == nil {
		w.timer = time.NewTimer(d)
	} else {
		w.timer.Reset(d)
	}
	return w.timer
}

// ring does what alarm a is for, and returns the error with which it ends the wait, if it
// does.
func (q *queue) ring(w *lineWait, a alarm) error {
	w.rung |= a
	switch a {
	case handOverAlarm:
		q.handOver()
	case slowAlarm:
		q.logSlowPublish(w)
	case ruleAlarm:
		return w.pub.rule.reject()
	case deadlineAlarm:
		return context.DeadlineExceeded
	}
	return nil
}

// An alarm is what happens when a publish has waited for some time. One timer serves all.
type alarm uint8

const (
	handOverAlarm alarm = 1 << iota // each free slot goes at once to those in line
	slowAlarm                       // the wait is logged
	ruleAlarm                       // the wait ends as the rule says
	deadlineAlarm                   // the handler's own deadline, after the end of its session
)

// nextAlarm returns the first alarm of w that has not rung, 0 if there is none, and
// after how long a wait it rings.
func (q *queue) nextAlarm(w *lineWait) (next alarm, after time.Duration) {
	consider := func(a alarm, d time.Duration) {
		if d > 0 && w.rung&a == 0 && (next == 0 || d < after) {
			next, after = a, d
		}
	}
	consider(handOverAlarm, handoverAfter)
	consider(ruleAlarm, w.pub.rule.timeout)
	consider(slowAlarm, q.bus.slowWait)
	if !w.deadline.IsZero() {
		consider(deadlineAlarm, max(1, w.deadline.Sub(w.since)))
	}
	return next, after
}

// leave takes w out of the line and returns err, or the outcome if w has one by now.
// Free slots that were kept until half are given away first, so w may be let in.
func (q *queue) leave(w *lineWait, err error) error {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	if w.inLine {
		q.admitLocked(true)
	}
	if w.inLine {
		q.removeLocked(w, err)
	}
	return <-w.done
}

// A completion is how PublishWait learns what became of its event. One
// compare-and-swap decides whether the event begins or is taken back, and whether
// the caller still waits by then. The methods take nil for an event that nobody
// waits for.
type completion struct {
	state atomic.Uint32
	done  chan error    // gets the outcome, and has room for it
	key   conflationKey // of the event
	ofBus bool          // a handler of the queue's bus waits
	noted bool          // a handler waits, and its edge is in the graph; guarded by admissionMu
	place uint64        // of the event in the buffer, 0 while it has none; guarded by the buffer's lock
	in    bool          // the event is accepted; guarded by the buffer's lock
}

// The states of a completion.
const (
	completionWaits     uint32 = iota
	completionUnwatched        // the caller waits no more; the event stays
	completionBegun            // handlers may have been called
	completionOver             // the outcome is known
)

func newCompletion() *completion { return &completion{done: make(chan error, 1)} }

// setPlace notes that the event is accepted, and where.
func (c *completion) setPlace(place uint64) {
	if c != nil {
		c.place, c.in = place, true
	}
}

// revoke refuses c if its event is accepted, and returns the event's place in the
// buffer, which withdraws the event then.
func (c *completion) revoke(err error) (place uint64, ok bool) {
	return c.place, c.in && c.refuse(err)
}

// begin reports whether the event may begin: it has not been taken back.
func (c *completion) begin() bool {
	return c == nil || c.state.CompareAndSwap(completionWaits, completionBegun) ||
		c.state.CompareAndSwap(completionUnwatched, completionBegun)
}

// refuse ends the wait for an event that no handler was or will be called for. It
// reports whether somebody still waits; if not, the event stays what it is.
func (c *completion) refuse(err error) bool {
	if c == nil || !c.state.CompareAndSwap(completionWaits, completionOver) {
		return false
	}
	c.done <- err
	return true
}

// unwatch says that the caller waits no more, and reports whether the event had
// not begun by then.
func (c *completion) unwatch() bool {
	return c.state.CompareAndSwap(completionWaits, completionUnwatched)
}

// complete ends the wait for an event that was begun.
func (c *completion) complete(err error) {
	if c != nil && c.state.CompareAndSwap(completionBegun, completionOver) {
		c.done <- err
	}
}

// isOver reports whether the outcome is known.
func (c *completion) isOver() bool { return c != nil && c.state.Load() == completionOver }

// await waits for the outcome, or until ctx ends. end tells what that means.
func (c *completion) await(ctx context.Context, end func() ending) error {
	done, deadline := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case err := <-c.done: // before the end of ctx
			return err
		default:
		}
		select {
		case err := <-c.done:
			return err
		case <-deadline:
			return c.leave(context.DeadlineExceeded)
		case <-done:
			e := end()
			if e.err != nil {
				return c.leave(e.err)
			}
			defer e.release()
			done = e.killed
			if !e.deadline.IsZero() {
				timer := time.NewTimer(time.Until(e.deadline))
				defer timer.Stop()
				deadline = timer.C
			}
		}
	}
}

// leave ends the wait with err, unless the outcome is known by then.
func (c *completion) leave(err error) error {
	if !c.unwatch() && c.isOver() {
		return <-c.done
	}
	return fmt.Errorf("it is accepted, and its handlers are not done: %w", err)
}

// What a publish of a single event waits with is kept for the next one: a wait that
// allocates costs as much as three events, and most of it is the garbage collector's. In a
// testing/synctest bubble, channels and timers are for those who are in it. So the goroutine
// that runs a processor makes a spare publication for its handlers, and for others the bus
// keeps those that have waited and were let in: the processor that made the room for them
// is in the same bubble. Nobody takes one of a later time than his own, since the clock of
// a bubble begins in 2000.

// newSpare returns a spare publication for handlers that are called with c.
func newSpare(c *handlerContext) *publication {
	pub := &publication{spareOf: c}
	pub.wait.done, pub.wait.timer = make(chan error, 1), time.NewTimer(time.Hour)
	pub.wait.timer.Stop()
	return pub
}

// takeSpare returns an empty publication for c.
func (b *Bus) takeSpare(c caller) *publication {
	if c.handler != nil {
		if pub := c.handler.spare.Swap(nil); pub != nil {
			return pub
		}
	}
	if pub, ok := b.spares.Get().(*publication); ok && !time.Now().Before(pub.wait.since) {
		return pub
	}
	return new(publication)
}

// giveBack empties pub, whose publish has ended with err, and keeps it for the next one.
func (b *Bus) giveBack(pub *publication, err error) {
	waited := pub.wait.pub != nil
	if pub.wait.timer == nil || waited && (pub.spareOf == nil && err != nil || pub.isInGraph()) {
		return
	}
	c := pub.spareOf
	*pub = publication{spareOf: c, wait: lineWait{done: pub.wait.done, timer: pub.wait.timer, since: pub.wait.since}}
	if c != nil {
		c.spare.Store(pub)
	} else {
		b.spares.Put(pub)
	}
}

// isInGraph reports whether an edge refers to pub, which has left the line. It waits for
// admissionMu, under which whoever took pub out of the line may look at it until the end.
func (pub *publication) isInGraph() bool {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	return slices.ContainsFunc(pub.by, func(d *drainer) bool { return d.edge != nil && d.edge.pub == pub })
}
