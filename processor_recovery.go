package eventbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// A stage tells handleFailure whose failure it deals with.
type stage uint8

const (
	handling  stage = iota // a handler runs or, if none does, the processor's own code
	asking                 // the logger is asked for its level
	telling                // the logger gets a record about the event at hand
	recalling              // the logger gets a record about an earlier event
	reporting              // the logger or an error handler gets a handler's failure
	alarming               // the logger gets a failure of a logger or an error handler
)

// A failure is what a panic or runtime.Goexit left behind.
type failure struct {
	value  any
	exited bool // it was runtime.Goexit
	stack  []byte
}

// error returns the failure as the error of a handler.
func (f *failure) error() error {
	if f.exited {
		return errors.New("the handler ended its goroutine with runtime.Goexit")
	}
	if err, ok := f.value.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", f.value)
}

// protect runs f, which calls the logger or an error handler, in a stage of its
// own, so that handleFailure knows whose failure it is.
func (p *processor) protect(s stage, f func()) {
	p.turn.stage = s
	f()
	p.turn.stage = handling
}

// fail reports the error of a handler that returned.
func (p *processor) fail(s *Subscription, err error) {
	h := &HandlerError{Queue: p.turn.queue.id, Event: p.turn.entry.Event, Handler: s.name, Err: err}
	if c := caughtIn(err); c != nil {
		h.Panicked, h.Stack = !c.failure.exited, c.failure.stack
	}
	p.report(s, h)
}

// failureOf describes the failure f of s at the event at hand.
func (p *processor) failureOf(s *Subscription, f *failure) *HandlerError {
	return &HandlerError{
		Queue: p.turn.queue.id, Event: p.turn.entry.Event, Handler: s.name,
		Err: f.error(), Panicked: !f.exited, Stack: f.stack,
	}
}

// countFailure counts h, and keeps it for who waits for the event at hand.
func (p *processor) countFailure(s *Subscription, h *HandlerError) {
	q := p.turn.queue
	s.failed.Add(1)
	q.failed.Add(1)
	if h.Panicked {
		s.panicked.Add(1)
		q.panicked.Add(1)
	}
	p.turn.noteError(h)
}

// report counts and logs a handler's failure and passes it on. The error handlers
// get it even if the logger panics: handleFailure sees to that.
func (p *processor) report(s *Subscription, h *HandlerError) {
	p.countFailure(s, h)
	p.turn.unreported = h
	disabled := s.fail()
	p.setReporting()
	p.protect(reporting, func() { p.bus.logFailure(p.context, s, h, disabled) })
	p.passOn()
}

// reportLate logs h and passes it on when no processor runs any more.
func (b *Bus) reportLate(ctx context.Context, s *Subscription, h *HandlerError, disabled bool) {
	guard(func() { b.logFailure(ctx, s, h, disabled) }, func(*failure) {})
	for _, f := range b.onError {
		guard(func() { f(ctx, h) }, func(*failure) {})
	}
}

// passOn passes the failure that was logged to the error handlers, each of which
// gets it even if one before it panics.
func (p *processor) passOn() {
	h := p.turn.unreported
	if h == nil {
		return
	}
	for p.turn.passedOn < len(p.bus.onError) {
		f := p.bus.onError[p.turn.passedOn]
		p.turn.passedOn++
		p.protect(reporting, func() { f(p.context, h) })
	}
	p.turn.unreported, p.turn.passedOn = nil, 0
}

// handleFailure deals with the panic or Goexit that ended the loop, if one did. It sets
// called if the handler at hand must not be called again: it failed itself, or its
// failure was being reported. A logger that failed before the call leaves it to be called.
func (p *processor) handleFailure() {
	t := &p.turn
	f, stage, busy := t.failure, t.stage, p.isBusy()
	t.failure, t.stage = nil, handling
	if f == nil {
		return
	}
	if stage == handling && busy && t.list != nil && p.position.at() < len(t.list.subs) {
		s := t.list.subs[p.position.at()]
		t.called = true
		p.report(s, p.failureOf(s, f))
		return
	}
	switch stage {
	case asking:
		p.mute = true
		p.setLogCalls(false)
	case telling, recalling:
		p.setLogCalls(false)
	case reporting:
		t.called = busy && len(t.list.subs) > 0
	}
	if stage != alarming { // if it was, the logger fails at this too, and nobody is left to tell
		p.protect(alarming, func() {
			p.bus.logger.Log(p.context, levelCritical, "eventbus: processor failure",
				"queue", t.queue.id, "error", f.error(), "stack", string(f.stack))
		})
	}
	p.passOn()
}

// levelCritical is above slog.LevelError by the distance between slog's levels.
const levelCritical = slog.LevelError + 4

// caughtIn returns the failure that err comes from, if Async has caught one. It
// does not look into a HandlerError, which PublishWait returned: that failure is
// another handler's, and was counted there. A method of err that panics, as of a
// nil pointer, finds nothing.
func caughtIn(err error) (c *caughtError) {
	defer func() { _ = recover() }()
	for err != nil {
		switch e := err.(type) {
		case *caughtError:
			return e
		case *HandlerError:
			return nil
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				if c := caughtIn(err); c != nil {
					return c
				}
			}
			return nil
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return nil
		}
	}
	return nil
}

// guard runs f and reports whether it returned. If not, failed is told why.
func guard(f func(), failed func(*failure)) (returned bool) {
	defer func() {
		if !returned {
			failed(&failure{value: recover(), stack: debug.Stack()})
		}
	}()
	f()
	return true
}
