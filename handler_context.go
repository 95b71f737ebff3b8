package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A handlerContext is the context of the handlers that a processor calls. It
// carries the processor's identity, so that a publish with it is known to be a
// handler's.
type handlerContext struct {
	context.Context            // the session's
	proc            *processor // that calls them
	session         *session
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
func DeliveryFrom(ctx context.Context) (Delivery, bool) {
	c := callerOf(ctx)
	switch {
	case c.call.isAbandoned():
		return Delivery{}, false
	case c.call != nil:
		d := c.call.delivery
		d.Draining = c.handler != nil && c.handler.proc.bus.draining.Load()
		return d, c.handler != nil
	case c.handler == nil:
		return Delivery{}, false
	}
	return c.handler.proc.delivery()
}

// A Cause says which event led to another: a handler of the bus that was called with the
// first has published the second. The handlers of other buses are outside.
type Cause struct {
	Queue Queue  // of the event whose handler published
	Seq   uint64 // its Delivery.Seq
	Root  Origin // the event from outside that the chain began with
	Hops  int    // how long the chain is: 1 if Root is the event whose handler published
}

// An Origin is an event from outside, with which a chain of causes began.
type Origin struct {
	Queue Queue
	Seq   uint64 // its Delivery.Seq
	Type  EventType
	Time  time.Time // its Event.Time, which is zero if nobody has set it
}

// WithCauses makes [Delivery].Cause tell which event's handler published the one at hand,
// and which event from outside all began with: from an order back to its tick.
//
//	bus, err := eventbus.New(eventbus.WithCauses())
//	orders.Subscribe(bus, func(ctx context.Context, o Order) error {
//		if d, ok := eventbus.DeliveryFrom(ctx); ok && d.Cause != nil {
//			log.Printf("order %d: of %v event %d, from tick %d of %v", d.Seq,
//				d.Cause.Queue, d.Cause.Seq, d.Cause.Root.Seq, d.Cause.Root.Time)
//		}
//		return broker.Send(ctx, o)
//	})
//
// The events
// of a batch share one cause, and an event that replaces another has its own. A publish
// costs some 40 ns more, and inside a handler an allocation. A goroutine that outlives the
// handler must not publish with its context: the event at hand may be another by then.
func WithCauses() Option {
	return func(c *config) error {
		c.packer.causes = true
		return nil
	}
}

// WithCarry makes a value travel with each event, from the context of its publish to its
// handlers, which read it with [Carried]: a trace, an account. Without it, the values of
// a publisher's context do not reach handlers. capture is called once a publish or batch,
// on the publisher's goroutine and so concurrently, and returns false if there is nothing
// to carry, which then costs its call alone. With a handler's context it may call Carried
// itself, to pass on what the event at hand carries. If it panics, the publish returns an
// error that wraps [ErrInvalidEvent].
//
// The value stays with the event while it waits, is deferred or retained, and through
// [Async]; an event that replaces another brings its own. Two WithCarry of one T fail in New.
func WithCarry[T any](capture func(ctx context.Context) (T, bool)) Option {
	return func(c *config) error {
		if capture == nil {
			return errors.New("WithCarry: the function is nil")
		}
		t := reflect.TypeFor[T]()
		if slices.Contains(c.packer.types, t) {
			return fmt.Errorf("WithCarry: given twice for %v", t)
		}
		c.packer.types = append(c.packer.types, t)
		c.packer.captures = append(c.packer.captures, func(ctx context.Context) (any, bool) {
			v, ok := capture(ctx)
			if !ok {
				return nil, false
			}
			return carried[T]{v}, true
		})
		return nil
	}
}

// Carried returns what the event at hand carries of type T, and whether it carries that. ctx
// is a handler's context or one derived from it; it must be asked before the handler
// returns. With any other context, and that of a call that [Async] has given up on, it
// returns false.
func Carried[T any](ctx context.Context) (T, bool) {
	c := callerOf(ctx)
	var l *luggage
	switch {
	case c.call.isAbandoned():
	case c.call != nil:
		l = c.call.luggage
	case c.handler != nil:
		l = c.handler.proc.luggage()
	}
	if l != nil {
		for _, v := range l.values {
			if v, ok := v.(carried[T]); ok {
				return v.value, true
			}
		}
	}
	var none T
	return none, false
}

// A carried value has a type of its own for each T, though T may be an interface.
type carried[T any] struct{ value T }

// A packer captures what travels with an event.
type packer struct {
	types    []reflect.Type
	captures []func(context.Context) (any, bool)
	causes   bool
}

// luggage is what travels with an event. It never changes.
type luggage struct {
	cause  *Cause // nil from outside, else that of itself
	values []any  // carried[T]

	ofItself Cause
}

// isEmpty reports whether nothing travels with any event.
func (k *packer) isEmpty() bool { return len(k.captures) == 0 && !k.causes }

// pack returns what travels with the events of a publish with ctx, nil if nothing. It runs
// user code.
func (b *Bus) pack(ctx context.Context) (l *luggage, err error) {
	k := &b.packer
	if k.isEmpty() {
		return nil, nil
	}
	var values []any
	for _, capture := range k.captures {
		err := contain("WithCarry", func() {
			if v, ok := capture(ctx); ok {
				values = append(values, v)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	cause, caused := Cause{}, false
	if k.causes {
		cause, caused = b.causeFrom(callerOf(ctx))
	}
	if !caused && values == nil {
		return nil, nil
	}
	l = &luggage{values: values}
	if caused {
		l.ofItself = cause
		l.cause = &l.ofItself
	}
	return l, nil
}

// causeFrom returns the cause of what c publishes, false if c is no handler of b.
func (b *Bus) causeFrom(c caller) (cause Cause, ok bool) {
	var d Delivery
	switch {
	case c.handler == nil || c.handler.proc.bus != b:
		return Cause{}, false
	case c.call != nil:
		d, ok = c.call.delivery, c.call.delivers
	default:
		d, ok = c.handler.proc.delivery()
	}
	if !ok {
		return Cause{}, false
	}
	cause = Cause{Queue: d.Queue, Seq: d.Seq, Root: Origin{d.Queue, d.Seq, d.Event.Type, d.Event.Time}, Hops: 1}
	if before := d.Cause; before != nil {
		cause.Root, cause.Hops = before.Root, before.Hops+1
	}
	return cause, true
}
