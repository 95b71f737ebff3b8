package eventbus

import (
	"context"
	"fmt"
	"runtime"
)

// A session is the time from a Start to its Stop. Its context ends when it is
// stopped and no processor is left in it, or when Shutdown gives up.
type session struct {
	base    context.Context // of RunUntilIdle; nil if Start began it
	ctx     context.Context
	cancel  context.CancelFunc
	unhook  func() bool // keeps the end of Start's context from stopping the bus
	holders int         // processors in it, and the bus while it runs; guarded by Bus.mu
}

// release lets go of s, guarded by Bus.mu.
func (s *session) release() {
	if s.holders--; s.holders == 0 {
		s.cancel()
	}
}

// Start starts the processors. ctx is the base of the handlers' contexts, and
// its end is a [Bus.Stop]: a program that wants to drain the bus on a signal
// starts it with a context that the signal does not end, and calls
// [Bus.Shutdown].
//
// Start returns [ErrRunning] if the bus runs, [ErrClosed] after Shutdown, and
// ctx's error if that has ended.
func (b *Bus) Start(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("eventbus: Start: %w", errNilContext)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch err := ctx.Err(); {
	case b.shutdown != nil:
		return ErrClosed
	case err != nil:
		return fmt.Errorf("eventbus: Start: %w", err)
	case b.session != nil || b.processors[0].stepping:
		return ErrRunning
	}
	b.endStepSessionLocked()
	b.useLocked(b.live)
	b.stepped.Store(false)
	s := &session{holders: 1}
	s.ctx, s.cancel = context.WithCancel(ctx)
	b.session = s
	b.setRunning(true)
	b.changed()
	for _, p := range b.processors {
		p.startLocked()
	}
	s.unhook = context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.session == s {
			b.stopLocked()
		}
	})
	return nil
}

// startLocked starts p in the bus's session, or keeps it from leaving if it was
// told to and has not.
func (p *processor) startLocked() {
	p.attention.And(^stopped)
	if p.alive {
		p.signal(renewed)
		return
	}
	p.alive, p.started, p.ended = true, false, false
	p.enterLocked(p.bus.session)
	go p.main()
}

// enterLocked runs on p's goroutine, or before that starts.
func (p *processor) enterLocked(s *session) {
	if p.session != nil {
		p.session.release()
	}
	s.holders++
	p.session = s
	if p.known != s {
		p.known = s
		p.ctx = context.WithValue(s.ctx, processorKey{}, p)
	}
}

// Stop stops the processors and returns at once. The event that a processor is
// at goes through the rest of its handlers; no further event is begun, and what
// is queued stays for the next Start. On a bus that does not run, Stop does
// nothing.
func (b *Bus) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopLocked()
}

func (b *Bus) stopLocked() {
	if b.session == nil {
		return
	}
	b.session.unhook()
	b.session.release()
	b.session = nil
	b.setRunning(false)
	for _, p := range b.processors {
		p.signal(stopped)
	}
	b.changed()
}

func (b *Bus) setRunning(on bool) {
	lineMu.Lock()
	defer lineMu.Unlock()
	b.running.Store(on)
	if !on {
		for _, q := range b.queues {
			q.suspendLocked()
		}
	}
}

// renew moves p into the session that began while it was about to leave.
func (b *Bus) renew(p *processor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.attention.And(^renewed)
	if b.session != nil && b.session != p.session {
		p.enterLocked(b.session)
	}
}

// release ends p, unless it was told to go on meanwhile.
func (b *Bus) release(p *processor) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.attention.Load()&stopped == 0 {
		return false
	}
	p.alive = false
	p.session.release()
	p.session = nil
	b.changed()
	return true
}

// Flush waits until all that was accepted is handled, what handlers published
// meanwhile included. With publishers that never pause, that is the first moment at
// which nothing is left. It does not wait for what paused queues hold: if they hold
// events when all else is handled, it returns [ErrPaused].
//
// It returns ctx's error if that ends first, [ErrNotRunning] or, after
// Shutdown, [ErrClosed] if events are left and nobody handles them, and
// [ErrWouldDeadlock] when called with a handler's context.
func (b *Bus) Flush(ctx context.Context) error {
	if err := b.checkOutside(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	rested := false // to look again would miss the moment
	var held []*queue
	if !b.await(ctx.Done(), func() bool {
		held, rested = b.rest()
		return rested || b.abandoned()
	}) {
		return fmt.Errorf("flush: %w", ctx.Err())
	}
	if rested && len(held) > 0 {
		return fmt.Errorf("flush: %w", pausedError(held))
	}
	if rested {
		return nil
	}
	return fmt.Errorf("flush: %w", b.whyAbandoned())
}

// whyAbandoned returns why nobody handles what is left.
func (b *Bus) whyAbandoned() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shutdown != nil {
		return ErrClosed
	}
	return ErrNotRunning
}

// checkOutside returns an error if ctx is nil or that of a handler of b, who
// would wait for itself.
func (b *Bus) checkOutside(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	if p := processorOf(ctx); p != nil && p.bus == b {
		return ErrWouldDeadlock
	}
	return nil
}

// settled reports whether nothing more will be handled.
func (b *Bus) settled() bool { return b.atRest() || b.abandoned() }

// abandoned reports whether the bus does not run and its processors have left.
func (b *Bus) abandoned() bool { return !b.running.Load() && b.deserted() }

// atRest reports whether all that was accepted is handled, evicted or replaced,
// or held by queues that are paused.
func (b *Bus) atRest() bool {
	_, rested := b.rest()
	return rested
}

// rest is atRest that also returns the queues that hold events. accepted is never
// too low and the others never too high, and those are read first, for all
// queues: if they agree, there was a moment at which nothing was left in any. So
// is whether a queue rests: its handlers could publish to one that was looked at.
func (b *Bus) rest() (held []*queue, rested bool) {
	var gone [numQueues]uint64
	var resting [numQueues]bool
	for i, q := range b.queues {
		resting[i] = q.resting()
		gone[i] = q.handled() + q.evicted.Load() + q.conflated.Load()
	}
	for i, q := range b.queues {
		if q.acceptedSoFar() == gone[i] {
			continue
		}
		if !resting[i] {
			return nil, false
		}
		held = append(held, q)
	}
	return held, true
}

// deserted reports whether the goroutines of the bus have ended.
func (b *Bus) deserted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.desertedLocked()
}

func (b *Bus) desertedLocked() bool {
	for _, p := range b.processors {
		if p.alive {
			return false
		}
	}
	return b.watch.stop()
}

// await waits until cond holds or done is closed, and reports which. cond is
// looked at again after each change.
func (b *Bus) await(done <-chan struct{}, cond func() bool) bool {
	b.observers.Add(1)
	defer b.observers.Add(-1)
	for {
		change := b.nextChange()
		if cond() {
			return true
		}
		select {
		case <-change:
		case <-done:
			return false
		}
	}
}

// awaitTurn waits until cond holds about others who are a few steps from making
// it hold, or have been woken to do so. They tell nobody, so it gives way and
// looks again.
func awaitTurn(cond func() bool) {
	for !cond() {
		runtime.Gosched()
	}
}

func (b *Bus) nextChange() <-chan struct{} {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if b.change == nil {
		b.change = make(chan struct{})
	}
	return b.change
}

// changed tells the observers to look again. Whoever changes what they look at
// calls it afterwards; they announce themselves before they look.
func (b *Bus) changed() {
	if b.observers.Load() == 0 {
		return
	}
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if b.change != nil {
		close(b.change)
		b.change = nil
	}
}
