package chaos

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// verifyPasses sees to it that no handler that waits is overtaken by more
// publishes of handlers than its queue has slots. Deferred events and waiting
// handlers stand in one list, in the order in which they came. Only a handler on
// a cycle moves up in it, past others that wait, and past each of them at most
// capacity times. That nothing overtakes a deferred event, which is accepted, is
// what verifyTurns sees to.
func (l *ledger) verifyPasses(q eventbus.Queue, all []*entry) {
	plan := l.plan.queues[q]
	if !l.isExact() || plan.keys || plan.evicts() {
		return
	}
	var earlier []time.Time // when the publishes of handlers before began, a batch once
	var last *entry
	for _, e := range all {
		if !e.from.handler() {
			continue
		}
		passes := 0
		for _, at := range earlier {
			if at.After(e.at) {
				passes++
			}
		}
		if passes > plan.Capacity+e.size { // while a batch gets in, others may come between its events
			l.violated("%v: %d later publishes of handlers got ahead of it, at capacity %d", e, passes, plan.Capacity)
			return
		}
		if e.batch == nil || last == nil || e.batch != last.batch {
			earlier = append(earlier, e.at)
		}
		last = e
	}
}
