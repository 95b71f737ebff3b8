package chaos

import (
	"fmt"
	"slices"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// dueFor reports whether s must have been called with e, whose first handler
// was called.
func (l *ledger) dueFor(s *subscriber, e *entry) bool {
	begun := e.calls[0].began
	if left := s.left.Load(); !s.takes(e) || left != 0 && begun >= left || s.disabled != 0 && begun > s.disabled {
		return false
	}
	if s.home >= 0 {
		return l.dueSinceLast(s, e)
	}
	if only := s.only.Load(); only != nil && only.entry != e { // of another queue, it may have come between
		f := only.entry
		if f.queue == e.queue && begun > only.began || f.queue != e.queue && l.passed(s, e) > f.decided(only) {
			return false
		}
	}
	return s.subscribed < e.began
}

// decided returns a time before the bus decided on the call c of e. What c.began
// says may be long after that.
func (e *entry) decided(c *handlerCall) int64 {
	if i := slices.Index(e.calls, c); i > 0 {
		return e.calls[i-1].began
	}
	return e.began
}

// passed returns a time after the bus decided not to call s with e: that of the
// next thing that was done to e, or to the event after it.
func (l *ledger) passed(s *subscriber, e *entry) int64 {
	for _, c := range e.calls {
		if c.by.order > s.order {
			return c.began
		}
	}
	begun := l.queues[e.queue].begun
	if i := slices.Index(begun, e) + 1; i < len(begun) {
		return begun[i].turn()
	}
	return l.now()
}

// dueSinceLast is dueFor for one that subscribed WithLast, and so begins when
// what stands for it has gone through its queue. Where events can be evicted, or
// take the place of others, that may be out of turn.
func (l *ledger) dueSinceLast(s *subscriber, e *entry) bool {
	arrived := s.arrived.Load()
	if int(e.queue) != s.home {
		return arrived != 0 && arrived < e.began
	}
	plan := l.plan.queues[e.queue]
	if arrived != 0 && arrived < e.after { // later, e may have had its handlers by then
		return true
	}
	return !s.barred && s.subscribed < e.began && !plan.keys && !plan.evicts()
}

// verifySubscribers compares the counts of the handlers that are still subscribed.
func (l *ledger) verifySubscribers(stats []eventbus.HandlerStats, subscribers []*subscriber) {
	named := make(map[string]eventbus.HandlerStats)
	for _, h := range stats {
		named[h.Name] = h
	}
	for _, s := range subscribers {
		got, present := named[s.name]
		if s.gone.Load() != 0 || s.only.Load() != nil || s.home >= 0 && !present && s.calls.Load() == 0 {
			continue
		}
		want := eventbus.HandlerStats{
			Name: s.name, Type: bustest.Topic(s.topic), Calls: uint64(s.calls.Load()),
			Failed: uint64(s.failures.Load()), Panicked: uint64(s.panics.Load()), Disabled: s.disabled != 0,
		}
		if s.all {
			want.Type = ""
		}
		got.ID = 0 // unique, which a test of its own holds
		expect(l, want, got, "handler")
		delete(named, s.name)
	}
	expect(l, 0, len(named), "handlers in Stats that are not subscribed")
}

// verifyCalls sees to it that each event got to all who were subscribed, in
// their order. Shutdown may cut that short for one event.
func (l *ledger) verifyCalls(q eventbus.Queue, subscribers []*subscriber) {
	var cut []string
	for _, e := range l.queues[q].begun {
		if missing := l.notCalled(e, subscribers); len(missing) > 0 {
			cut = append(cut, fmt.Sprintf("%v with %v", missing, e))
		}
	}
	if len(cut) > 1 || len(cut) > 0 && !l.gaveUp() {
		l.violated("%v queue: not called: %v", q, cut)
	}
}

// notCalled returns those who should have been called with e, and were not.
func (l *ledger) notCalled(e *entry, subscribers []*subscriber) (missing []*subscriber) {
	if len(e.calls) == 0 {
		return nil
	}
	for i, c := range e.calls[1:] {
		if c.by.order <= e.calls[i].by.order {
			l.violated("%s is called after %s", c.by.name, e.calls[i].by.name)
		}
	}
	last := e.calls[len(e.calls)-1].by.order
	for _, s := range subscribers {
		if !l.dueFor(s, e) || slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return c.by == s }) {
			continue
		}
		missing = append(missing, s)
		if s.order < last {
			l.violated("%s was passed over", s.name)
		}
	}
	return missing
}
