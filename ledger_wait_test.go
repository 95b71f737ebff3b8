package eventbus_test

import (
	"errors"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// verifyWaits sees to it that PublishWait returned when all handlers were done,
// with the failures of each of them and no other.
func (l *ledger) verifyWaits() {
	for _, e := range l.entries {
		if e.way != byWait || !(e.err == nil || isOutcome(e.err)) {
			continue
		}
		told := namesIn(e.err)
		if !slices.Equal(told, e.failures) {
			l.violated("PublishWait told of failures of %q; those of %v were %q", told, e, e.failures)
		}
		if slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return c.ended == 0 || c.ended > e.settled }) {
			l.violated("PublishWait returned before the handlers of %v were done", e)
		}
		if len(e.calls) == 0 && e.expired == 0 && l.plan.ear {
			l.violated("PublishWait returned, and %v was not handled", e)
		}
	}
}

// namesIn returns the names of the handlers whose failures are joined in err.
func namesIn(err error) (names []string) {
	var h *eventbus.HandlerError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if errors.As(err, &h) {
				names = append(names, h.Handler)
			}
		}
	}
	return names
}

// verifyFlushes sees to it that a Flush that succeeded came after all that had
// been accepted before it.
func (l *ledger) verifyFlushes() {
	for _, f := range l.flushes {
		for _, e := range l.entries {
			if !e.accepted(l.plan.queues[e.queue], e.back) || e.settled > f.began {
				continue
			}
			if e.back || e.expired > f.ended || slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return c.ended > f.ended }) {
				l.violated("Flush returned nil before %v was done", e)
			}
		}
	}
}

// verifyDrain sees to it that a Shutdown that returned nil refused nothing that
// handlers published.
func (l *ledger) verifyDrain() {
	if l.gaveUp() {
		return
	}
	for _, e := range l.entries {
		if e.from == inside && errors.Is(e.err, eventbus.ErrClosed) {
			l.violated("while the bus drained, %v was refused", e)
		}
	}
}

// gaveUp reports whether a Shutdown may have kept handlers from being called,
// and has said so.
func (l *ledger) gaveUp() bool {
	return slices.ContainsFunc(l.shutdowns, func(c *shutdownCall) bool { return c.err != nil })
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
	causes := []error{nil, eventbus.ErrNotRunning, eventbus.ErrPaused}
	if !slices.ContainsFunc(append(causes, contextErrors...), func(cause error) bool { return errors.Is(first.err, cause) }) {
		l.violated("Shutdown returned %v", first.err)
	}
	for _, q := range everyQueue {
		l.verifyEnd(q, first)
	}
	for _, c := range l.strays {
		if first.err == nil && c.ended > first.ended {
			l.violated("a call of %s ran after Shutdown had returned nil", c.by.name)
		}
	}
}

// verifyEnd sees to it that no handler of q was called after the Shutdown that
// returned first, but for one that it has named.
func (l *ledger) verifyEnd(q eventbus.Queue, first *shutdownCall) {
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
