package eventbus

import (
	"context"
	"fmt"
)

// A session is the time from a Start to its Stop. Its context ends when it is
// stopped and no processor is left in it, or when Shutdown gives up.
type session struct {
	base    context.Context // of RunUntilIdle; nil if Start began it
	outer   caller          // the handler that RunUntilIdle was called in, if any
	ctx     context.Context
	cancel  context.CancelFunc
	unhook  func() bool // keeps the end of Start's context from stopping the bus
	holders int         // processors in it, and the bus while it runs; guarded by Bus.mu
}

func newSession(ctx context.Context) *session {
	s := &session{holders: 1}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// releaseLocked lets go of s, whose context ends with its last holder. Bus.mu is held; a
// context may run user code when one made of it ends, so unlock ends it.
func (b *Bus) releaseLocked(s *session) {
	if s.holders--; s.holders == 0 {
		b.life.over = append(b.life.over, s.cancel)
	}
}

// endStepSessionLocked ends the session that calls of RunUntilIdle with one
// context share.
func (b *Bus) endStepSessionLocked() {
	if b.life.stepSession != nil {
		b.releaseLocked(b.life.stepSession)
		b.life.stepSession = nil
	}
}

// unlock unlocks Bus.mu, and ends the sessions that were let go of under it.
func (b *Bus) unlock() {
	over := b.life.over
	b.life.over = nil
	b.mu.Unlock()
	for _, end := range over {
		end()
	}
}

// Start starts the processors. ctx is the base of the handlers' contexts, and
// its end is a [Bus.Stop]: a program that wants to drain the bus on a signal
// starts it with a context that the signal does not end, and calls
// [Bus.Shutdown].
//
// Start returns [ErrRunning] if the bus runs, [ErrClosed] after Shutdown, ctx's
// error if that has ended, and [ErrWouldDeadlock] if it belongs to a handler of the
// bus, with which it would end by itself.
func (b *Bus) Start(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("eventbus: Start: %w", errNilContext)
	}
	// The context may run user code, so it is asked before the lock is taken.
	own, s, err := callerOf(ctx).isOf(b), newSession(ctx), ctx.Err()
	if err == nil {
		err = b.startIn(s, own)
	} else if b.draining.Load() {
		err = ErrClosed
	} else {
		err = fmt.Errorf("eventbus: Start: %w", err)
	}
	if err != nil {
		s.cancel()
	}
	return err
}

func (b *Bus) startIn(s *session, own bool) error {
	b.mu.Lock()
	defer b.unlock()
	if s := b.life.session; s != nil && s.ctx.Err() != nil {
		b.stopLocked() // its context has ended, and that is a Stop
	}
	switch {
	case b.life.shutdown != nil:
		return ErrClosed
	case b.life.session != nil || b.stepping.Load():
		return ErrRunning
	case own:
		return fmt.Errorf("eventbus: Start with the context of a handler of the bus: %w", ErrWouldDeadlock)
	}
	b.startLocked(s)
	return nil
}

func (b *Bus) startLocked(s *session) {
	b.endStepSessionLocked()
	b.life.session = s
	b.logs.use(s.ctx)
	b.stepped.Store(false)
	b.setRunningLocked(true)
	for _, p := range b.processors {
		p.startLocked(s)
	}
	b.pulse.start()
	b.changed()
	s.unhook = context.AfterFunc(s.ctx, func() { b.endSession(s) })
}

// endSession stops the bus if it still runs in s, and reports whether Shutdown has
// given up.
func (b *Bus) endSession(s *session) (killed bool) {
	b.mu.Lock()
	defer b.unlock()
	if b.life.session == s {
		b.stopLocked()
	}
	return b.life.shutdown != nil && b.life.shutdown.cause != nil
}

// startLocked starts p in s, or keeps it from leaving if it was told to and has not.
func (p *processor) startLocked(s *session) {
	p.clear(reqStop)
	if p.life.alive {
		p.request(reqSession)
		return
	}
	p.life.alive, p.startLogged, p.endLogged, p.served = true, false, false, false
	store(&p.asleep, 0)
	p.enterLocked(s)
	go p.main()
}

// enterLocked runs on p's goroutine, or while there is none.
func (p *processor) enterLocked(s *session) {
	if p.life.session != nil {
		p.bus.releaseLocked(p.life.session)
	}
	s.holders++
	p.life.session = s
	if p.context == nil || p.context.session != s {
		p.context = &handlerContext{Context: s.ctx, proc: p, session: s}
	}
}

// Stop stops the processors and returns at once. The event that a processor is
// at goes through the rest of its handlers; no further event is begun, and what
// is queued stays for the next Start. What handlers wait to publish to the bus gets
// the room there is, and the rest is deferred. On a bus that does not run, Stop does
// nothing.
func (b *Bus) Stop() {
	b.mu.Lock()
	defer b.unlock()
	b.stopLocked()
}

// stopLocked holds the processors before it looks at who waits: nothing is begun
// any more, so what handlers wait for is withdrawn or handled.
func (b *Bus) stopLocked() {
	if b.life.session == nil {
		return
	}
	b.life.session.unhook()
	b.releaseLocked(b.life.session)
	b.life.session = nil
	for _, p := range b.processors {
		p.request(reqStop)
	}
	b.setRunningLocked(false)
	b.changed()
}

// setRunningLocked says whether the queues are drained.
func (b *Bus) setRunningLocked(on bool) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	b.running.Store(on)
	for _, q := range b.queues {
		q.admission.stepped = b.stepped.Load()
		q.setIdleLocked(b.idleReason(q))
	}
}

// idleReason returns why nobody drains q, nil if somebody does.
func (b *Bus) idleReason(q *queue) error {
	switch {
	case !b.running.Load():
		return ErrNotRunning
	case q.paused.Load():
		return ErrPaused
	}
	return nil
}

// Pause keeps the events of q from being handled until [Bus.Resume]. The one
// that its handlers are busy with goes through the rest of them; when Pause
// returns, no further one is begun. What is published to q waits in it, as if
// its processor were busy. What handlers wait to publish to it gets the room there
// is, and the rest is deferred. The other queues go on.
//
// A paused queue stays so through Stop and Start. Flush does not wait for it,
// and Shutdown hands back what it holds; after that no event is begun anyway. To
// pause a paused queue does nothing. For a queue that does not exist the error
// wraps [ErrUnknownQueue].
func (b *Bus) Pause(q Queue) error {
	if q >= numQueues {
		return fmt.Errorf("pause: %w: %v", ErrUnknownQueue, q)
	}
	b.setPaused(b.queues[q], true)
	return nil
}

// Resume ends a [Bus.Pause]. For a queue that is not paused it does nothing.
func (b *Bus) Resume(q Queue) error {
	if q >= numQueues {
		return fmt.Errorf("resume: %w: %v", ErrUnknownQueue, q)
	}
	b.setPaused(b.queues[q], false)
	return nil
}

func (b *Bus) setPaused(q *queue, on bool) {
	b.mu.Lock()
	defer b.unlock()
	if !on {
		q.pauseHeld.Store(false)
	}
	q.paused.Store(on)
	q.proc.request(reqPauses)
	q.pauseHeld.Store(on)
	admissionMu.Lock()
	q.setIdleLocked(b.idleReason(q))
	admissionMu.Unlock()
	b.changed()
}

// sessionOf moves p into the session that began while it was about to leave.
func (b *Bus) sessionOf(p *processor) {
	b.mu.Lock()
	defer b.unlock()
	if s := b.life.session; s != nil && s != p.life.session {
		p.enterLocked(s)
	}
}

// release ends p, unless it was told to go on meanwhile.
func (b *Bus) release(p *processor) bool {
	if !b.leaveSession(p) {
		return false
	}
	b.mu.Lock()
	defer b.unlock()
	if p.requests.Load()&reqStop == 0 { // Start came when the session was left
		return false
	}
	p.life.alive = false
	store(&p.asleep, 1)
	if b.haveExitedLocked() {
		b.pulse.stop()
	}
	b.changed()
	return true
}

// leaveSession takes p out of its session, whose context ends with its last processor:
// before anybody can see that p has left. It reports whether p is still to leave.
func (b *Bus) leaveSession(p *processor) bool {
	b.mu.Lock()
	defer b.unlock()
	if p.requests.Load()&reqStop == 0 {
		return false
	}
	p.turn.entry = entry{}
	if p.life.session != nil { // it is nil after a Start and a Stop that came meanwhile
		b.releaseLocked(p.life.session)
		p.life.session = nil
	}
	return true
}
