package eventbus

import (
	"context"
	"sync/atomic"
)

// A handlerContext is the context of the handlers that a processor calls. It
// carries the processor's identity, so that a publish with it is known to be a
// handler's.
type handlerContext struct {
	context.Context            // the session's
	proc            *processor // that calls them
	session         *session

	spare atomic.Pointer[publication] // for the next publish that may wait; nil if there is none, as while one uses it
}

type handlerKey struct{}

// Value returns the context itself for handlerKey.
func (c *handlerContext) Value(key any) any {
	if key == (handlerKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// A caller says on whose behalf a context is used: the innermost handler that it
// belongs to, and the call of Async around that, if any. The zero caller is
// somebody outside.
type caller struct {
	handler *handlerContext
	call    *asyncCall
}

// callerOf returns whose context ctx is. A context that was cut off with
// context.WithoutCancel is anybody's.
func callerOf(ctx context.Context) caller {
	if h, ok := ctx.(*handlerContext); ok {
		return caller{handler: h}
	}
	if ctx.Done() == nil {
		return caller{}
	}
	switch v := ctx.Value(handlerKey{}).(type) {
	case *handlerContext:
		return caller{handler: v}
	case *asyncContext:
		// The call's context has ended. One that was cut off from it, and has an end of
		// its own since, has not: the cause is that of the nearest context with an end.
		if v.call.isAbandoned() && context.Cause(ctx) == nil {
			return caller{}
		}
		return caller{call: v.call, handler: v.call.outer.handler}
	}
	return caller{}
}

// isHandler reports whether c is a handler.
func (c caller) isHandler() bool { return c.handler != nil || c.call != nil }

// processor returns the processor that called the handler.
func (c caller) processor() *processor {
	if c.handler == nil {
		return nil
	}
	return c.handler.proc
}

// outer returns the handler that c is a part of: of a call of Async the one that
// made it, of a bus that is stepped inside a handler that handler.
func (c caller) outer() caller {
	switch {
	case c.call != nil:
		return c.call.outer
	case c.handler != nil:
		return c.handler.session.outer
	}
	return caller{}
}

// isAbandoned reports whether Async has given up on c, or on a handler that c is a
// part of.
func (c caller) isAbandoned() bool {
	for ; c.isHandler(); c = c.outer() {
		if c.call.isAbandoned() {
			return true
		}
	}
	return false
}

// drainers appends the processors that are busy with c, and with what c is a part of,
// to ds.
func (c caller) drainers(ds []*drainer) []*drainer {
	for ; c.isHandler(); c = c.outer() {
		if c.call == nil {
			ds = append(ds, &c.handler.proc.drainer)
		}
	}
	return ds
}

// isOf reports whether c is a handler of b.
func (c caller) isOf(b *Bus) bool {
	for ; c.isHandler(); c = c.outer() {
		if c.handler != nil && c.handler.proc.bus == b {
			return true
		}
	}
	return false
}

// An anonymous context hides whose it is: what is logged off a processor's
// goroutine must not be taken for a handler.
type anonymous struct{ context.Context }

// Value hides handlerKey.
func (c anonymous) Value(key any) any {
	if key == (handlerKey{}) {
		return nil
	}
	return c.Context.Value(key)
}

// A Delivery is what the bus knows about the call of a handler.
type Delivery struct {
	Event   Event  // what the handler was called with
	Queue   Queue  // where it was
	Handler string // the handler's name

	// Seq is the event's number among those that its queue has begun to handle,
	// from 1 on and without gaps. All handlers of an event see the same number.
	Seq uint64

	// Draining says that Shutdown has begun. A handler that keeps itself going by
	// publishing its own events, such as a heartbeat, stops then.
	Draining bool

	// More says that something waits in the queue: a handler that collects may write
	// what it has when nothing does. What waits may turn out to be for others, withdrawn
	// or too old: a collector that must not keep anything for long needs a time, too.
	More bool

	// Cause says which event's handler has published this one. It is nil without
	// [WithCauses], and for an event from outside. It must not be changed.
	Cause *Cause
}

// DeliveryFrom returns the delivery that ctx, a handler's context or one derived
// from it, belongs to: of the innermost handler, if a bus is stepped inside
// another's. It returns false if ctx is not a handler's. It allocates nothing. It
// must be called before the handler returns; the context of a call that [Async]
// has abandoned belongs to no delivery any more.
func DeliveryFrom(ctx context.Context) (d Delivery, ok bool) {
	if h, direct := ctx.(*handlerContext); direct { // as below, in half the time
		ok = h.proc.deliver(&d)
		return d, ok
	}
	switch c := callerOf(ctx); {
	case c.call.isAbandoned():
	case c.call != nil:
		if c.handler != nil && c.call.delivers {
			d, ok = c.call.delivery, true
			d.Draining = c.handler.proc.bus.draining.Load()
		}
	case c.handler != nil:
		ok = c.handler.proc.deliver(&d)
	}
	return d, ok
}
