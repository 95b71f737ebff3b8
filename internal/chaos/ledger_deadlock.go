package chaos

import (
	"errors"

	"github.com/eventbus-go/eventbus"
)

// A node is a processor: that of a queue, or of all queues of a bus.
type node struct {
	bus   int
	queue eventbus.Queue
}

func (l *ledger) nodeOf(q eventbus.Queue) node {
	if l.plan.mode != live {
		q = 0
	}
	return node{l.index, q}
}

// verifyDeadlocks sees to it that PublishWait was refused with ErrWouldDeadlock
// only where it would have closed a cycle of handlers that wait.
func (l *ledger) verifyDeadlocks() {
	for _, b := range l.m.subjects {
		// The handlers of a bus that is stepped may be those of another one too. A
		// logger waits with a context that the ledger does not know.
		if b.stepping.Load() || b.plan.trouble.k > 0 {
			return
		}
	}
	for _, e := range l.entries {
		if !e.from.handler() || !errors.Is(e.err, eventbus.ErrWouldDeadlock) || isOutcome(e.err) {
			continue
		}
		if !l.m.leads(e, l.nodeOf(e.queue), nodeOfCall(e.by), make(map[node]bool)) {
			l.violated("%v: no handler waited that would have made it a cycle", e)
		}
	}
}

func nodeOfCall(c *handlerCall) node { return c.home.nodeOf(c.entry.queue) }

// leads reports whether handlers that waited while e was published led from one
// processor to another one.
func (m *machine) leads(e *entry, from, to node, seen map[node]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, b := range m.subjects {
		for _, o := range b.entries {
			overlaps := o != e && o.by != nil && o.began < e.settled && (o.settled == 0 || o.settled > e.began)
			if overlaps && nodeOfCall(o.by) == from && m.leads(e, b.nodeOf(o.queue), to, seen) {
				return true
			}
		}
	}
	return false
}
