package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// An EventType names what happened. Handlers subscribe to types. Programs
// define their own beside the ones below; the empty type is invalid.
type EventType string

// The event types of a trading engine. The bus gives none of them a meaning
// of its own, and ties none of them to a queue.
const (
	CandleUpdate         EventType = "candle_update"          // the current candle changed
	CandleClosed         EventType = "candle_closed"          // a candle is complete
	SignalGenerated      EventType = "signal_generated"       // a strategy wants to trade
	OrderPlaced          EventType = "order_placed"           // an order went to the exchange
	OrderFilled          EventType = "order_filled"           // an order was executed in full
	OrderPartiallyFilled EventType = "order_partially_filled" // an order was executed in part
	OrderUpdate          EventType = "order_update"           // any other change of an order
	PositionOpened       EventType = "position_opened"        // a position was opened
	PositionClosed       EventType = "position_closed"        // a position was closed
)

// An Event is what travels through a [Bus], by value. The bus never writes to
// one, apart from the Time that a queue with a MaxAge needs. Data is shared by the
// publisher and all handlers, so none of them may change what it refers to once
// the event is published.
type Event struct {
	Type   EventType // what happened; must not be empty
	Data   any       // the payload, nil if the type says it all
	Source string    // who published it, for logs and handlers
	Time   time.Time // when it happened; see QueueConfig.MaxAge for the zero value
}

// NewEvent returns an event whose Time is now.
func NewEvent(t EventType, data any, source string) Event {
	return Event{Type: t, Data: data, Source: source, Time: time.Now()}
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
// The events of a batch share one cause, and an event that replaces another has its own.
// A publish costs some 40 ns more, and inside a handler an allocation. A goroutine that
// outlives the handler must not publish with its context: the event at hand may be another
// by then.
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
		ok = c.handler.proc.deliver(&d)
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
