package chaos

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// judge sees to it that the publish of e may have ended with err, and that it
// took no longer than it may and, if it was refused for that, no less.
func (b *subject) judge(e *entry, err error) {
	took := time.Since(e.at)
	if e.closed && e.from == outside && !errors.Is(err, eventbus.ErrClosed) && !e.isInvalid(b.plan) {
		b.violated("%v: it began after Shutdown had begun", e)
	}
	if !b.permitted(e, err) {
		b.violated("%v: %v is not permitted", e, err)
	}
	if !b.isExact() {
		return
	}
	// The end of a session's context ends no wait of its handlers, and it may be what
	// ends the context of a handler's publish.
	mayOutlast := e.from != outside && e.context != brokenContext &&
		(b.m.plan.features.has(meddling|restarts) || b.m.hidesDeadline(e.at.Add(e.publication.limit)))
	if limit := b.longest(e.publication); limit >= 0 && took > limit && !mayOutlast {
		b.violated("%v: it took %v", e, took)
	}
	if took < b.shortest(e, err) {
		b.violated("%v: it was refused after %v with %v", e, took, err)
	}
}

// longest returns how long a publish may take; negative is any time.
func (b *subject) longest(p publication) time.Duration {
	plan := b.plan.queues[p.queue]
	timeout := b.m.scaled(plan.ruleOf(p).timeout)
	if !law { // if it conflates, the events of a batch wait one by one
		timeout *= time.Duration(max(p.size, 1))
	}
	limit := max(p.limit, 0)
	if p.context == brokenContext {
		limit = 0
	}
	switch bounded := p.limit != 0 || p.context == brokenContext; {
	case plan.forbids(p):
		return 0
	case p.way == byWait && !bounded:
		return -1
	case p.way == byWait:
		return limit
	case !plan.waits(p):
		return 0
	case bounded && (timeout == 0 || limit < timeout):
		return limit
	case timeout > 0:
		return timeout
	}
	return -1
}

// shortest returns how long a publish from outside waits before it is refused
// with err. On a bus that is stepped it does not wait.
func (b *subject) shortest(e *entry, err error) time.Duration {
	plan := b.plan.queues[e.queue]
	byRule := errors.Is(err, eventbus.ErrQueueFull) || errors.Is(err, eventbus.ErrDropped) && e.way != byWait
	switch {
	case e.from != outside || b.stepping.Load() || isOutcome(err):
		return 0
	case byRule && plan.waits(e.publication) && !(e.size > plan.Capacity && !law):
		return b.m.scaled(plan.ruleOf(e.publication).timeout)
	case isContextError(err) && !e.bounded:
		return max(e.limit, 0)
	}
	return 0
}

// isInvalid reports whether e must be refused whatever the queue's state.
func (e *entry) isInvalid(p *busPlan) bool {
	q := p.queues[e.queue]
	return e.isPoison(p) || q.forbids(e.publication)
}

// isPoison reports whether ConflateBy panics on e.
func (e *entry) isPoison(p *busPlan) bool { return e.key < 0 && p.queues[e.queue].keys }

// permitted reports whether the publish of e may have ended with err.
func (b *subject) permitted(e *entry, err error) bool {
	waited := e.way == byWait
	switch {
	case e.from == abandoned && law && !e.isInvalid(b.plan):
		return errors.Is(err, eventbus.ErrHandlerTimeout)
	case e.isInvalid(b.plan):
		return errors.Is(err, eventbus.ErrInvalidEvent) || b.permitsInstead(e, err)
	case err == nil:
		return !e.endedBefore()
	case isUnhandled(err):
		return waited
	case isOutcome(err), isCut(err):
		return waited
	case errors.Is(err, eventbus.ErrClosed):
		return b.closing.Load()
	case errors.Is(err, eventbus.ErrHandlerTimeout):
		return e.from == either && law
	case errors.Is(err, eventbus.ErrDropped), errors.Is(err, eventbus.ErrQueueFull):
		return b.permitsFull(e, err)
	case isContextError(err):
		return b.permitsContext(e)
	case errors.Is(err, eventbus.ErrNotRunning):
		return waited && (e.from != outside || b.stepping.Load())
	case errors.Is(err, eventbus.ErrPaused):
		return waited && e.from != outside && b.everPaused()
	case errors.Is(err, eventbus.ErrExpired):
		return waited && b.plan.queues[e.queue].MaxAge > 0
	case errors.Is(err, eventbus.ErrWouldDeadlock):
		return waited && e.from != outside
	}
	return e.context == brokenContext && isDone(err) && (waited || b.plan.queues[e.queue].waits(e.publication))
}

// isDone reports whether err is the bus's own error for a context that is done without one.
func isDone(err error) bool {
	return strings.Contains(err.Error(), "the context is done without an error")
}

// permitsInstead reports whether an invalid event may have been refused for
// something else.
func (b *subject) permitsInstead(e *entry, err error) bool {
	return errors.Is(err, eventbus.ErrHandlerTimeout) && (e.from == abandoned || e.from == either) ||
		!law && e.way == byWait && b.stepping.Load() && errors.Is(err, eventbus.ErrNotRunning)
}

// endedBefore reports whether the context of e had ended when its publish began,
// so that nothing from outside is accepted.
func (e *entry) endedBefore() bool {
	return law && e.from == outside && e.over && e.context != brokenContext
}

// permitsFull reports whether e may have been refused because its queue was
// full. The ledger sees later whether it was.
func (b *subject) permitsFull(e *entry, err error) bool {
	plan := b.plan.queues[e.queue]
	r, waited := plan.ruleOf(e.publication), e.way == byWait
	if errors.Is(err, eventbus.ErrDropped) {
		return waited || e.way != byTry && r.overflow == eventbus.DropNewest
	}
	return e.way == byTry || e.size > plan.Capacity && !law || r.overflow == eventbus.Block && r.timeout > 0 ||
		plan.waits(e.publication) && (e.from != outside || b.stepping.Load())
}

// permitsContext reports whether the context of e may have ended its publish. A
// handler's own context ends none.
func (b *subject) permitsContext(e *entry) bool {
	waits := b.plan.queues[e.queue].waits(e.publication) || e.way == byWait
	switch e.from {
	case outside:
		return e.bounded || e.limit != 0 && (waits || law && (e.limit < 0 || b.m.realTime))
	case inside:
		return waits && (e.limit != 0 || e.bounded || !law || b.closing.Load())
	case guest:
		return waits && (e.limit != 0 || e.bounded || !law || b.m.anyGaveUp())
	}
	return waits || law
}

var contextErrors = []error{context.Canceled, context.DeadlineExceeded}

func isContextError(err error) bool {
	return slices.ContainsFunc(contextErrors, func(c error) bool { return errors.Is(err, c) })
}

// isOutcome reports whether err is what handlers have returned to PublishWait.
func isOutcome(err error) bool {
	var h *eventbus.HandlerError
	return errors.As(err, &h) && h.Handler != "" // an event that has expired has none
}

// isCut reports whether err of PublishWait says which handlers were not called,
// after others had been.
func isCut(err error) bool {
	return err != nil && strings.Contains(err.Error(), "were not called, since Shutdown gave up")
}

// stays reports whether err of PublishWait says that the event is accepted and
// will be handled without anybody waiting for it.
func stays(err error) bool {
	return !errors.Is(err, eventbus.ErrNotRunning) && strings.Contains(err.Error(), "it is accepted")
}

// An acceptance says what the error of a publish tells about its event.
type acceptance uint8

const (
	refused     acceptance = iota // it was never in the queue
	accepted                      // it was
	isWithdrawn                   // it was not, or it was taken out before any handler was called
)

// acceptance returns what the error of e tells.
func (e *entry) acceptance(plan queuePlan) acceptance {
	switch err := e.err; {
	case err == nil:
		return accepted
	case e.way != byWait:
		return refused
	case isOutcome(err), isUnhandled(err), isCut(err), stays(err), errors.Is(err, eventbus.ErrExpired):
		return accepted
	case errors.Is(err, eventbus.ErrDropped) && plan.Overflow != eventbus.DropNewest:
		return accepted
	case !errors.Is(err, eventbus.ErrNotRunning) && !errors.Is(err, eventbus.ErrPaused) && !errors.Is(err, eventbus.ErrClosed):
		return refused
	case law:
		return isWithdrawn
	case e.back || len(e.calls) > 0 || strings.Contains(err.Error(), "it is accepted"):
		return accepted
	}
	return refused
}

// neverHandled reports whether the error of PublishWait says that no handler was
// or will be called.
func (e *entry) neverHandled() bool {
	return e.way == byWait && !isOutcome(e.err) && !isCut(e.err) && slices.ContainsFunc(neverHandled, func(err error) bool { return errors.Is(e.err, err) })
}

var neverHandled = []error{
	eventbus.ErrNotRunning, eventbus.ErrPaused, eventbus.ErrClosed, eventbus.ErrDropped, eventbus.ErrExpired,
}
