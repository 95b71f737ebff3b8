package chaos

import (
	"errors"

	"github.com/eventbus-go/eventbus"
)

// verifyBound sees to it that a handler is refused only where the bound of
// deferral allows that. A queue that refuses is full and has deferred as many
// events as its capacity, so it holds twice its capacity. A late joiner may have
// a slot in it, and counts for no bound.
func (l *ledger) verifyBound(q eventbus.Queue, subscribers []*subscriber) {
	capacity := l.plan.queues[q].Capacity
	for _, e := range l.entries {
		if e.queue != q || !l.isRefusedByBound(e) {
			continue
		}
		joining := 0
		for _, s := range subscribers {
			if arrived := s.arrived.Load(); s.home == int(q) && (arrived == 0 || arrived > e.began) {
				joining++
			}
		}
		held := l.mostHeld(e)
		if least := 2*capacity - min(joining, capacity); held < least {
			l.violated("%v: the queue held %d events at most; with %d late joiners it must accept %d", e, held, joining, least)
		}
	}
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
// ones included, while e was published.
func (l *ledger) mostHeld(e *entry) (n int) {
	for _, o := range l.entries {
		if o == e || o.queue != e.queue || o.began > e.settled || o.acceptance(l.plan.queues[e.queue]) == refused {
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
