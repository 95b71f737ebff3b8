package eventbus_test

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

// control makes a call and sees to it that its result is in order.
func (c *chaos) control(do control) {
	ctx, limit := context.Background(), c.scaled(do.limit)
	if limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		c.subMu.Lock()
		c.contexts = append(c.contexts, cancel)
		c.subMu.Unlock()
	}
	if do.call == callStart && c.plan.mode == stepped {
		do.call = callStep
	}
	began := time.Now()
	err := c.call(ctx, do)
	if do.call == callStart {
		limit = 0
	}
	waits := do.call == callFlush || do.call == callShutdown
	if took := time.Since(began); !c.realTime && do.call != callStep && (took > max(limit, 0) && (limit != 0 || !waits)) {
		c.violated("%+v took %v", do, took)
	}
	if !c.permits(do, err) {
		c.violated("%+v returned %v", do, err)
	}
}

func (c *chaos) call(ctx context.Context, do control) error {
	switch do.call {
	case callStart:
		return c.bus.Start(ctx)
	case callStop:
		c.bus.Stop()
	case callFlush:
		return c.flush(ctx)
	case callStats:
		c.look()
	case callSubscribe:
		c.subscribe(do.shape, nil)
	case callUnsubscribe:
		c.unsubscribe()
	case callPause:
		return c.pause(eventbus.Queue(do.queue))
	case callResume:
		return c.resume(eventbus.Queue(do.queue))
	case callStep:
		return c.step(ctx)
	case callShutdown:
		c.shutdown(ctx)
	}
	return nil
}

// permits reports whether a call may have ended with err.
func (c *chaos) permits(do control, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, eventbus.ErrRunning):
		return do.call == callStart || do.call == callStep
	case errors.Is(err, eventbus.ErrNotRunning):
		return do.call == callFlush
	case errors.Is(err, eventbus.ErrPaused):
		return do.call == callFlush && (c.pauses[0].happened() || c.pauses[1].happened() || c.pauses[2].happened())
	case errors.Is(err, errExited):
		return do.call == callStep
	case errors.Is(err, eventbus.ErrClosed):
		return c.closing.Load()
	}
	return errors.Is(err, context.DeadlineExceeded) && do.limit != 0
}

var errExited = errors.New("a handler has ended the goroutine")

// step steps the bus, on a goroutine that a handler may end.
func (c *chaos) step(ctx context.Context) error {
	c.stepping.Store(true)
	result := make(chan error, 1)
	go func() {
		err := errExited
		defer func() { result <- err }()
		_, err = c.bus.RunUntilIdle(ctx)
	}()
	return <-result
}

// goOn ends all pauses, and starts or steps the bus.
func (c *chaos) goOn() {
	c.resumeAll()
	if c.plan.mode == stepped {
		_ = c.step(context.Background())
		return
	}
	_ = c.bus.Start(context.Background())
}

func (c *chaos) flush(ctx context.Context) error {
	f := flushed{began: c.now()}
	err := c.bus.Flush(ctx)
	f.ended = c.now()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flushes = append(c.flushes, f)
	}
	return err
}

// close notes that Shutdown is about to be called.
func (c *chaos) close() {
	c.closing.Store(true)
	c.closed.CompareAndSwap(0, time.Now().UnixNano())
}

// isClosed reports whether Shutdown has begun for certain: in a bubble, time
// passes when everybody is blocked, and so inside it.
func (c *chaos) isClosed() bool {
	at := c.closed.Load()
	return c.inBubble && at != 0 && at < time.Now().UnixNano()
}

func (c *chaos) shutdown(ctx context.Context) {
	c.close()
	call := &shutdownCall{began: c.now()}
	call.err = c.bus.Shutdown(ctx)
	call.ended = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutdowns = append(c.shutdowns, call)
}

// look sees to it that what Stats says of a busy bus is possible.
func (c *chaos) look() {
	for _, q := range c.bus.Stats().Queues {
		if q.Depth > q.Capacity && !c.closing.Load() || q.HighWater > q.Capacity || q.Handled+q.Evicted+q.Conflated+q.Expired > q.Accepted {
			c.violated("%+v", q)
		}
	}
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}
