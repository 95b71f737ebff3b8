package eventbus

import (
	"context"
	"fmt"
	"reflect"
	"slices"
)

// RunUntilIdle handles all that is queued, and all that its handlers publish, on
// the caller's goroutine, and returns how many events it has handled: orders
// before signals before data, one event at a time. The bus must not be started.
// It starts no goroutine and reads no clock, so that the same events give the
// same calls, in the same order, every time; in all else handlers and accounts
// are those of a bus that is started. Slow handlers are not reported.
//
// When ctx ends, RunUntilIdle returns its error after the event at hand; what is
// left stays queued. It returns [ErrRunning] if the bus runs or another call of
// RunUntilIdle does, [ErrClosed] after Shutdown, and [ErrWouldDeadlock] when
// called with a handler's context. What a paused queue holds it leaves alone.
//
// From the first call to the next [Bus.Start], a publish from outside that finds
// the queue full does not wait, since the goroutine that could make room may be
// its own: it returns [ErrQueueFull] or, from a queue that drops the new event,
// [ErrDropped]. A [Bus.PublishWait] from outside returns [ErrNotRunning].
//
// A handler that calls [runtime.Goexit], as t.FailNow does, ends the caller's
// goroutine. The next call reports it and goes on with the handler after it.
func (b *Bus) RunUntilIdle(ctx context.Context) (handled int, err error) {
	if err := b.checkOutside(ctx); err != nil {
		return 0, fmt.Errorf("run until idle: %w", err)
	}
	p, err := b.beginStepping(ctx)
	if err != nil {
		return 0, fmt.Errorf("run until idle: %w", err)
	}
	before := b.handledInTime()
	returned := false
	defer func() {
		if !returned {
			p.failure.exited = true
		}
		b.endStepping(p)
	}()
	for !p.guard() {
	}
	returned = true
	if p.ctx.Err() != nil || p.attention.Load()&stopped != 0 {
		err = b.whyStopped(ctx)
	}
	return int(b.handledInTime() - before), err
}

// beginStepping makes the stepper serve the queues, in a session of its own. It
// waits for processors that have been stopped and have not left, unless they are
// started again.
func (b *Bus) beginStepping(ctx context.Context) (*processor, error) {
	for {
		p, err := b.tryStepping(ctx)
		if p != nil || err != nil {
			return p, err
		}
		if !b.await(ctx.Done(), func() bool { return b.running.Load() || b.deserted() }) {
			return nil, ctx.Err()
		}
	}
}

// tryStepping returns nil and no error if processors have not left.
func (b *Bus) tryStepping(ctx context.Context) (*processor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.shutdown != nil:
		return nil, ErrClosed
	case b.session != nil || b.stepper.stepping:
		return nil, ErrRunning
	case !b.desertedLocked():
		return nil, nil
	}
	return b.beginSteppingLocked(ctx), nil
}

func (b *Bus) beginSteppingLocked(ctx context.Context) *processor {
	b.stepped.Store(true)
	b.useLocked(b.steppers)
	p := b.stepper
	if s := b.stepSession; s == nil || !sameContext(s.base, ctx) {
		b.endStepSessionLocked()
		s = &session{base: ctx, holders: 1}
		s.ctx, s.cancel = context.WithCancel(ctx)
		b.stepSession = s
	}
	p.attention.And(^(stopped | unwatched))
	p.alive, p.stepping = true, true
	p.started, p.ended = true, true // it is not logged
	p.enterLocked(b.stepSession)
	return p
}

// sameContext compares contexts of types that can be compared.
func sameContext(a, b context.Context) bool {
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// endStepSessionLocked ends the session that calls of RunUntilIdle with one
// context share.
func (b *Bus) endStepSessionLocked() {
	if b.stepSession != nil {
		b.stepSession.release()
		b.stepSession = nil
	}
}

func (b *Bus) endStepping(p *processor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !p.queue.mark().isCalling() { // if it is, the next processor goes on with it
		p.goAway()
	}
	p.alive, p.stepping = false, false
	p.session.release()
	p.session = nil
	if b.shutdown != nil {
		b.forsakeLocked()
	}
	b.changed()
}

// whyStopped returns why RunUntilIdle ended before the bus was idle.
func (b *Bus) whyStopped(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = ErrClosed
	}
	return fmt.Errorf("run until idle: %w", err)
}

func (b *Bus) handledInTime() (n uint64) {
	for _, q := range b.queues {
		n += q.handledInTime()
	}
	return n
}

// makeProcessors makes the processors of a new bus: one a queue, or one for all.
func (b *Bus) makeProcessors(single bool) {
	b.stepper = newProcessor(b, b.queues[OrderQueue], b.queues[SignalQueue], b.queues[DataQueue])
	b.steppers = []*processor{b.stepper}
	b.live = b.steppers
	if !single {
		b.live = nil
		for _, q := range b.queues {
			b.live = append(b.live, newProcessor(b, q))
		}
	}
	b.useLocked(b.live)
}

// useLocked makes ps serve the queues. Those that did are not alive.
func (b *Bus) useLocked(ps []*processor) {
	if len(b.processors) > 0 && b.processors[0] == ps[0] {
		return
	}
	lineMu.Lock()
	defer lineMu.Unlock()
	for _, p := range ps {
		p.list = nil // its queues may have been at other handlers since
		for _, old := range b.processors {
			p.inherit(old)
		}
	}
	b.processors = ps
	for _, p := range ps {
		p.attention.Or(replan) // a Pause has told those before
		for _, q := range p.queues {
			q.proc = p
		}
	}
}

// inherit takes over the event that runtime.Goexit has ended RunUntilIdle in.
func (p *processor) inherit(old *processor) {
	if old == p || old.failure == nil || !slices.Contains(p.queues, old.queue) {
		return
	}
	p.queue, p.stage, p.failure = old.queue, old.stage, old.failure
	p.event, p.list, p.called = old.event, old.list, old.called
	p.receipt, p.stale, p.unreported = old.receipt, old.stale, old.unreported
	p.attention.Or(old.attention.Load() & tracked)
	old.stage, old.failure = handling, nil
	old.event, old.list, old.called = Event{}, nil, false
	old.receipt, old.stale, old.unreported = nil, nil, nil
}
