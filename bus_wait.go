package eventbus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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

// await waits for the outcome, or until ctx ends. end tells what that means.
func (c *completion) await(ctx context.Context, end func() ending) error {
	done, deadline := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case err := <-c.done: // before the end of ctx
			return err
		default:
		}
		select {
		case err := <-c.done:
			return err
		case <-deadline:
			return c.leave(context.DeadlineExceeded)
		case <-done:
			e := end()
			if e.err != nil {
				return c.leave(e.err)
			}
			defer e.release()
			done = e.killed
			if !e.deadline.IsZero() {
				timer := time.NewTimer(time.Until(e.deadline))
				defer timer.Stop()
				deadline = timer.C
			}
		}
	}
}

// leave ends the wait with err, unless the outcome is known by then.
func (c *completion) leave(err error) error {
	if !c.unwatch() && c.isOver() {
		return <-c.done
	}
	return fmt.Errorf("it is accepted, and its handlers are not done: %w", err)
}
