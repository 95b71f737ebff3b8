package eventbus

import (
	"errors"
	"fmt"
)

// ErrPaused is why [Bus.Flush] did not wait, and why [Bus.Shutdown] handed
// events back: their queue is paused.
var ErrPaused = errors.New("eventbus: queue is paused")

// Pause keeps the events of q from being handled until [Bus.Resume]. The one
// that its handlers are busy with goes through the rest of them; when Pause
// returns, no further one is begun. What is published to q waits in it, as if
// its processor were busy. The other queues go on.
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
	awaitTurn(func() bool { return b.idleOrBusy(b.queues[q]) })
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
	defer b.mu.Unlock()
	q.paused.Store(on)
	q.proc.signal(replan)
	b.changed()
}

// idleOrBusy reports whether q's processor, which has been told to look what is
// paused, takes no event from q before it has looked. It comes to hold without
// any user code returning, or q is resumed meanwhile.
func (b *Bus) idleOrBusy(q *queue) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !q.proc.alive || !q.paused.Load() || q.mark().state() != taking
}

// resting reports whether q is paused and its processor busy with no event of
// it, so that nothing is about to happen.
func (q *queue) resting() bool { return q.paused.Load() && q.mark().state() == away }

// pausedQueues returns those that are paused and hold events.
func (b *Bus) pausedQueues() (held []*queue) {
	for _, q := range b.queues {
		if q.paused.Load() && q.waiting() > 0 {
			held = append(held, q)
		}
	}
	return held
}

// pausedError says that queues are paused and hold events; nil if there are none.
func pausedError(held []*queue) error {
	var errs []error
	for _, q := range held {
		errs = append(errs, fmt.Errorf("%w: the %v queue, which holds %d events", ErrPaused, q.id, q.waiting()))
	}
	return errors.Join(errs...)
}

// waiting returns how many events are accepted and not begun.
func (q *queue) waiting() uint64 {
	gone := q.mark().begun() + q.evicted.Load() + q.conflated.Load()
	return q.acceptedSoFar() - gone
}
