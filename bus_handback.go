package eventbus

import (
	"fmt"
	"slices"
	"strings"
)

// This file tells what a Shutdown has left undone, and takes it out of the queues.

// A ShutdownError tells what [Bus.Shutdown] left undone.
type ShutdownError struct {
	// Remaining holds the accepted events that no handler was called for, in
	// order. A queue without such events is not in it.
	Remaining map[Queue][]Event

	// Interrupted holds the events whose first handlers ran when Shutdown gave up,
	// with the handlers that were not called.
	Interrupted []InterruptedEvent

	// Refused counts the events that handlers of the bus were refused with ErrClosed
	// after Shutdown had given up and before it returned, and those that a Stop or a
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
		if c.unknown {
			busy = append(busy, fmt.Sprintf("an event of the %v queue has begun, and a logger or the clock holds it up", c.queue.id))
		}
		if c.running != nil {
			busy = append(busy, fmt.Sprintf("handler %s still runs on %s of the %v queue",
				quoted(c.running.handler), quoted(c.running.eventType), c.running.queue.id))
		}
		if c.interrupted != nil {
			left.Interrupted = append(left.Interrupted, *c.interrupted)
			busy = append(busy, fmt.Sprintf("handler %s and those after it were not called for %s of the %v queue",
				quoted(c.interrupted.Handlers[0]), quoted(c.interrupted.Event.Type), c.interrupted.Queue))
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

// unload takes out what is left in a queue that is closed. Who waits for an event
// learns that it was not handled: that one is withdrawn, not handed back too.
func (q *queue) unload() (events []Event) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, e := range q.buffer.Unload() {
		events = append(events, e.event())
	}
	return events
}
