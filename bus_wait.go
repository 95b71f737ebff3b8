package eventbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/buffer"
)

// This file waits until events are handled: PublishWait for one, Flush for all. It also
// answers how quiet a bus is. The grades, each of which Flush or Shutdown waits for:
//
//	idle          all that was accepted is handled, evicted, replaced or withdrawn
//	idleOrPaused  idle, but for what paused queues hold whose processors are not busy with it
//	exited        no goroutine runs a processor
//	settled       idleOrPaused, or exited on a bus that does not run: nothing more will be handled

// PublishWait is [Bus.Publish] that waits until all handlers of e are done. It
// returns their errors, joined: each is a [*HandlerError], and is logged and
// passed to the error handler as usual. If e is not accepted, the error is that
// of Publish. If no handler was or will be called, the error wraps
//
//   - [ErrDropped] if e was evicted, or replaced by a later event with its key,
//   - [ErrExpired] if it was too old when its turn came,
//   - [ErrNotRunning] or [ErrPaused] if a handler waited, and the bus was stopped or
//     the queue paused: e is withdrawn,
//   - [ErrClosed] if Shutdown gave up before its turn came: e is withdrawn, and
//     Shutdown does not hand it back too,
//   - [ErrUnhandled] if nobody but taps subscribes to its type, or every filter
//     turned it away: e counts as handled.
//
// Once a handler was called, PublishWait waits for the others. If Shutdown keeps
// them from being called, the error says which. When ctx ends first, PublishWait
// returns its error, and e stays: it is handled, or handed back, without anybody
// waiting for it. On a bus that does not run and in a paused queue, PublishWait
// from outside waits; on a bus that is stepped it returns ErrNotRunning.
//
// Inside a handler, pass the context that the handler was given. Where waiting
// would be waiting for itself, directly or around a cycle of handlers,
// PublishWait returns [ErrWouldDeadlock] at once, on a bus that does not run
// ErrNotRunning, and at a paused queue ErrPaused; e is not accepted then.
func (b *Bus) PublishWait(ctx context.Context, q Queue, e Event) error {
	return b.publishWait(ctx, q, e, nil)
}

func (b *Bus) publishWait(ctx context.Context, q Queue, e Event, r *rule) error {
	if q >= numQueues || e.Type == "" || ctx == nil {
		return b.rejectCall(ctx, q, e.Type, 1)
	}
	to, en := b.queues[q], entry{Event: e}
	luggage, err := b.pack(ctx)
	if err == nil {
		err = to.label(&en, r, luggage, b.now)
	}
	if err != nil {
		return to.rejectEvents(ctx, e.Type, err, 1)
	}
	c := newCompletion()
	en.needMeta().completion, c.key = c, en.key()
	pub := newPublication(ctx, to, r)
	pub.one[0] = en
	pub.entries, pub.completion, pub.publisher.awaits = pub.one[:], c, true
	c.ofBus = pub.publisher.ofBus
	if len(pub.by) > 0 {
		defer to.endAwait(pub.by, c)
	}
	if err := b.carryOut(to, pub); err != nil {
		return err
	}
	err = c.await(ctx, pub.end)
	if h := (*HandlerError)(nil); err == nil || errors.As(err, &h) {
		return err
	}
	return &publishError{q, e.Type, err}
}

// Flush waits until all that was accepted is handled, what handlers published
// meanwhile included. With publishers that never pause, that is the first moment at
// which nothing is left. It does not wait for what paused queues hold: if they hold
// events when all else is handled, it returns [ErrPaused].
//
// It returns ctx's error if that ends first, [ErrNotRunning] or, after
// Shutdown, [ErrClosed] if events are left and nobody handles them, and
// [ErrWouldDeadlock] when called with a handler's context, of any bus.
func (b *Bus) Flush(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("flush: %w", errNilContext)
	}
	if callerOf(ctx).isHandler() {
		return fmt.Errorf("flush: %w", ErrWouldDeadlock)
	}
	idle := false // to look again would miss the moment
	var held []*queue
	if !b.await(ctx.Done(), func() bool {
		held, idle = b.isIdleOrPaused()
		return idle || b.hasStopped()
	}) {
		return fmt.Errorf("flush: %w", contextError(ctx))
	}
	switch {
	case idle && len(held) > 0:
		return fmt.Errorf("flush: %w", pausedError(held))
	case idle:
		return nil
	}
	return fmt.Errorf("flush: %w", b.whyStopped())
}

// whyStopped returns why nobody handles what is left.
func (b *Bus) whyStopped() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.shutdown != nil {
		return ErrClosed
	}
	return ErrNotRunning
}

// pausedError says that queues are paused and hold events; nil if there are none.
func pausedError(held []*queue) error {
	var errs []error
	for _, q := range held {
		c := q.buffer.Counts()
		errs = append(errs, fmt.Errorf("%w: the %v queue, which holds %d events", ErrPaused, q.id, c.Depth+c.Deferred))
	}
	return errors.Join(errs...)
}

// isSettled reports whether nothing more will be handled.
func (b *Bus) isSettled() bool {
	_, idle := b.isIdleOrPaused()
	return idle || b.hasStopped()
}

// hasStopped reports whether the bus does not run and its processors have left.
func (b *Bus) hasStopped() bool { return !b.running.Load() && b.haveExited() }

// isIdleOrPaused reports whether the bus is idleOrPaused, and returns the paused queues that hold
// events. It reads Gone of all queues first and Accepted of all queues after that. Both
// only grow. So if they agree for a queue, it was empty all the time in between, and if
// they agree for all queues, all were empty at once. A paused queue that holds events
// must have idle from the first read to the last: otherwise a handler of it could have
// published to a queue that was read already.
func (b *Bus) isIdleOrPaused() (held []*queue, idle bool) {
	var gone [numQueues]uint64
	var at [numQueues]buffer.Site
	var pausedIdle [numQueues]bool
	for i, q := range b.queues {
		at[i], pausedIdle[i] = q.isPausedIdle()
		gone[i] = q.buffer.Gone()
	}
	for i, q := range b.queues {
		if q.buffer.Accepted() == gone[i] {
			continue
		}
		if !pausedIdle[i] {
			return nil, false
		}
		held = append(held, q)
	}
	for _, q := range held {
		if now, still := q.isPausedIdle(); !still || now != at[q.id] {
			return nil, false
		}
	}
	return held, true
}

// haveExited reports whether no goroutine runs a processor.
func (b *Bus) haveExited() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.haveExitedLocked()
}

func (b *Bus) haveExitedLocked() bool {
	for _, p := range b.processors {
		if p.life.alive {
			return false
		}
	}
	return !b.stepping.Load()
}

// observers wait for a change of what the processors have done.
type observers struct {
	n      atomic.Int32
	mu     sync.Mutex
	change chan struct{} // guarded by mu; closed at the next change
}

// await waits until cond holds or done is closed, and reports which. cond is
// looked at again after each change.
func (b *Bus) await(done <-chan struct{}, cond func() bool) bool {
	o := &b.observers
	o.n.Add(1)
	defer o.n.Add(-1)
	for {
		change := o.next()
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

// awaitFor is await for d at most.
func (b *Bus) awaitFor(d time.Duration, cond func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return b.await(ctx.Done(), cond)
}

func (o *observers) next() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.change == nil {
		o.change = make(chan struct{})
	}
	return o.change
}

// changed tells the observers to look again. Whoever changes what they look at
// calls it afterwards; they announce themselves before they look.
func (b *Bus) changed() {
	o := &b.observers
	if o.n.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.change != nil {
		close(o.change)
		o.change = nil
	}
}
