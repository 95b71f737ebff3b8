package chaos

import (
	"errors"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// An interrupted event is one whose first handlers were called, and the others
// not, because Shutdown had given up.
type interrupted struct {
	event    eventbus.Event
	queue    eventbus.Queue
	handlers []string // that were not called
}

// gaveUp reports whether a Shutdown may have kept handlers from being called,
// and has said so.
func (l *ledger) gaveUp() bool {
	return slices.ContainsFunc(l.shutdowns, func(c *shutdownCall) bool { return c.err != nil })
}

// firstShutdown returns the call of Shutdown that returned first.
func (l *ledger) firstShutdown() *shutdownCall {
	return slices.MinFunc(l.shutdowns, func(a, b *shutdownCall) int { return int(a.ended - b.ended) })
}

// verifyResult sees to it that the calls of Shutdown agree, and returns what it
// has left undone, nil if nothing. One caller gets that, and no other one.
func (l *ledger) verifyResult() (result *eventbus.ShutdownError) {
	given := 0
	for _, c := range l.shutdowns {
		if (c.err == nil) != (l.shutdowns[0].err == nil) {
			l.violated("Shutdown returned %v and then %v", l.shutdowns[0].err, c.err)
		}
		if c.err == nil {
			continue
		}
		var s *eventbus.ShutdownError
		if !errors.As(c.err, &s) || !isCause(s) {
			l.violated("Shutdown returned %v", c.err)
			continue
		}
		if !handedOver(s) && s != result {
			given, result = given+1, s
		} else if handedOver(s) && (len(s.Remaining) > 0 || len(interruptedIn(s)) > 0) {
			l.violated("Shutdown handed events over, and again: %v", s.Remaining)
		}
	}
	if given != int(count(l.gaveUp())) {
		l.violated("%d calls of Shutdown were handed what is left", given)
	}
	return result
}

// isCause reports whether s says a cause that Shutdown may have.
func isCause(s *eventbus.ShutdownError) bool {
	return isContextError(s) || errors.Is(s, eventbus.ErrNotRunning) || errors.Is(s, eventbus.ErrPaused)
}

// verifyShutdown sees to it that what Shutdown said is true: nothing has run
// since but what it has named, and it tells of all that it refused or cut.
func (l *ledger) verifyShutdown(result *eventbus.ShutdownError, subscribers []*subscriber) {
	first := l.firstShutdown()
	for _, q := range bustest.EveryQueue {
		l.verifyNothingSince(q, first)
	}
	for _, c := range l.strays {
		if first.err == nil && c.ended > first.ended {
			l.violated("a call of %s ran after Shutdown had returned nil", c.by.name)
		}
	}
	l.verifyRefused(result, first)
	if lawful && result != nil {
		l.verifyInterrupted(interruptedIn(result), subscribers)
	}
}

// verifyNothingSince sees to it that no handler of q was called after the
// Shutdown that returned first, but for one that it has named.
func (l *ledger) verifyNothingSince(q eventbus.Queue, first *shutdownCall) {
	late := 0
	for _, e := range l.queues[q].begun {
		for _, c := range slices.Concat(e.calls, e.replays) {
			if c.ended > first.ended && first.err == nil {
				l.violated("a handler of the %v queue ran after Shutdown had returned nil", q)
			}
			if c.began > first.ended {
				late++
			}
		}
	}
	if late > 1 || late > 0 && !strings.Contains(first.err.Error(), "of the "+q.String()+" queue") {
		l.violated("%d handlers of the %v queue were called after Shutdown had returned %v", late, q, first.err)
	}
}

// verifyRefused compares what handlers of the bus were refused while it shut
// down with what Shutdown says.
func (l *ledger) verifyRefused(result *eventbus.ShutdownError, first *shutdownCall) {
	var refused bounds
	var example *entry
	told := uint64(0) // of refused.low, those that Shutdown must have counted; at the moment of its return there may be one more
	for _, e := range l.entries {
		stopped := first != nil && e.way == byWait && (errors.Is(e.err, eventbus.ErrNotRunning) || errors.Is(e.err, eventbus.ErrPaused))
		if !errors.Is(e.err, eventbus.ErrClosed) && !stopped || isOutcome(e.err) || e.from == outside || e.began > first.ended {
			continue
		}
		refused.high++
		if !stopped && e.from == inside && (e.batch == nil || e.batch == e) && l.isRefusedBefore(e, first) {
			refused.low++
			told += count(l.inBubble && !l.goesOn.Load() && e.settledAt.Before(first.endedAt))
			example = e
		}
	}
	switch {
	case result == nil && refused.low > 0:
		l.violated("Shutdown returned nil, and %v was refused before", example)
	case lawful && result != nil:
		expectBetween(l, told, refused.high, uint64(refusedIn(result)), "Refused")
	}
}

// isRefusedBefore reports whether e was refused for certain before the shutdown, which call
// has returned, was complete. That waits for handlers. A logger tells at that very time that
// its processor stops, and nobody can tell whether what it publishes then is refused before
// or after it. The same is true of a goroutine that outlives its handler. If a handler has
// begun the shutdown, that may be complete long before somebody asks for the result.
func (l *ledger) isRefusedBefore(e *entry, call *shutdownCall) bool {
	if e.by.by == nil || e.later {
		return l.inBubble && !l.goesOn.Load() && e.settledAt.Before(call.endedAt)
	}
	return e.settled < call.ended
}

// verifyInterrupted compares the events that Shutdown says it has cut with those
// whose handlers were not all called.
func (l *ledger) verifyInterrupted(list []interrupted, subscribers []*subscriber) {
	told := make(map[*entry][]string)
	for _, i := range list {
		e := i.event.Data.(*entry)
		if told[e] = i.handlers; e.queue != i.queue || len(e.calls) == 0 || len(i.handlers) == 0 {
			l.violated("Interrupted names %v of the %v queue, without %q", e, i.queue, i.handlers)
		}
		for _, c := range e.calls {
			if slices.Contains(i.handlers, c.by.name) {
				l.violated("Interrupted says that %s was not called with %v", c.by.name, e)
			}
		}
	}
	for _, q := range bustest.EveryQueue {
		for _, e := range l.queues[q].begun {
			for _, s := range l.notCalled(e, subscribers) {
				if !slices.Contains(told[e], s.name) {
					l.violated("Interrupted does not say that %s was not called with %v", s.name, e)
				}
			}
		}
	}
}
