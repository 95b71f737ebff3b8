package eventbus

import (
	"context"
	"time"
)

// This file is the wait of a publish in line. A wait ends when the admission lets it in
// or refuses it and sends the outcome, when its context ends, or when the time of its
// rule is over. Whatever ends it takes it out of the line under admissionMu, so there
// is one outcome.

// handoverAfter is how long free slots are kept from a wait at most. Without it, a
// publish at a full queue of 50 waits for 25 handlers until the queue is half empty;
// with it, for one. Measured with handlers of 1, 10 and 100 ms.
const handoverAfter = time.Millisecond

// A waiting is the place in line of a publish. Whoever takes it out of the line sends
// the outcome, nil for accepted, to done, which has room for it.
type lineWait struct {
	pub    *publication
	ticket uint64 // its place in the first list
	number uint64 // of those that have joined the line
	passed int    // how many waiting handlers have moved up past it
	since  time.Time
	done   chan error
	inLine bool

	// The goroutine that waits alone uses these.
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
	timer := time.NewTimer(after)
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
			if err := q.ring(w, next); err != nil {
				return q.leave(w, err)
			}
		}
		if next, after = q.nextAlarm(w); next != 0 {
			timer.Reset(after - time.Since(w.since))
		}
	}
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
