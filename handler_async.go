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
// names it when it gives up. It is not the handler any more: a publish that
// begins with its context returns [ErrHandlerTimeout], since the call was reported
// as failed; what it published before stays. An error that it returns after all,
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

// WithHandlerTimeout gives the handler of one subscription, a topic's too, a time limit: it
// runs as [Async] of d, inside all middleware, and fails with [ErrHandlerTimeout] when d is
// over. Time in [Where] and in middleware does not count. Given several times, the last
// counts, and with a handler that is Async already the shorter limit. A d of 0 or less is
// set-up misuse and panics in Subscribe.
func WithHandlerTimeout(d time.Duration) SubscribeOption {
	return func(s *Subscription) error {
		if d <= 0 {
			return fmt.Errorf("WithHandlerTimeout: the timeout is %v, want more than 0", d)
		}
		s.timeout = d
		return nil
	}
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
	c := &asyncCall{asyncHandler: a, event: e, outer: callerOf(ctx), done: make(chan struct{})}
	c.ctx.call = c
	var cancel context.CancelFunc
	if a.timeout > 0 {
		c.ctx.Context, cancel = context.WithTimeoutCause(ctx, a.timeout, a.timedOut)
	} else {
		c.ctx.Context, cancel = context.WithCancel(ctx)
	}
	c.delivery, c.delivers = DeliveryFrom(ctx)
	if p := c.outer.processor(); p != nil {
		c.bus, c.logContext = p.bus, anonymous{c.outer.handler.session.ctx}
		if c.outer.call != nil {
			c.info, c.luggage = c.outer.call.info, c.outer.call.luggage
		} else {
			c.info, c.luggage = p.callAt(p.look()), p.luggage()
		}
	}
	c.began = time.Now()
	return c, cancel
}

// An asyncCall is one call of an Async handler.
type asyncCall struct {
	*asyncHandler
	ctx        asyncContext
	event      Event
	began      time.Time
	outer      caller          // the handler that made the call, or is a part of
	bus        *Bus            // of outer; nil if no bus made the call
	info       *callInfo       // the processor's call that this one is a part of; nil if none
	delivery   Delivery        // the processor may be at another one when the call asks
	delivers   bool            // there is a delivery: not for a handler of none, and for an error handler
	luggage    *luggage        // as delivery
	logContext context.Context // of what is logged when nobody waits for the call any more
	state      atomic.Uint32
	done       chan struct{}

	// Written before done is closed.
	err     error
	failure *failure
	late    bool // the timeout had passed when the call returned
}

// An asyncContext is the context of a call.
type asyncContext struct {
	context.Context
	call *asyncCall
}

// The states of a call. It begins as callAwaited. It ends as callReturned, or goes by
// way of callAbandoned to callReturnedLate.
const (
	callAwaited uint32 = iota
	callAbandoned
	callReturned
	callReturnedLate // after it was abandoned
)

// Value returns the context itself for handlerKey: who publishes with it does so
// inside the call.
func (c *asyncContext) Value(key any) any {
	if key == (handlerKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// isAbandoned reports whether Async has given up on c, nil for no call.
func (c *asyncCall) isAbandoned() bool {
	if c == nil {
		return false
	}
	s := c.state.Load()
	return s == callAbandoned || s == callReturnedLate
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
// The publish that the call waits with ends.
func (c *asyncCall) abandon() bool {
	if c.bus != nil {
		c.bus.abandoned.add(c)
	}
	if c.state.CompareAndSwap(callAwaited, callAbandoned) {
		endAbandoned(c.outer.drainers(nil))
		return true
	}
	<-c.done
	if c.bus != nil {
		c.bus.abandoned.remove(c)
		c.bus.changed()
	}
	return false
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
	if c.state.CompareAndSwap(callAwaited, callReturned) {
		return
	}
	c.state.Store(callReturnedLate)
	if c.bus == nil {
		return
	}
	c.bus.abandoned.remove(c)
	c.bus.changed()
	c.logAbandoned() // Shutdown waits for no logger
}

// result returns the error of a call that returned while it was waited for. Of
// a late one, the error of its context adds nothing to that, and would only be
// there if the handler was quicker than the processor.
func (c *asyncCall) result() error {
	switch {
	case c.failure != nil:
		return &caughtError{c.failure.error(), c.failure}
	case c.late && c.err != nil && !isError(c.err, c.ctx.Err()):
		return fmt.Errorf("%w: %w", c.timedOut, c.err)
	case c.late:
		return c.timedOut
	}
	return c.err
}

// isError is errors.Is for an error whose methods may panic.
func isError(err, target error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

// logAbandoned logs the failure of a call that nobody waits for any more. That its
// context has ended is no news.
func (c *asyncCall) logAbandoned() {
	defer func() { _ = recover() }() // the logger's, or that of a method of the error
	err := c.err
	h := &HandlerError{Event: c.event, Handler: c.name()}
	if f := c.failure; f != nil {
		err, h.Panicked, h.Stack = f.error(), !f.exited, f.stack
	}
	if err == nil || c.info == nil || errors.Is(err, c.ctx.Err()) {
		return
	}
	h.Queue, h.Err = c.info.queue.id, fmt.Errorf("after it was abandoned: %w", err)
	c.bus.logFailure(c.logContext, c.info.sub, h, false)
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

// abandonedCalls are the abandoned calls of a bus that still run.
type abandonedCalls struct {
	mu    sync.Mutex
	calls []*asyncCall // in the order in which they were abandoned; guarded by mu
}

func (s *abandonedCalls) add(c *asyncCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}

func (s *abandonedCalls) remove(c *asyncCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = slices.DeleteFunc(s.calls, func(o *asyncCall) bool { return o == c })
}

func (s *abandonedCalls) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// hasCallOf reports whether a call of s is among them.
func (s *abandonedCalls) hasCallOf(sub *Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.calls, func(c *asyncCall) bool { return c.info != nil && c.info.sub == sub })
}

// describe names the calls for people.
func (s *abandonedCalls) describe() (calls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		calls = append(calls, fmt.Sprintf("handler %s, abandoned after %v, still runs on %s", quoted(c.name()), c.timeout, quoted(c.event.Type)))
	}
	return calls
}
