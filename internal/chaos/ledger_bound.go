package chaos

import (
	"cmp"
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// verifyBound sees to it that a handler is refused only where the bound of
// deferral allows that. A queue that refuses is full and has deferred twice its
// capacity and 3 events. A late joiner may have a slot in it, and counts for no
// bound. Of a batch the first event that is refused is looked at; the others are with it.
func (l *ledger) verifyBound(q eventbus.Queue, subscribers []*subscriber) {
	full := 3*l.plan.queues[q].Capacity + 3
	batches := make(map[*entry]bool)
	for _, e := range l.entries {
		if e.queue != q || e.judged || !l.isRefusedByBound(e) {
			continue
		}
		e.judged = true
		if e.batch != nil && batches[e.batch] {
			continue
		}
		batches[e.batch] = true
		held := l.mostHeld(e, full)
		if held == full {
			continue
		}
		joiners := l.mostSlotsOfJoiners(e, subscribers)
		if least := full - joiners; held < least {
			l.violated("%v: the queue held %d events at most; beside %d late joiners it must accept %d", e, held, joiners, least)
		}
	}
}

// mostSlotsOfJoiners returns how many slots late joiners may have had in the
// queue of e when that was published. Events that had been accepted before the
// first of them, and were still there, had theirs.
func (l *ledger) mostSlotsOfJoiners(e *entry, subscribers []*subscriber) int {
	joining, first := 0, e.settled
	for _, s := range subscribers {
		if arrived := s.arrived.Load(); s.home == int(e.queue) && s.began < e.settled && (arrived == 0 || arrived > e.began) {
			joining, first = joining+1, min(first, s.began)
		}
	}
	free := l.plan.queues[e.queue].Capacity
	for _, o := range l.entries {
		before := o.queue == e.queue && o.settled != 0 && o.settled < first && o.err == nil
		if before && o.way != byWait && (o.back || o.turn() > e.settled) {
			free--
		}
	}
	return min(joining, max(free, 0))
}

// isRefusedByBound reports whether e is a handler's and was refused without a
// wait.
func (l *ledger) isRefusedByBound(e *entry) bool {
	plan := l.plan.queues[e.queue]
	if !e.from.handler() || !errors.Is(e.err, eventbus.ErrQueueFull) || isOutcome(e.err) || !plan.waits(e.publication) {
		return false
	}
	if e.size > plan.Capacity && !law {
		return false
	}
	timeout := plan.ruleOf(e.publication).timeout
	return timeout == 0 || l.inBubble && e.settledAt.Sub(e.at) < timeout
}

// mostHeld returns how many other events the queue of e may have held, deferred
// ones included, while e was published. It counts to enough, from the last one on:
// those are the likeliest.
func (l *ledger) mostHeld(e *entry, enough int) (n int) {
	end, _ := slices.BinarySearchFunc(l.entries, e.settled, func(o *entry, at int64) int { return cmp.Compare(o.began, at) })
	for _, o := range slices.Backward(l.entries[:end]) {
		if n == enough {
			break
		}
		if o == e || o.queue != e.queue || o.acceptance(l.plan.queues[e.queue]) == refused {
			continue
		}
		if gone := o.turn(); gone != 0 && gone < e.began {
			continue
		}
		single := o.way != byWait && o.way != byBatch
		if l.inBubble && single && o.settledAt.After(e.settledAt) { // it was in line, and not accepted
			continue
		}
		n++
	}
	return n
}
