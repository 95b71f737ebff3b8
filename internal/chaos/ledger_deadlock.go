package chaos

import (
	"errors"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A node is a processor: that of a queue, or of all queues of a bus.
type node struct {
	bus   int
	queue eventbus.Queue
}

// nodeOf returns the processor of q. RunUntilIdle drives all those of its bus.
func (l *ledger) nodeOf(q eventbus.Queue) node {
	if l.plan.mode != live || l.m.subjects[l.index].driven.Load() {
		q = 0
	}
	return node{l.index, q}
}

// verifyDeadlocks sees to it that PublishWait was refused with ErrWouldDeadlock
// only where it would have closed a cycle of handlers that wait, or where another
// publish waited with the context of the same handler.
func (l *ledger) verifyDeadlocks() {
	for _, e := range l.entries {
		if !e.from.handler() || !errors.Is(e.err, eventbus.ErrWouldDeadlock) || isOutcome(e.err) {
			continue
		}
		if !l.m.leads(e, l.nodeOf(e.queue), make(map[node]bool)) && !l.m.waitsToo(e) {
			l.violated("%v: no handler waited that would have made it a cycle", e)
		}
	}
}

// mayBeAt reports whether c may be a call of n's, or a part of one: so are the handlers of
// a bus that is stepped inside a handler. Which processor of a bus tells what a logger was
// not told before, nobody knows.
func (c *handlerCall) mayBeAt(n node) bool {
	for ; c != nil; c = c.outer {
		if c.entry == nil && c.home.index == n.bus || c.entry != nil && c.home.nodeOf(c.entry.queue) == n {
			return true
		}
	}
	return false
}

// waitsToo reports whether another publish may have waited, when e began, on behalf of a
// processor that e is published on behalf of.
func (m *machine) waitsToo(e *entry) bool {
	for _, b := range m.subjects {
		for q := range b.queues {
			if n := b.nodeOf(eventbus.Queue(q)); e.by.mayBeAt(n) && len(m.edges(n, e)) > 0 {
				return true
			}
		}
	}
	return false
}

// leads reports whether handlers that waited while e was published led from one
// processor to that of e.
func (m *machine) leads(e *entry, from node, seen map[node]bool) bool {
	if e.by.mayBeAt(from) {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(m.edges(from, e), func(to node) bool { return m.leads(e, to, seen) })
}

// edges returns where handlers of n waited while e was published.
func (m *machine) edges(n node, e *entry) (to []node) {
	for _, b := range m.subjects {
		for _, o := range b.entries {
			if m.hasEdge(o, n, e) {
				to = append(to, b.nodeOf(o.queue))
			}
		}
	}
	return to
}

// hasEdge reports whether o may have waited on behalf of n while e was published. Law: an
// edge of the graph counts only while its processor is at the event at which the wait
// began. A goroutine that begins to wait with a returned handler's context during a later
// call is taken for that call; where there is no later call, it is taken for none.
func (m *machine) hasEdge(o *entry, n node, e *entry) bool {
	switch {
	case o == e, !o.from.handler() && o.from != either:
		return false
	case o.by == nil && o.from != either, o.by != nil && !o.by.mayBeAt(n):
		return false
	}
	overlaps := o.began < e.settled && (o.settled == 0 || o.settled > e.began)
	b := m.subjects[n.bus]
	return overlaps && !o.by.isLeftBehind(n, o.at, e.at) && !(o.later && b.isIdle(n, o.at))
}

// isLeftBehind reports whether what made c, at n, has begun an event after one time and
// before another one. In a bubble a publish has begun to wait, or was refused, at the time of
// its call. Of a bus that is stepped and also runs, a node stands for several processors.
func (c *handlerCall) isLeftBehind(n node, from, to time.Time) bool {
	left := false
	for ; c != nil; c = c.outer {
		switch {
		case c.home.index != n.bus:
		case c.entry == nil:
			return false // nobody knows which processor it was
		case c.home.nodeOf(c.entry.queue) == n:
			if left = c.home.beginsBetween(c.entry.queue, from, to); !left {
				return false
			}
		}
	}
	return left
}

// beginsBetween reports whether the processor of q begins an event after one time and before
// another one, for certain.
func (b *subject) beginsBetween(q eventbus.Queue, from, to time.Time) bool {
	begun := b.queues[q].begun
	if b.plan.mode == single {
		begun = b.begunBy(b.nodeOf(q))
	}
	return b.inBubble && slices.ContainsFunc(begun, func(e *entry) bool {
		return e.turnAt.After(from) && e.turnAt.Before(to)
	})
}

// isIdle reports whether n was at no event at a time for certain: an ear hears each event,
// and no logger holds the processor up. While RunUntilIdle drives a processor, that counts as
// busy between two events, too.
func (b *subject) isIdle(n node, at time.Time) bool {
	return b.isExact() && b.plan.ear && !b.driven.Load() && !slices.ContainsFunc(b.begunBy(n), func(e *entry) bool {
		lasts := e.turnAt.Equal(at) // so does an event that has expired
		for i, c := range slices.Concat(e.calls, e.replays) {
			from := c.beganAt
			if i > 0 && i < len(e.calls) {
				from = e.turnAt
			}
			lasts = lasts || !from.After(at) && (c.endedAt.IsZero() || !c.endedAt.Before(at))
		}
		return lasts
	})
}

// begunBy returns the events that n has begun.
func (b *subject) begunBy(n node) (begun []*entry) {
	for q := range b.queues {
		if b.nodeOf(eventbus.Queue(q)) == n {
			begun = append(begun, b.queues[q].begun...)
		}
	}
	return begun
}
