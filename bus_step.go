package eventbus

import (
	"context"
	"errors"
	"fmt"
)

// RunUntilIdle handles all that is queued, and all that its handlers publish, on
// the caller's goroutine, and returns how many events it has handled: orders
// before signals before data, one event at a time. The bus must not be started.
// It starts no goroutine, and without [WithClock] nothing expires, so that the same
// events give the same calls, in the same order, every time, but for [Async] with a
// timeout; in all else handlers and accounts are those of a bus that is started.
// Slow handlers are not reported.
//
// When ctx ends, RunUntilIdle returns its error after the event at hand; what is
// left stays queued. It returns [ErrRunning] if the bus runs or another call of
// RunUntilIdle does, [ErrClosed] after Shutdown, and [ErrWouldDeadlock] when
// called with the context of a handler of the bus. With that of another bus's
// handler it runs as a part of that handler and does not wait for processors that
// were stopped and have not left: it returns ErrRunning. What a paused queue holds
// it leaves alone.
//
// From the first call to the next [Bus.Start], a publish from outside that finds
// the queue full does not wait, since the goroutine that could make room may be
// its own: it returns [ErrQueueFull] or, from a queue that drops the new event,
// [ErrDropped]. A [Bus.PublishWait] from outside returns [ErrNotRunning].
//
// A handler that calls [runtime.Goexit], as t.FailNow does, ends the caller's
// goroutine. The next call reports it and goes on with the handler after it.
func (b *Bus) RunUntilIdle(ctx context.Context) (handled int, err error) {
	if ctx == nil {
		return 0, fmt.Errorf("run until idle: %w", errNilContext)
	}
	c := callerOf(ctx)
	if c.isOf(b) {
		return 0, fmt.Errorf("run until idle: %w", ErrWouldDeadlock)
	}
	if err := b.beginStepping(ctx, c); err != nil {
		return 0, fmt.Errorf("run until idle: %w", err)
	}
	s := stepper{bus: b, ctx: ctx, at: b.interruptedProcessor()}
	before := b.handled()
	returned := false
	defer func() {
		if !returned {
			s.at.turn.failure.exited = true
		}
		b.endStepping()
	}()
	for !guard(s.run, func(f *failure) { s.at.turn.failure = f }) {
	}
	returned = true
	if b.logs.due.Load() {
		b.logs.flushGuarded(ctx, false)
	}
	if s.err != nil {
		err = fmt.Errorf("run until idle: %w", s.err)
	}
	return int(b.handled() - before), err
}

// A stepper drives the processors of a bus on the goroutine of RunUntilIdle.
type stepper struct {
	bus *Bus
	ctx context.Context
	at  *processor // the one that runs
	err error      // why it ended before the bus was idle
}

// run steps until the bus is idle. A failure of a processor ends it; it is called
// again then, and that processor deals with the failure first.
func (s *stepper) run() {
	for s.next() {
		if s.err = s.ctx.Err(); s.err != nil {
			return
		}
	}
	if s.at.requests.Load()&reqStop != 0 {
		s.err = ErrClosed
	}
}

// next lets the first processor that has something to do handle an event, and
// reports whether there was one. An event that was interrupted goes first.
func (s *stepper) next() bool {
	switch {
	case s.at.isBusy():
		s.at.step()
		return true
	case s.at.turn.failure != nil:
		s.at.handleFailure()
		return true
	case s.ctx.Err() != nil:
		return true
	}
	for _, p := range s.bus.processors {
		s.at = p
		if p.step() {
			return true
		}
	}
	return false
}

// interruptedProcessor returns the one at an event that runtime.Goexit has
// interrupted, or the first if there is none.
func (b *Bus) interruptedProcessor() *processor {
	for _, p := range b.processors {
		if p.isBusy() {
			return p
		}
	}
	return b.processors[0]
}

// beginStepping makes RunUntilIdle drive the processors, in a session of its own.
// From outside it waits for those that have been stopped and have not left, unless
// the bus is started again.
func (b *Bus) beginStepping(ctx context.Context, c caller) error {
	var fresh *session
	for {
		wait, err := b.tryStepping(ctx, fresh)
		switch {
		case errors.Is(err, errNoSession): // made without the lock: the context may run user code
			fresh = newSession(ctx)
			fresh.base, fresh.outer = ctx, c
			continue
		case wait && c.isHandler():
			err = ErrRunning
		case wait && !b.await(ctx.Done(), func() bool { return b.running.Load() || b.haveExited() }):
			err = contextError(ctx)
		case wait:
			continue
		}
		if err != nil && fresh != nil {
			fresh.cancel()
		}
		return err
	}
}

// errNoSession says that RunUntilIdle needs a new session.
var errNoSession = errors.New("eventbus: no session")

// tryStepping begins to step in fresh or, if that is nil, in the session of the calls of
// RunUntilIdle before this one, if they had the same context. Or it returns why it cannot:
// with wait if processors that were stopped have not left yet, else with an error.
func (b *Bus) tryStepping(ctx context.Context, fresh *session) (wait bool, err error) {
	b.mu.Lock()
	defer b.unlock()
	s := fresh
	if last := b.life.stepSession; s == nil && last != nil && last.ctx.Err() == nil && sameContext(last.base, ctx) {
		s = last
	}
	switch {
	case b.life.shutdown != nil:
		return false, ErrClosed
	case b.life.session != nil || b.stepping.Load():
		return false, ErrRunning
	case !b.haveExitedLocked():
		return true, nil
	case s == nil:
		return false, errNoSession
	}
	b.beginSteppingLocked(s)
	return false, nil
}

func (b *Bus) beginSteppingLocked(s *session) {
	b.stepping.Store(true)
	if b.life.stepSession != s {
		b.endStepSessionLocked()
		b.life.stepSession = s
		b.logs.use(s.ctx)
	}
	for _, p := range b.processors {
		p.startLogged, p.endLogged = true, true // it is not logged
		p.clear(reqStop)
		store(&p.asleep, 0)
		p.enterLocked(s)
		p.served = false // look what is paused, and at the logger's level
	}
	if !b.stepped.Load() {
		b.setSteppedLocked()
	}
}

// setSteppedLocked says that it is RunUntilIdle that drives the bus, until Start.
func (b *Bus) setSteppedLocked() {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	b.stepped.Store(true)
	for _, q := range b.queues {
		q.admission.stepped = true
	}
}

// sameContext compares contexts, of which some cannot be compared.
func sameContext(a, b context.Context) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}

func (b *Bus) endStepping() {
	b.mu.Lock()
	defer b.unlock()
	b.stepping.Store(false)
	for _, p := range b.processors {
		if !p.isBusy() { // if it is, whoever runs it next goes on with its event
			p.letGo()
			p.turn.entry = entry{}
			store(&p.asleep, 1)
		}
		b.releaseLocked(p.life.session)
		p.life.session = nil
	}
	b.changed()
}

// handled returns how many events the bus has handled. Only for the stepper.
func (b *Bus) handled() (n uint64) {
	for _, q := range b.queues {
		n += q.handled(q.buffer.Ended())
	}
	return n
}
