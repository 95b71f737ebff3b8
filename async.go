package eventbus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrHandlerTimeout is why a call of an [Async] handler failed that took too
// long.
var ErrHandlerTimeout = errors.New("eventbus: handler timed out")

// Async returns a handler that runs h on a goroutine of its own and waits for
// it, so that events and handlers keep their order. If h has not returned after
// timeout, its context ends, the call fails with [ErrHandlerTimeout], and the
// processor abandons it and goes on. A timeout of 0 waits for as long as h takes.
//
// Go cannot end a goroutine, so an abandoned call runs until it heeds its context.
// Until then Stats.Abandoned counts it, [Bus.Shutdown] waits for it, and
// names it when it gives up. It is not the handler any more: a publish
// with its context is one from outside. An error that it returns after all,
// other than its context's, and a panic are logged at ERROR.
//
// An error, a panic and a [runtime.Goexit] of h are reported like those of any
// other handler. Its context ends when it has returned.
//
// Async panics if h is nil or timeout is negative. Of an Async handler inside
// another the shorter timeout counts.
func Async(h Handler, timeout time.Duration) Handler {
	if isNil(h) {
		panic("eventbus: Async: the handler is nil")
	}
	if timeout < 0 {
		panic(fmt.Sprintf("eventbus: Async: the timeout is %v, want 0 or more", timeout))
	}
	return &asyncHandler{h, timeout, fmt.Errorf("%w after %v", ErrHandlerTimeout, timeout)}
}

type asyncHandler struct {
	handler  Handler
	timeout  time.Duration
	timedOut error
}

func isAsync(h Handler) bool {
	_, ok := h.(*asyncHandler)
	return ok
}

func (a *asyncHandler) handlerName() string { return nameOf(a.handler) }

// Handle runs the handler and waits for it.
func (a *asyncHandler) Handle(ctx context.Context, e Event) error {
	c, cancel := a.newCall(ctx, e)
	defer cancel()
	go c.perform(e)
	if !c.wait() {
		return a.timedOut
	}
	return c.result()
}

func (a *asyncHandler) newCall(ctx context.Context, e Event) (*asyncCall, context.CancelFunc) {
	c := &asyncCall{asyncHandler: a, event: e, done: make(chan struct{})}
	var cancel context.CancelFunc
	if a.timeout > 0 {
		c.ctx.Context, cancel = context.WithTimeoutCause(ctx, a.timeout, a.timedOut)
	} else {
		c.ctx.Context, cancel = context.WithCancel(ctx)
	}
	c.ctx.outer, _ = ctx.Value(asyncKey{}).(*asyncContext)
	c.ctx.delivery, _ = DeliveryFrom(ctx)
	if p := processorOf(ctx); p != nil {
		c.proc, c.bus, c.info = p, p.bus, p.queue.callAt(p.queue.place())
	}
	c.began = time.Now()
	return c, cancel
}

// An asyncCall is one call of an Async handler.
type asyncCall struct {
	*asyncHandler
	ctx   asyncContext
	event Event
	began time.Time
	proc  *processor // that made the call, nil if none did
	bus   *Bus       // of proc
	info  *callInfo  // what proc was doing
	done  chan struct{}

	// Written before done is closed.
	err     error
	failure *failure
	late    bool // its time was up when it returned
}

// An asyncContext is the context of a call. It answers for the processor as long
// as that waits for the call.
type asyncContext struct {
	context.Context
	outer    *asyncContext // of the call that this one is made in, if any
	delivery Delivery      // the processor may be at another one when the call asks
	state    atomic.Uint32
}

type asyncKey struct{}

// The states of a call, in which it begins and one of which it ends in; an
// abandoned one returns, too.
const (
	awaited uint32 = iota
	abandoned
	returned
)

// Value hides the processor from a call that is not the handler any more.
func (c *asyncContext) Value(key any) any {
	switch {
	case key == asyncKey{}:
		return c
	case key == processorKey{} && c.state.Load() != awaited:
		return nil
	}
	return c.Context.Value(key)
}

// attached reports whether a processor waits for c, through all calls around it.
func (c *asyncContext) attached() bool {
	return c == nil || c.state.Load() == awaited && c.outer.attached()
}

// wait reports whether c returned before it was abandoned. Its context ends with
// the bus's too: a handler that does not heed that has the rest of its time.
func (c *asyncCall) wait() (returned bool) {
	var ended <-chan struct{}
	var expired <-chan time.Time
	if c.timeout > 0 {
		ended = c.ctx.Done()
	}
	for {
		select {
		case <-c.done:
			return true
		case <-expired:
			return !c.abandon()
		case <-ended:
			if context.Cause(&c.ctx) == c.timedOut {
				return !c.abandon()
			}
			ended = nil
			rest := time.NewTimer(time.Until(c.began.Add(c.timeout)))
			defer rest.Stop()
			expired = rest.C
		}
	}
}

// abandon gives c up unless it has returned meanwhile. The bus knows of it
// before it stops being the handler, so that Shutdown sees the one or the other.
func (c *asyncCall) abandon() bool {
	if c.bus != nil {
		c.bus.strays.add(c)
	}
	if c.ctx.state.CompareAndSwap(awaited, abandoned) {
		if c.proc != nil {
			c.unpark()
		}
		return true
	}
	<-c.done
	if c.bus != nil {
		c.bus.strays.remove(c)
		c.bus.changed()
	}
	return false
}

// unpark ends the publish that the call waits with, if it does. That would soon
// leave by itself, but until then it would stand for the next handler. A call
// around this one may have been abandoned before: then what is parked is the next
// handler's, which cannot park while lineMu is held.
func (c *asyncCall) unpark() {
	lineMu.Lock()
	defer lineMu.Unlock()
	p := c.proc
	q := p.parkedOn
	if q == nil || !c.ctx.outer.attached() {
		return
	}
	q.admitLocked(true)
	parked := q.line.parked.items[q.line.parked.head:]
	byP := func(w *waiter) bool { return w.by == p }
	if i := slices.IndexFunc(parked, byP); i >= 0 {
		q.endLocked(parked[i], context.DeadlineExceeded)
	}
	q.endWaitLocked(p)
}

// perform is the call's goroutine, which runtime.Goexit may end.
func (c *asyncCall) perform(e Event) {
	exited := true
	defer func() {
		if exited {
			c.failure.exited = true
		}
		c.finish()
	}()
	c.guard(e)
	exited = false
}

func (c *asyncCall) guard(e Event) {
	ok := false
	defer func() {
		if !ok {
			c.failure = &failure{value: recover(), stack: debug.Stack()}
		}
	}()
	c.err = c.handler.Handle(&c.ctx, e)
	ok = true
}

func (c *asyncCall) finish() {
	defer close(c.done)
	c.late = context.Cause(&c.ctx) == c.timedOut
	if c.ctx.state.Swap(returned) != abandoned || c.bus == nil {
		return
	}
	defer c.bus.changed()
	defer c.bus.strays.remove(c)
	c.logStray()
}

// result returns the error of a call that returned while it was waited for. Of
// a late one, the error of its context adds nothing to that, and would only be
// there if the handler was quicker than the processor.
func (c *asyncCall) result() error {
	switch {
	case c.failure != nil:
		return &caughtError{c.failure.error(), c.failure}
	case c.late && c.err != nil && !errors.Is(c.err, c.ctx.Err()):
		return fmt.Errorf("%w: %w", c.timedOut, c.err)
	case c.late:
		return c.timedOut
	}
	return c.err
}

// logStray logs the failure of a call that nobody waits for any more. That its
// context has ended is no news.
func (c *asyncCall) logStray() {
	defer func() { _ = recover() }() // the logger's
	err := c.err
	h := &HandlerError{Event: c.event, Handler: c.name()}
	if f := c.failure; f != nil {
		err, h.Panicked, h.Stack = f.error(), !f.exited, f.stack
	}
	if err == nil || c.info == nil || errors.Is(err, c.ctx.Err()) {
		return
	}
	h.Queue, h.Err = c.info.queue, fmt.Errorf("after it was abandoned: %w", err)
	c.bus.logFailure(c.ctx.Context, c.info.sub, h, false)
}

func (c *asyncCall) name() string {
	if c.info == nil { // called by a goroutine of an abandoned handler
		return c.handlerName()
	}
	return c.info.handler
}

// A caughtError is a panic or a runtime.Goexit that did not end the processor's
// goroutine.
type caughtError struct {
	error
	failure *failure
}

func (e *caughtError) Unwrap() error { return e.error }

// unwrapCaught completes h if its error comes from such a failure.
func (h *HandlerError) unwrapCaught() {
	var c *caughtError
	if !h.Panicked && errors.As(h.Err, &c) {
		h.Panicked, h.Stack = !c.failure.exited, c.failure.stack
	}
}

// strayCalls are the abandoned calls of a bus that still run.
type strayCalls struct {
	mu    sync.Mutex
	calls []*asyncCall // in the order in which they were abandoned; guarded by mu
}

func (s *strayCalls) add(c *asyncCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}

func (s *strayCalls) remove(c *asyncCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = slices.DeleteFunc(s.calls, func(o *asyncCall) bool { return o == c })
}

func (s *strayCalls) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// describe names the calls for people.
func (s *strayCalls) describe() (calls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		calls = append(calls, fmt.Sprintf("handler %s, abandoned after %v, still runs on %s", c.name(), c.timeout, c.event.Type))
	}
	return calls
}
