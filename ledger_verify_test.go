package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// verifyFate sees to it that e has exactly one.
func (l *ledger) verifyFate(e *entry, back bool, n *outcomes, rule eventbus.Overflow, subscribers []*subscriber) {
	handled := len(e.calls) > 0
	switch {
	case e.settled == 0:
		l.violated("a publish to the %v queue has not returned", e.queue)
	case e.err != nil && (handled || back):
		l.violated("an event that was refused with %q was handled (%v) or handed back (%v)", e.err, handled, back)
	case errors.Is(e.err, eventbus.ErrDropped):
		n.dropped++
	case e.err != nil:
		n.rejected++
	case handled && back:
		l.violated("an event of the %v queue was handled and handed back", e.queue)
	default:
		n.accepted++
	}
	if e.err != nil {
		return
	}
	switch {
	case handled:
		n.handled++
	case back:
		n.back++
	default:
		n.vanished++ // evicted, or nobody was subscribed
		if !slices.ContainsFunc(subscribers, func(s *subscriber) bool { return s.stayedFor(e) }) {
			return
		}
		n.missed++
		if rule != eventbus.DropOldest {
			l.violated("event %d of source %d on the %v queue was accepted and is lost", e.number, e.source, e.queue)
		}
	}
}

func (l *ledger) verifyAccounts(q eventbus.QueueStats, n outcomes) {
	own := &l.queues[q.Queue]
	expect(l, n.accepted, q.Accepted, "%v queue: Accepted", q.Queue)
	expect(l, n.dropped, q.Dropped, "%v queue: Dropped", q.Queue)
	expect(l, n.rejected, q.Rejected, "%v queue: Rejected", q.Queue)
	expect(l, n.handled+q.Unhandled, q.Handled, "%v queue: Handled, %d of them Unhandled", q.Queue, q.Unhandled)
	expect(l, n.vanished, q.Evicted+q.Unhandled, "%v queue: Evicted + Unhandled", q.Queue)
	expect(l, int(n.back), q.Depth, "%v queue: Depth", q.Queue)
	expect(l, 0, q.Deferred, "%v queue: Deferred", q.Queue)
	expect(l, q.Accepted, q.Handled+q.Evicted+uint64(q.Depth), "%v queue: Handled + Evicted + Depth", q.Queue)
	expect(l, uint64(own.failures.Load()), q.Failed, "%v queue: Failed", q.Queue)
	expect(l, uint64(own.panics.Load()), q.Panicked, "%v queue: Panicked", q.Queue)
	expect(l, own.failures.Load(), own.reports.Load(), "%v queue: reports to the error handler", q.Queue)
	if n.missed > q.Evicted {
		l.violated("%v queue: %d events with a handler were not handled, but Evicted is %d", q.Queue, n.missed, q.Evicted)
	}
	if q.HighWater > q.Capacity || q.Evicted > 0 && q.Overflow != eventbus.DropOldest || q.Unhandled > q.Handled {
		l.violated("%+v", q)
	}
}

// verifyOrder sees to it that what a source has published comes in that order,
// and that no event comes before one that was there first: what was handled,
// and then what was handed back.
func (l *ledger) verifyOrder(q eventbus.Queue, back []eventbus.Event) {
	last := make(map[int]int)
	all := slices.Clone(l.queues[q].handled)
	for _, event := range back {
		all = append(all, event.Data.(*entry))
	}
	l.verifyTurns(q, all)
	for _, e := range all {
		if before, seen := last[e.source]; seen && e.number <= before {
			l.violated("source %d, %v queue: event %d comes after %d", e.source, q, e.number, before)
		}
		last[e.source] = e.number
	}
}

// verifyTurns sees to it that events come in turn, whoever publishes them. One
// whose publish had returned before that of another began comes first: it was in
// the queue or deferred by then. So does, in a bubble, one whose publish began
// at an earlier time than that of another from outside. Time passes there when
// all goroutines are blocked, so by then the first was accepted or in line.
func (l *ledger) verifyTurns(q eventbus.Queue, all []*entry) {
	if len(all) == 0 {
		return
	}
	settled, called := all[len(all)-1], all[len(all)-1] // the first of those after e
	for _, e := range slices.Backward(all) {
		if settled.settled < e.began {
			l.violated("%v queue: event %d of source %d comes before event %d of source %d, which had been accepted when it was published",
				q, e.number, e.source, settled.number, settled.source)
		}
		if l.inBubble && e.outside && called.at.Before(e.at) {
			l.violated("%v queue: event %d of source %d comes before event %d of source %d, which was in line when it was published",
				q, e.number, e.source, called.number, called.source)
		}
		if e.settled < settled.settled {
			settled = e
		}
		if e.at.Before(called.at) {
			called = e
		}
	}
}

// verifySubscribers compares the counts of the handlers that are still subscribed.
func (l *ledger) verifySubscribers(stats []eventbus.HandlerStats, subscribers []*subscriber) {
	named := make(map[string]eventbus.HandlerStats)
	for _, h := range stats {
		named[h.Name] = h
	}
	for _, s := range subscribers {
		if s.gone.Load() != 0 {
			continue
		}
		expect(l, eventbus.HandlerStats{
			Name: s.name, Type: topic(s.topic), Calls: uint64(s.calls.Load()),
			Failed: uint64(s.failures.Load()), Panicked: uint64(s.panics.Load()),
		}, named[s.name], "handler")
		delete(named, s.name)
	}
	expect(l, 0, len(named), "handlers in Stats that are not subscribed")
}

// verifyCalls sees to it that each event got to all who were subscribed, in
// their order. Shutdown may cut that short for one event.
func (l *ledger) verifyCalls(q eventbus.Queue, subscribers []*subscriber) {
	cut := 0
	for _, e := range l.queues[q].handled {
		if l.isCut(e, subscribers) {
			cut++
		}
	}
	if cut > 1 || cut > 0 && !l.gaveUp() {
		l.violated("%v queue: the handlers of %d events were not all called", q, cut)
	}
}

func (l *ledger) isCut(e *entry, subscribers []*subscriber) (cut bool) {
	for i, c := range e.calls[1:] {
		if c.by.order <= e.calls[i].by.order {
			l.violated("%s is called after %s", c.by.name, e.calls[i].by.name)
		}
	}
	begun := e.calls[0].began
	lastCalled := e.calls[len(e.calls)-1].by.order
	for _, s := range subscribers {
		left := s.left.Load()
		due := s.topic == e.topic && s.subscribed < e.began && (left == 0 || begun < left)
		if !due || slices.ContainsFunc(e.calls, func(c handlerCall) bool { return c.by == s }) {
			continue
		}
		cut = true
		if s.order < lastCalled {
			l.violated("%s was passed over", s.name)
		}
	}
	return cut
}

// gaveUp reports whether a Shutdown may have kept handlers from being called,
// and has said so.
func (l *ledger) gaveUp() bool {
	return slices.ContainsFunc(l.shutdowns, func(c *shutdownCall) bool { return c.err != nil })
}

// verifyFlushes sees to it that a Flush that succeeded came after all that had
// been accepted before it.
func (l *ledger) verifyFlushes(remaining map[*entry]bool) {
	for _, f := range l.flushes {
		for _, e := range l.entries {
			if e.err != nil || e.settled > f.began {
				continue
			}
			if remaining[e] || slices.ContainsFunc(e.calls, func(c handlerCall) bool { return c.ended > f.ended }) {
				l.violated("Flush returned nil before event %d of source %d on the %v queue was done", e.number, e.source, e.queue)
			}
		}
	}
}

// verifyResult sees to it that the calls of Shutdown agree, and that what they
// say is true: nothing has run since but what they have named.
func (l *ledger) verifyResult() {
	first := l.shutdowns[0]
	for _, c := range l.shutdowns[1:] {
		if c.err != first.err {
			l.violated("Shutdown returned %v and then %v", first.err, c.err)
		}
		if c.ended < first.ended {
			first = c
		}
	}
	err := first.err
	if err != nil && !errors.Is(err, eventbus.ErrNotRunning) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		l.violated("Shutdown returned %v", err)
	}
	for _, q := range everyQueue {
		late := 0
		for _, e := range l.queues[q].handled {
			for _, c := range e.calls {
				if c.ended > first.ended && err == nil {
					l.violated("a handler of the %v queue ran after Shutdown had returned nil", q)
				}
				if c.began > first.ended {
					late++
				}
			}
		}
		if late > 1 || late > 0 && !strings.Contains(fmt.Sprint(err), fmt.Sprintf("of the %v queue", q)) {
			l.violated("%d handlers of the %v queue were called after Shutdown had returned %v", late, q, err)
		}
	}
}

// permitted reports whether a publish may have ended with err, and how long it
// may have taken; negative is any time.
func permitted(c eventbus.QueueConfig, p publication, inHandler, closing bool, err error) (ok bool, within time.Duration) {
	waits := !p.try && (c.Overflow == eventbus.Block || c.Overflow == eventbus.DropNewest && c.Timeout > 0)
	switch {
	case !waits:
		within = 0
	case p.limit != 0 && (c.Timeout == 0 || p.limit < c.Timeout):
		within = max(p.limit, 0)
	case c.Timeout > 0:
		within = c.Timeout
	default:
		within = -1
	}
	switch {
	case err == nil:
		ok = true
	case errors.Is(err, eventbus.ErrClosed):
		ok = closing
	case errors.Is(err, eventbus.ErrDropped):
		ok = !p.try && c.Overflow == eventbus.DropNewest
	case errors.Is(err, eventbus.ErrQueueFull):
		ok = p.try || waits && inHandler || c.Overflow == eventbus.Block && c.Timeout > 0
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		ok = waits && (p.limit != 0 || inHandler)
	}
	return ok, within
}
