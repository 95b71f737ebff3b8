package eventbus

import (
	"errors"
	"fmt"
	"log/slog"
)

// A stage tells settle whose failure it deals with.
type stage uint8

const (
	handling  stage = iota // a handler's or, if none was running, the processor's own
	asking                 // the logger's, on being asked for its level
	telling                // the logger's
	reporting              // the logger's or the error handler's, on being told of a handler's failure
	alarming               // the logger's, on being told of one of those
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

// say runs f, which calls the logger or the error handler. Between events the
// processor is away meanwhile, so that Shutdown does not wait for f.
func (p *processor) say(s stage, f func()) {
	if !p.queue.mark().isCalling() {
		p.goAway()
	}
	p.stage = s
	f()
	p.stage = handling
}

// report counts and logs a handler's failure and passes it on. The error
// handler gets it even if the logger panics: settle sees to that.
func (p *processor) report(s *Subscription, h *HandlerError) {
	h.unwrapCaught()
	s.failed.Add(1)
	p.queue.failed.Add(1)
	if h.Panicked {
		s.panicked.Add(1)
		p.queue.panicked.Add(1)
	}
	p.receipt.note(h)
	p.unreported = h
	disabled := s.fail()
	p.say(reporting, func() { p.bus.logFailure(p.ctx, s, h, disabled) })
	p.passOn()
}

func (p *processor) passOn() {
	h := p.unreported
	p.unreported = nil
	if h != nil && p.bus.onError != nil {
		p.say(reporting, func() { p.bus.onError(p.ctx, h) })
	}
}

// settle deals with what ended serve, if anything did. A handler that failed,
// and one whose failure could not be told, has been called; the logger's failure
// comes before the call.
func (p *processor) settle() {
	f, stage, begun := p.failure, p.stage, p.queue.mark().isCalling()
	p.failure, p.stage = nil, handling
	if f == nil {
		return
	}
	if stage == handling && begun {
		s := p.list.subs[p.queue.handler]
		p.called = true
		p.report(s, &HandlerError{
			Queue: p.queue.id, Event: p.event, Handler: s.name,
			Err: f.error(), Panicked: !f.exited, Stack: f.stack,
		})
		return
	}
	switch stage {
	case asking:
		p.mute = true
		p.setVerbose(false)
	case telling:
		p.setVerbose(false)
	case reporting:
		p.called = begun && len(p.list.subs) > 0
	}
	if stage != alarming { // if it was, the logger fails at this too, and nobody is left to tell
		p.say(alarming, func() {
			p.bus.logger.Log(p.ctx, levelCritical, "eventbus: processor failure",
				"queue", p.queue.id, "error", f.error(), "stack", string(f.stack))
		})
	}
	p.passOn()
}

// levelCritical is above slog.LevelError by the distance between slog's levels.
const levelCritical = slog.LevelError + 4
