package eventbus

import (
	"context"
	"fmt"
	"time"
)

// A shutdown is the state of a bus's Shutdown, of which there is one.
type shutdown struct {
	giveUp chan struct{} // closed when the context of a caller has ended
	cause  error         // the error of that context, nil until then; guarded by Bus.mu
	done   chan struct{}

	left    *ShutdownError // the result, nil if nothing is left; written before done is closed
	claimed bool           // a caller has got left; guarded by Bus.mu
}

// isClosed reports whether Shutdown has ended, or has given up: no handler is called any
// more.
func (b *Bus) isClosed() bool { return b.queues[0].buffer.Gate.Load()&closed != 0 }

// Shutdown closes the bus for good. It refuses what is published from outside,
// publishes that wait included, and lets the processors handle what is queued.
// What handlers publish is accepted, so cascades arrive. When nothing is left
// and the processors have ended, it returns nil.
//
// When ctx ends first, or had ended before, Shutdown returns at once. Nothing
// more is run after that, not even the further handlers of an event that a
// handler is still busy with; the handlers' context ends. The events that were
// not begun are handed back in a [*ShutdownError], which also tells which were
// handled in part, how many handlers were refused, and names the handlers that ran
// at that moment. It returns nil only if there are none of all these. On a bus that
// is not running, or is stopped meanwhile, nothing is run and all is handed back, and
// so is what a paused queue holds.
//
// A later call waits for the first one and returns its result; the first of
// their contexts to end counts for all. The first caller from outside, whenever it
// calls, is given the events; the others get the same cause with HandedOver set.
// Called with a handler's context, of any bus, Shutdown cannot wait: it begins the
// shutdown, without a time limit unless that context has ended, and returns an error
// that wraps [ErrWouldDeadlock].
func (b *Bus) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("eventbus: Shutdown: %w", errNilContext)
	}
	s := b.beginShutdown(ctx.Err())
	if callerOf(ctx).isHandler() {
		return fmt.Errorf("shutdown has begun and goes on without the handler: %w", ErrWouldDeadlock)
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		b.giveUp(s, contextError(ctx))
		<-s.done
	}
	return b.claim(s)
}

// claim returns the result of s. What is left goes to the first who asks.
func (b *Bus) claim(s *shutdown) error {
	if s.left == nil {
		return nil
	}
	b.mu.Lock()
	defer b.unlock()
	if s.claimed {
		return &ShutdownError{Refused: s.left.Refused, HandedOver: true, Cause: s.left.Cause}
	}
	s.claimed = true
	return s.left
}

// beginShutdown returns the bus's shutdown, which it begins if nobody has, and
// which it gives up at once if cause is not nil.
func (b *Bus) beginShutdown(cause error) *shutdown {
	b.mu.Lock()
	s := b.life.shutdown
	first := s == nil
	if first {
		s = &shutdown{giveUp: make(chan struct{}), done: make(chan struct{})}
		b.life.shutdown = s
		b.draining.Store(true)
		b.close(closing)
	}
	b.unlock()
	if cause != nil {
		b.giveUp(s, cause)
	}
	if first {
		go b.drain(s)
	}
	return s
}

// close closes the queues as far as bits says.
func (b *Bus) close(bits uint32) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, q := range b.queues {
		q.closeLocked(bits)
	}
}

// giveUp stops the processors where they are; drain then ends the handlers'
// contexts.
func (b *Bus) giveUp(s *shutdown, cause error) {
	b.mu.Lock()
	defer b.unlock()
	if s.cause != nil {
		return
	}
	s.cause = cause
	for _, p := range b.processors {
		p.request(reqStop | reqKill)
	}
	b.close(closing | closed)
	b.stopLocked()
	close(s.giveUp)
	b.kill()
}

// drain carries s out.
func (b *Bus) drain(s *shutdown) {
	if b.await(s.giveUp, b.isSettled) {
		b.Stop()
		b.await(s.giveUp, func() bool { return b.haveExited() && b.abandoned.count() == 0 })
	}
	b.close(closing | closed)
	b.hold()
	reports := b.endInterruptedEvents()
	calls := b.callsAtHand() // before the contexts end, or a handler that leaves for that would be named by chance
	b.endSessions()
	b.tellLast(s, reports)
	s.left = b.handBack(s, calls)
	close(s.done)
}

// logPatience is how long a Shutdown that has given up waits for a logger: long for
// one that writes a line, short beside the time that an operator gives.
const logPatience = 10 * time.Millisecond

// tellLast runs the reports and logs what the throttles have withheld. If Shutdown has
// given up, it waits for that user code for logPatience at most.
func (b *Bus) tellLast(s *shutdown, reports []func()) {
	if len(reports) == 0 && !b.logs.due.Load() {
		return
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for _, report := range reports {
			report()
		}
		b.logs.flushGuarded(b.logs.context(), true)
	}()
	select {
	case <-told:
		return
	case <-s.giveUp:
	}
	select {
	case <-told:
	case <-time.After(logPatience):
	}
}

// hold keeps the processors from beginning anything, should RunUntilIdle drive them.
func (b *Bus) hold() {
	b.mu.Lock()
	defer b.unlock()
	for _, p := range b.processors {
		p.request(reqStop)
	}
}

// endSessions ends the contexts of the handlers that still run.
func (b *Bus) endSessions() {
	var ends []context.CancelFunc
	b.mu.Lock()
	b.endStepSessionLocked()
	for _, p := range b.processors {
		if p.life.session != nil {
			ends = append(ends, p.life.session.cancel)
		}
	}
	b.unlock()
	for _, end := range ends {
		end()
	}
}
