package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// logPatience is how long a Shutdown that has given up waits for a logger that tells what
// was withheld.
const logPatience = 10 * time.Millisecond

// control makes a call from outside and sees to it that its result is in order.
func (b *subject) control(ctx context.Context, do control) {
	limit := b.m.scaled(do.limit)
	if limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		b.m.keep(cancel)
		b.m.noteDeadline(ctx)
	}
	if do.call == callStart && b.plan.mode == stepped {
		do.call = callStep
	}
	began := time.Now()
	err := b.call(ctx, do)
	if do.call == callStart || do.call == callRestart {
		limit = 0
	}
	waits := do.call == callFlush || do.call == callShutdown
	if do.call == callShutdown && limit != 0 && b.plan.trouble.waits() {
		limit = max(limit, 0) + logPatience
	}
	if took := time.Since(began); b.inBubble && do.call != callStep && (took > max(limit, 0) && (limit != 0 || !waits)) {
		b.violated("%+v took %v", do, took)
	}
	if !b.permits(do, err) {
		b.violated("%+v returned %v", do, err)
	}
}

func (b *subject) call(ctx context.Context, do control) error {
	switch do.call {
	case callStart:
		return b.start(ctx, false)
	case callStop:
		b.bus.Stop()
	case callRestart:
		return b.start(ctx, true)
	case callFlush:
		return b.flush(ctx)
	case callStats:
		b.look()
	case callSubscribe:
		b.subscribe(do.shape, nil)
	case callUnsubscribe:
		b.unsubscribe()
	case callPause:
		return b.pause(eventbus.Queue(do.queue))
	case callResume:
		return b.resume(eventbus.Queue(do.queue))
	case callStep:
		return b.stepAside(ctx)
	case callShutdown:
		return b.shutdown(ctx)
	}
	return nil
}

// start starts the bus; anew, it ends the context of the last Start first.
func (b *subject) start(ctx context.Context, anew bool) error {
	b.startMu.Lock()
	defer b.startMu.Unlock()
	if b.plan.mode == stepped {
		return nil
	}
	if anew && b.session != nil {
		b.session()
	}
	ctx, cancel := context.WithCancel(ctx)
	b.m.keep(cancel)
	err := b.bus.Start(ctx)
	if anew && errors.Is(err, eventbus.ErrRunning) && !b.stepping.Load() {
		b.violated("the context of the last Start has ended, and Start returned %v", err)
	}
	if err == nil {
		b.session = cancel
	}
	return err
}

// permits reports whether a call from outside may have ended with err.
func (b *subject) permits(do control, err error) bool {
	starts := do.call == callStart || do.call == callRestart
	switch {
	case err == nil, do.call == callShutdown: // which verifyResult looks at
		return true
	case errors.Is(err, eventbus.ErrRunning):
		return starts || do.call == callStep
	case errors.Is(err, eventbus.ErrNotRunning):
		return do.call == callFlush
	case errors.Is(err, eventbus.ErrPaused):
		return do.call == callFlush && b.everPaused()
	case errors.Is(err, errExited):
		return do.call == callStep
	case errors.Is(err, eventbus.ErrClosed):
		return b.closing.Load()
	}
	return errors.Is(err, context.DeadlineExceeded) && do.limit != 0
}

// A stepRun is a call of RunUntilIdle, as its handlers find it in their context.
type stepRun struct {
	outer *handlerCall // of another bus, which it was called in; nil if none
}

type stepKey struct{ bus int }

// step steps the bus on the present goroutine, which a handler may end.
func (b *subject) step(ctx context.Context, outer *handlerCall) (err error) {
	b.stepping.Store(true)
	defer func() { b.driven.Store(b.driven.Load() || !errors.Is(err, eventbus.ErrRunning)) }()
	_, err = b.bus.RunUntilIdle(stepContext{ctx, []any{stepKey{b.index}, &stepRun{outer}}})
	return err
}

// A stepContext holds a key and its value. It cannot be compared, as a struct of a
// user's may not be: to compare two of them panics.
type stepContext struct {
	context.Context
	pair []any
}

func (c stepContext) Value(key any) any {
	if key == c.pair[0] {
		return c.pair[1]
	}
	return c.Context.Value(key)
}

// stepAside steps the bus on a goroutine of its own.
func (b *subject) stepAside(ctx context.Context) error {
	return <-bustest.InBackground(func() (err error) {
		result := make(chan error, 1)
		go func() {
			err := errExited
			defer func() { result <- err }()
			err = b.step(ctx, nil)
		}()
		return <-result
	})
}

// goOn ends all pauses, and starts or steps the bus. It does not wait for long
// for a step: a handler may wait for another bus, which needs help, too.
func (b *subject) goOn() {
	b.resumeAll()
	if b.plan.mode != stepped {
		_ = b.start(context.Background(), false)
		return
	}
	if !b.helping.CompareAndSwap(false, true) {
		return
	}
	done := bustest.InBackground(func() error {
		defer b.helping.Store(false)
		return b.stepAside(context.Background())
	})
	select {
	case <-done:
	case <-time.After(b.m.tick()):
	}
}

func (b *subject) flush(ctx context.Context) error {
	b.m.waiting.Add(1)
	defer b.m.waiting.Add(-1)
	f := flushed{began: b.now()}
	err := b.bus.Flush(ctx)
	f.ended = b.now()
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flushes = append(b.flushes, f)
	}
	return err
}

// close notes that Shutdown is about to be called.
func (b *subject) close() {
	b.closing.Store(true)
	b.closedAt.CompareAndSwap(0, time.Now().UnixNano())
}

// isClosed reports whether Shutdown has begun for certain: in a bubble, time
// passes when everybody is blocked, and so inside it.
func (b *subject) isClosed() bool {
	at := b.closedAt.Load()
	return b.inBubble && at != 0 && at < time.Now().UnixNano()
}

// shutdown calls Shutdown and notes the result, unless the caller is a handler,
// who does not get it.
func (b *subject) shutdown(ctx context.Context) error {
	b.close()
	b.m.waiting.Add(1)
	defer b.m.waiting.Add(-1)
	call := &shutdownCall{began: b.now()}
	call.err = b.bus.Shutdown(ctx)
	call.ended, call.endedAt = b.now(), time.Now()
	if errors.Is(call.err, eventbus.ErrWouldDeadlock) {
		b.goesOn.Store(true)
		return call.err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shutdowns = append(b.shutdowns, call)
	return nil
}

// look sees to it that what Stats says of a busy bus is possible.
func (b *subject) look() {
	joiners := [3]int{b.joiners(0), b.joiners(1), b.joiners(2)}
	stats := b.bus.Stats()
	later := b.bus.Stats() // counters of one Stats may have been read a moment apart
	for i, q := range stats.Queues {
		gone := q.Handled + q.Evicted + q.Conflated + q.Expired + withdrawn(q)
		if q.Depth > q.Capacity && !b.closing.Load() || q.HighWater > q.Capacity || gone > later.Queues[i].Accepted {
			b.violated("%+v", q)
		}
		if bound := 2*q.Capacity + 3 + max(joiners[i], b.joiners(i)); q.Deferred > bound {
			b.violated("the %v queue of %d has deferred %d events", q.Queue, q.Capacity, q.Deferred)
		}
	}
}

// joiners returns how many subscriptions may be on their way through queue i. One
// that has left is not.
func (b *subject) joiners(i int) (n int) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	for _, s := range b.subscribers {
		if s.home == i && s.arrived.Load() == 0 && s.gone.Load() == 0 {
			n++
		}
	}
	return n
}
