package eventbus

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A shutdown is the one that a bus gets.
type shutdown struct {
	giveUp chan struct{} // closed when a caller's context has ended
	cause  error         // its error; written before giveUp is closed, guarded by Bus.mu
	done   chan struct{}
	err    error // the result; written before done is closed
}

// A ShutdownError tells what [Bus.Shutdown] left undone.
type ShutdownError struct {
	// Remaining holds the accepted events that no handler was called for, in
	// order. A queue without such events is not in it.
	Remaining map[Queue][]Event

	// Cause says why they remain, and names the handlers that still run. It
	// wraps the error of the context that ended, or ErrNotRunning.
	Cause error
}

// Error names how many events remain on each queue, and the cause.
func (e *ShutdownError) Error() string {
	var counts []string
	for q := range Queue(numQueues) {
		if n := len(e.Remaining[q]); n > 0 {
			counts = append(counts, fmt.Sprintf("%d on the %v queue", n, q))
		}
	}
	if counts == nil {
		return fmt.Sprintf("eventbus: shutdown: no event left: %v", e.Cause)
	}
	return fmt.Sprintf("eventbus: shutdown: events left: %s: %v", strings.Join(counts, ", "), e.Cause)
}

// Unwrap returns Cause.
func (e *ShutdownError) Unwrap() error { return e.Cause }

// Shutdown closes the bus for good. It refuses what is published from outside,
// publishes that wait included, and lets the processors handle what is queued.
// What handlers publish is accepted, so cascades arrive. When nothing is left
// and the processors have ended, it returns nil.
//
// When ctx ends first, or had ended before, Shutdown returns at once. Nothing
// more is run after that, not even the further handlers of an event that a
// handler is still busy with; the handlers' context ends. The events that were
// not begun are handed back in a [*ShutdownError], which also names the
// handlers that ran at that moment. On a bus that is not running, or is stopped
// meanwhile, nothing is run and all is handed back.
//
// A later call waits for the first one and returns its result; the first of
// their contexts to end counts for all. Called with a handler's context,
// Shutdown cannot wait: it begins the shutdown, without a time limit, and
// returns an error that wraps [ErrWouldDeadlock].
func (b *Bus) Shutdown(ctx context.Context) error {
	outside := b.checkOutside(ctx)
	if ctx == nil {
		return fmt.Errorf("eventbus: Shutdown: %w", outside)
	}
	if outside != nil {
		b.beginShutdown(nil)
		return fmt.Errorf("shutdown has begun and goes on without the handler: %w", outside)
	}
	s := b.beginShutdown(ctx.Err())
	select {
	case <-s.done:
	case <-ctx.Done():
		b.giveUp(s, ctx.Err())
		<-s.done
	}
	return s.err
}

// beginShutdown returns the bus's shutdown, which it begins if nobody has, and
// which it gives up at once if cause is not nil.
func (b *Bus) beginShutdown(cause error) *shutdown {
	b.mu.Lock()
	s := b.shutdown
	first := s == nil
	if first {
		s = &shutdown{giveUp: make(chan struct{}), done: make(chan struct{})}
		b.shutdown = s
		b.close(closing)
	}
	b.mu.Unlock()
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
	lineMu.Lock()
	defer lineMu.Unlock()
	for _, q := range b.queues {
		q.closeLocked(bits)
	}
}

// giveUp stops the processors where they are; drain then ends the handlers'
// contexts.
func (b *Bus) giveUp(s *shutdown, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.cause != nil {
		return
	}
	s.cause = cause
	b.close(closing | closed)
	for _, p := range b.processors {
		p.signal(stopped | killed)
	}
	b.stopLocked()
	close(s.giveUp)
}

// drain carries s out.
func (b *Bus) drain(s *shutdown) {
	if b.await(s.giveUp, b.settled) {
		b.Stop()
		b.await(s.giveUp, func() bool { return b.deserted() && b.strays.count() == 0 })
	}
	b.close(closing | closed)
	awaitTurn(b.still)
	busy := b.busy() // before the contexts end, or a handler that leaves for that would be named by chance
	b.endSessions()
	s.err = b.handBack(s, busy)
	close(s.done)
}

// endSessions ends the contexts of the handlers that still run, and the waits
// for those that never will.
func (b *Bus) endSessions() {
	var ends []context.CancelFunc
	b.mu.Lock()
	b.endStepSessionLocked()
	b.forsakeLocked()
	for _, p := range b.processors {
		if p.session != nil {
			ends = append(ends, p.session.cancel)
		}
	}
	b.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

// busy describes the calls that run.
func (b *Bus) busy() (calls [numQueues]*callInfo) {
	for i, q := range b.queues {
		calls[i] = q.callAt(q.place())
	}
	return calls
}

// still reports whether no processor will take a further event. Once they are
// stopped this comes to hold without any user code returning.
func (b *Bus) still() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.queues {
		if q.proc.alive && q.mark().state() == taking {
			return false
		}
	}
	return true
}

// handBack takes what is left out of the queues of a bus that is closed and
// still, and returns the result of the shutdown. calls ran when it gave up.
func (b *Bus) handBack(s *shutdown, calls [numQueues]*callInfo) error {
	paused := pausedError(b.pausedQueues())
	remaining := make(map[Queue][]Event)
	var busy []string
	for i, q := range b.queues {
		if events := q.takeAll(); len(events) > 0 {
			remaining[q.id] = events
		}
		if c := calls[i]; c != nil {
			busy = append(busy, fmt.Sprintf("handler %s still runs on %s of the %v queue", c.handler, c.eventType, q.id))
		} else if c := q.cut.Load(); c != nil {
			busy = append(busy, fmt.Sprintf("handler %s and those after it were not called for %s of the %v queue", c.handler, c.eventType, q.id))
		}
	}
	busy = append(busy, b.strays.describe()...)
	b.mu.Lock()
	cause := s.cause
	b.mu.Unlock()
	switch {
	case len(remaining) == 0 && busy == nil:
		return nil
	case cause == nil && paused != nil:
		cause = paused
	case cause == nil:
		cause = ErrNotRunning
	}
	if busy != nil {
		cause = fmt.Errorf("%s: %w", strings.Join(busy, ", "), cause)
	}
	return &ShutdownError{remaining, cause}
}

// takeAll takes out what is left in a queue that is closed.
func (q *queue) takeAll() []Event {
	lineMu.Lock()
	defer lineMu.Unlock()
	events := q.unload()
	for i, e := range events {
		events[i] = q.discard(e, ErrClosed)
	}
	for q.line.deferred.len() > 0 {
		events = append(events, q.discard(q.line.deferred.pop(), ErrClosed))
	}
	for q.line.outside.len() > 0 { // detached, since those who wait have been refused
		events = append(events, q.discard(q.line.outside.pop().event, ErrClosed))
	}
	q.line.detached = 0
	q.noteLocked()
	published := slices.DeleteFunc(events, func(e Event) bool { return e.Type == "" })
	q.count(len(published) - len(events))
	q.leftover.Store(int64(len(published)))
	return published
}

// unload takes out what is in chunks, the open one too. That chunk stays open,
// with nothing in it: its processor, whose handler may be running, will find that
// it was told to leave.
func (q *queue) unload() (events []Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	take := func(waiting []Event) {
		events = append(events, waiting...)
		clear(waiting)
	}
	if q.chunk != nil {
		take(q.chunk.events[q.at:q.chunk.n])
	}
	for len(q.ch) > 0 {
		c := <-q.ch
		take(c.events[:c.n])
	}
	return events
}
