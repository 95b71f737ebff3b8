package chaos

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
	withdrawn                        uint64 // by PublishWait, or rejected
	handled, expired, back, vanished uint64 // of the accepted ones

	evicted, conflated, unheard bounds
}

type bounds struct{ low, high uint64 }

// settleFate sees to it that e has exactly one, and reports whether it has
// vanished.
func (l *ledger) settleFate(e *entry, n *outcomes, subscribers []*subscriber) (vanished bool) {
	handled, expired := len(e.calls) > 0, e.expired != 0
	told := e.acceptance(l.plan.queues[e.queue])
	switch {
	case e.settled == 0:
		l.violated("%v: the publish has not returned", e)
	case e.neverHandled() && (handled || e.back && law):
		l.violated("%v: it says that no handler is called; it was handled (%v) or handed back (%v)", e, handled, e.back)
	case told != accepted && (handled || expired || e.back):
		l.violated("%v: it was refused, and handled (%v), expired (%v) or handed back (%v)", e, handled, expired, e.back)
	case handled && (expired || e.back) || expired && e.back:
		l.violated("%v: it was handled (%v), expired (%v) and handed back (%v)", e, handled, expired, e.back)
	}
	if told != accepted {
		n.refuse(e, told)
		return false
	}
	n.accepted++
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

// refuse counts e, which was not accepted or was withdrawn.
func (n *outcomes) refuse(e *entry, told acceptance) {
	switch {
	case told == isWithdrawn:
		n.withdrawn++
	case errors.Is(e.err, eventbus.ErrDropped):
		n.dropped++
	default:
		n.rejected++
	}
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
			{plan.evicts(), &n.evicted, true},
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
func (l *ledger) verifyAccounts(q eventbus.QueueStats, n outcomes, joined bounds) {
	own, plan := &l.queues[q.Queue], l.plan.queues[q.Queue]
	open := count(own.pending != nil) // its handler has ended RunUntilIdle, and nobody went on
	extra, back := q.Accepted-n.accepted, withdrawn(q)
	expectBetween(l, joined.low, joined.high+n.withdrawn, extra, "%v queue: Accepted, beyond what was published,", q.Queue)
	expectBetween(l, 0, n.withdrawn+joined.high-joined.low, back, "%v queue: Withdrawn", q.Queue)
	expect(l, n.dropped, q.Dropped, "%v queue: Dropped", q.Queue)
	expectBetween(l, n.rejected+n.withdrawn-min(back, n.withdrawn), n.rejected+n.withdrawn, q.Rejected, "%v queue: Rejected", q.Queue)
	expect(l, n.expired, q.Expired, "%v queue: Expired", q.Queue)
	expect(l, n.handled+n.vanished+extra-open, q.Handled+q.Evicted+q.Conflated+back, "%v queue: Handled + Evicted + Conflated + Withdrawn", q.Queue)
	expect(l, int(n.back), q.Depth, "%v queue: Depth", q.Queue)
	expect(l, 0, q.Deferred, "%v queue: Deferred", q.Queue)
	expect(l, q.Accepted, q.Handled+q.Evicted+q.Conflated+q.Expired+back+uint64(q.Depth)+open, "%v queue: the sum of all fates", q.Queue)
	if plan.evicts() {
		n.evicted.high += joined.high
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
// have arrived, of each queue: those that Stats lists have, and others may have
// left on their way, or after it. They are counted like events.
func joinedIn(stats eventbus.Stats, subscribers []*subscriber) (joined [3]bounds) {
	present := make(map[string]bool)
	for _, h := range stats.Handlers {
		present[h.Name] = true
	}
	for _, s := range subscribers {
		if s.home >= 0 {
			joined[s.home].high++
			joined[s.home].low += count(present[s.name])
		}
	}
	return joined
}
