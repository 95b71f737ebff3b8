package eventbus

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	b.endAll()
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

// A ShutdownError tells what [Bus.Shutdown] left undone.
type ShutdownError struct {
	// Remaining holds the accepted events that no handler was called for, in
	// order. A queue without such events is not in it.
	Remaining map[Queue][]Event

	// Interrupted holds the events whose first handlers ran when Shutdown gave up,
	// with the handlers that were not called.
	Interrupted []InterruptedEvent

	// Refused counts the events that handlers of the bus were refused with ErrClosed
	// after Shutdown had given up and before it was complete, and those that a Stop or a
	// Pause took from a handler's PublishWait after Shutdown had begun.
	Refused int

	// HandedOver says that another caller of Shutdown was given Remaining and
	// Interrupted, which are empty here, so that nobody acts on them twice.
	HandedOver bool

	// Cause says why something is left, and names the handlers that still run. It
	// wraps the error of the context that ended, or ErrNotRunning.
	Cause error
}

// Error names how many events remain on each queue, were interrupted and refused,
// and the cause.
func (e *ShutdownError) Error() string {
	var counts []string
	for q := range Queue(numQueues) {
		if n := len(e.Remaining[q]); n > 0 {
			counts = append(counts, fmt.Sprintf("%d on the %v queue", n, q))
		}
	}
	if n := len(e.Interrupted); n > 0 {
		counts = append(counts, fmt.Sprintf("%d handled in part", n))
	}
	if e.Refused > 0 {
		counts = append(counts, fmt.Sprintf("%d refused to handlers", e.Refused))
	}
	switch {
	case e.HandedOver:
		return fmt.Sprintf("eventbus: shutdown: what is left was handed to another caller: %v", e.Cause)
	case counts == nil:
		return fmt.Sprintf("eventbus: shutdown: no event left: %v", e.Cause)
	}
	return fmt.Sprintf("eventbus: shutdown: events left: %s: %v", strings.Join(counts, ", "), e.Cause)
}

// Unwrap returns Cause.
func (e *ShutdownError) Unwrap() error { return e.Cause }

// An InterruptedEvent is one that was handled in part: Shutdown gave up while its
// first handlers ran.
type InterruptedEvent struct {
	Event    Event
	Queue    Queue
	Handlers []string // those that were not called, by name
}

// err is what PublishWait says of it.
func (e *InterruptedEvent) err() error {
	return fmt.Errorf("eventbus: handler %s and those after it were not called, since Shutdown gave up", quoted(e.Handlers[0]))
}

// endInterruptedEvents ends the events that runtime.Goexit has interrupted in
// RunUntilIdle, and that nobody goes on with. It returns what is to be reported of
// them, since that runs user code.
func (b *Bus) endInterruptedEvents() (reports []func()) {
	if !b.haveExited() {
		return nil
	}
	for _, p := range b.processors {
		if p.isBusy() {
			reports = append(reports, p.endInterrupted())
		}
	}
	return reports
}

// A callAtHand is what a processor is at when Shutdown gives up.
type callAtHand struct {
	queue       *queue
	running     *callInfo         // a handler that runs
	interrupted *InterruptedEvent // its event, if there are handlers after it
	unknown     bool              // an event has begun, and a logger or the clock runs before its handlers
}

// callsAtHand describes what the processors are at.
func (b *Bus) callsAtHand() (calls []callAtHand) {
	b.mu.Lock() // so that no processor lets go of its event meanwhile
	defer b.mu.Unlock()
	for _, p := range slices.Backward(b.processors) { // in the order of the queues
		at := p.atHandLocked()
		at.queue = p.position.queue.Load()
		calls = append(calls, at)
	}
	return calls
}

// handBack takes what is left out of the queues of a bus that is closed and held,
// and returns the result of the shutdown, nil if nothing is left. calls ran when it
// gave up.
func (b *Bus) handBack(s *shutdown, calls []callAtHand) *ShutdownError {
	left := &ShutdownError{Remaining: make(map[Queue][]Event)}
	paused := pausedError(b.pausedQueues())
	for _, q := range b.queues {
		if events := q.unload(); len(events) > 0 {
			left.Remaining[q.id] = events
		}
	}
	var busy []string
	for _, c := range calls {
		busy = append(busy, c.describe()...)
		if c.interrupted != nil {
			left.Interrupted = append(left.Interrupted, *c.interrupted)
		}
	}
	busy = append(busy, b.abandoned.describe()...)
	left.Refused = b.refused()
	if len(left.Remaining) == 0 && busy == nil && left.Refused == 0 {
		return nil
	}
	left.Cause = b.causeOf(s, paused)
	if busy != nil {
		left.Cause = fmt.Errorf("%s: %w", strings.Join(busy, ", "), left.Cause)
	}
	return left
}

// describe says in words what c is at, and what is left of its event.
func (c *callAtHand) describe() (busy []string) {
	if c.unknown {
		busy = append(busy, fmt.Sprintf("an event of the %v queue has begun, and a logger or the clock holds it up", c.queue.id))
	}
	if r := c.running; r != nil {
		busy = append(busy, fmt.Sprintf("handler %s still runs on %s of the %v queue", quoted(r.handler), quoted(r.eventType), r.queue.id))
	}
	if i := c.interrupted; i != nil {
		busy = append(busy, fmt.Sprintf("handler %s and those after it were not called for %s of the %v queue",
			quoted(i.Handlers[0]), quoted(i.Event.Type), i.Queue))
	}
	return busy
}

// causeOf returns why something is left.
func (b *Bus) causeOf(s *shutdown, paused error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.cause != nil:
		return s.cause
	case paused != nil:
		return paused
	}
	return ErrNotRunning
}

// refused returns how many events handlers were refused since the queues are closed.
func (b *Bus) refused() (n int) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, q := range b.queues {
		n += q.admission.refused
	}
	return n
}

// pausedQueues returns those that are paused and hold events.
func (b *Bus) pausedQueues() (held []*queue) {
	for _, q := range b.queues {
		if c := q.buffer.Counts(); q.paused.Load() && c.Depth+c.Deferred > 0 {
			held = append(held, q)
		}
	}
	return held
}
