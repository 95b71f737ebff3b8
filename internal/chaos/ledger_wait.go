package chaos

import (
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// verifyWaits sees to it that PublishWait returned when all handlers were done,
// with the failures of each of them and no other.
func (l *ledger) verifyWaits() {
	for _, e := range l.entries {
		if e.way != byWait || !(e.err == nil || isOutcome(e.err) || isUnhandled(e.err)) {
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
		heard := slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return !c.by.all })
		if lawful && !isOutcome(e.err) && heard == isUnhandled(e.err) {
			l.violated("%v: a handler that is no tap was called: %v", e, heard)
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
			if e.settled > f.began || e.acceptance(l.plan.queues[e.queue]) != accepted {
				continue
			}
			if e.back || e.expired > f.ended || slices.ContainsFunc(e.calls, func(c *handlerCall) bool { return c.ended > f.ended }) {
				l.violated("Flush returned nil before %v was done", e)
			}
		}
	}
}
