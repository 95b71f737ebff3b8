package eventbus

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// This file is the wait of a publish in line. It ends in one of four ways: whoever
// lets it in or refuses it sends the outcome, its context ends, or its rule's time is
// over; the last two take it out of the line under admissionMu, so that there is one
// outcome.

// handoverAfter is how long one waits at most for slots that are free. With
// handlers of 1, 10 and 100 ms it makes a publish at a full queue of 50 wait for one
// handler, in place of 25 of them.
const handoverAfter = time.Millisecond

// A waiting is a publish that waits for room. Whoever takes it out of the line
// sends the outcome, nil for accepted, to done, which has room for it.
type waiting struct {
	pub    *publication
	ticket uint64 // its place in the first list
	passed int    // how many waiting handlers have moved up past it
	since  time.Time
	done   chan error
	inLine bool
}

func (w *waiting) isHandler() bool { return w.pub.publisher.standing != outsider }

// settleLocked gives w, which leaves the line, its outcome. The edge goes in the
// same critical section: if it went when the handler wakes, a chain of handlers
// would look blocked long after it is not. A handler that waits until its event is
// handled keeps it.
func (w *waiting) settleLocked(err error) {
	w.inLine = false
	if err == nil && w.pub.completion != nil {
		hasRoomLocked(w)
	} else {
		endEdgeLocked(w.pub.by, w, nil)
	}
	w.done <- err
}

// handOver gives each free slot at once to as many as are in line by now, since one
// of them has waited long enough.
func (q *queue) handOver() {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	q.admission.handover = q.firstListLocked() + len(q.admission.publishers)
	q.admitLocked(false)
}

// await waits until w is let in or refused, ctx ends, or its time is up. One timer
// serves what happens meanwhile: the hand-over, the report of a slow publish, and
// the rule's timeout.
func (q *queue) await(ctx context.Context, w *waiting) error {
	done, alarms := ctx.Done(), q.alarms(ctx, w)
	timer := time.NewTimer(alarms[0].after)
	defer timer.Stop()
	for {
		select {
		case err := <-w.done:
			return err
		case <-done:
			err := w.pub.ended()
			if err != nil {
				return q.leave(w, err)
			}
			done = nil
		case <-timer.C:
			if err := alarms[0].ring(); err != nil {
				return q.leave(w, err)
			}
			if alarms = alarms[1:]; len(alarms) > 0 {
				timer.Reset(alarms[0].after - time.Since(w.since))
			}
		}
	}
}

// An alarm is what happens when one has waited for some time. An error ends the
// wait.
type alarm struct {
	after time.Duration
	ring  func() error
}

// alarms returns those of w, the first first.
func (q *queue) alarms(ctx context.Context, w *waiting) []alarm {
	alarms := []alarm{{handoverAfter, func() error { q.handOver(); return nil }}}
	if d := q.bus.slowWait; d > 0 {
		alarms = append(alarms, alarm{d, func() error { q.logSlowPublish(ctx, w); return nil }})
	}
	if r := w.pub.rule; r.timeout > 0 {
		alarms = append(alarms, alarm{r.timeout, func() error { return r.reject() }})
	}
	slices.SortStableFunc(alarms, func(a, b alarm) int { return cmp.Compare(a.after, b.after) })
	return alarms
}

// leave takes w out of the line and returns err, or the outcome if w has one. It
// gets one if slots are free that were kept until the queue had drained to half.
func (q *queue) leave(w *waiting, err error) error {
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
