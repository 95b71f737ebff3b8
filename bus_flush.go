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

// This file answers how quiet a bus is. The grades, each of which Flush or Shutdown
// waits for:
//
//	idle          all that was accepted is handled, evicted, replaced or withdrawn
//	idleOrPaused  idle, but for what paused queues hold whose processors are not busy with it
//	exited        no goroutine runs a processor
//	settled       idleOrPaused, or exited on a bus that does not run: nothing more will be handled

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
	return !b.life.stepping
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
