package eventbus_test

import (
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// The outcomes of the publishes to a queue. What has vanished was evicted,
// conflated or, if there was no ear, handled without a handler. Where an event
// may have had more than one of these fates, the ledger knows their sum and
// between which bounds each of them is.
type outcomes struct {
	accepted, dropped, rejected      uint64
	handled, expired, back, vanished uint64 // of the accepted ones

	evicted, conflated, unheard bounds
}

type bounds struct{ low, high uint64 }

// settleFate sees to it that e has exactly one, and reports whether it has
// vanished.
func (l *ledger) settleFate(e *entry, n *outcomes, subscribers []*subscriber) (vanished bool) {
	handled, expired := len(e.calls) > 0, e.expired != 0
	accepted := e.accepted(l.plan.queues[e.queue], e.back)
	switch {
	case e.settled == 0:
		l.violated("a publish to the %v queue has not returned", e.queue)
	case !accepted && (handled || expired || e.back):
		l.violated("an event that was refused with %q was handled (%v), expired (%v) or handed back (%v)", e.err, handled, expired, e.back)
	case accepted:
		n.accepted++
	case errors.Is(e.err, eventbus.ErrDropped):
		n.dropped++
	default:
		n.rejected++
	}
	if handled && (expired || e.back) || expired && e.back {
		l.violated("an event of the %v queue was handled (%v), expired (%v) and handed back (%v)", e.queue, handled, expired, e.back)
	}
	if !accepted {
		return false
	}
	switch {
	case handled:
		n.handled++
		n.unheard.high += count(mayBeUnheard(e, subscribers))
		n.unheard.low += count(mustBeUnheard(e, subscribers))
	case expired:
		n.expired++
	case e.back:
		n.back++
	default:
		n.vanished++
		return true
	}
	return false
}

func count(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// mayBeUnheard reports whether there may have been nobody but taps to handle e.
func mayBeUnheard(e *entry, subscribers []*subscriber) bool {
	return !slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return !c.by.all }) &&
		!slices.ContainsFunc(subscribers, func(s *subscriber) bool {
			return !s.all && s.topic == e.topic && !s.gated() && s.subscribed < e.began && s.left.Load() == 0
		})
}

func mustBeUnheard(e *entry, subscribers []*subscriber) bool {
	return !slices.ContainsFunc(subscribers, func(s *subscriber) bool { return !s.all && s.topic == e.topic })
}

// countVanished counts what may have become of the events that have vanished
// from a queue.
func (l *ledger) countVanished(vanished []*entry, n *outcomes, subscribers []*subscriber) {
	for _, e := range vanished {
		plan := l.plan.queues[e.queue]
		fates := []struct {
			may    bool
			counts *bounds
			sure   bool // if it is the only one
		}{
			{plan.mayEvict(e.publication), &n.evicted, true},
			{plan.keys && e.key > 0, &n.conflated, true},
			{!l.plan.ear && mayBeUnheard(e, subscribers), &n.unheard, mustBeUnheard(e, subscribers)}, // or filters have turned it away
		}
		possible := 0
		for _, f := range fates {
			possible += int(count(f.may))
		}
		if possible == 0 {
			l.violated("%v was accepted and is lost", e)
		}
		for _, f := range fates {
			f.counts.high += count(f.may)
			f.counts.low += count(f.may && f.sure && possible == 1)
		}
	}
}

// verifyAccounts compares the counters of a queue. joined is how many
// subscriptions have travelled through it.
func (l *ledger) verifyAccounts(q eventbus.QueueStats, n outcomes, joined uint64) {
	own, plan := &l.queues[q.Queue], l.plan.queues[q.Queue]
	open := count(own.pending != nil) // its handler has ended RunUntilIdle, and nobody went on
	expect(l, n.accepted+joined, q.Accepted, "%v queue: Accepted", q.Queue)
	expect(l, n.dropped, q.Dropped, "%v queue: Dropped", q.Queue)
	expect(l, n.rejected, q.Rejected, "%v queue: Rejected", q.Queue)
	expect(l, n.expired, q.Expired, "%v queue: Expired", q.Queue)
	expect(l, n.handled+n.vanished+joined-open, q.Handled+q.Evicted+q.Conflated, "%v queue: Handled + Evicted + Conflated", q.Queue)
	expect(l, int(n.back), q.Depth, "%v queue: Depth", q.Queue)
	expect(l, 0, q.Deferred, "%v queue: Deferred", q.Queue)
	expect(l, q.Accepted, q.Handled+q.Evicted+q.Conflated+q.Expired+uint64(q.Depth)+open, "%v queue: the sum of all fates", q.Queue)
	if plan.evicts() {
		n.evicted.high += joined
	}
	expectBetween(l, n.evicted.low, n.evicted.high, q.Evicted, "%v queue: Evicted", q.Queue)
	expectBetween(l, n.conflated.low, n.conflated.high, q.Conflated, "%v queue: Conflated", q.Queue)
	expectBetween(l, n.unheard.low, n.unheard.high, q.Unhandled, "%v queue: Unhandled", q.Queue)
	expect(l, uint64(own.failures.Load())-open, q.Failed, "%v queue: Failed", q.Queue)
	expect(l, uint64(own.panics.Load()), q.Panicked, "%v queue: Panicked", q.Queue)
	expect(l, own.failures.Load()-int64(open)+int64(n.expired), own.reports.Load(), "%v queue: reports to the error handler", q.Queue)
	if q.HighWater > q.Capacity || q.Unhandled > q.Handled+open {
		l.violated("%+v", q)
	}
}

// joinedIn returns how many subscriptions that wanted the last event of a type
// have arrived, of each queue. They are counted like events.
func joinedIn(stats eventbus.Stats, subscribers []*subscriber) (joined [3]uint64) {
	present := make(map[string]bool)
	for _, h := range stats.Handlers {
		present[h.Name] = true
	}
	for _, s := range subscribers {
		if s.home >= 0 && present[s.name] {
			joined[s.home]++
		}
	}
	return joined
}
