package eventbus

import "context"

// A Delivery is what the bus knows about the call of a handler.
type Delivery struct {
	Event   Event  // what the handler was called with
	Queue   Queue  // where it was
	Handler string // the handler's name

	// Seq is the event's number among those that its queue has begun to handle,
	// from 1 on and without gaps. All handlers of an event see the same number.
	Seq uint64
}

// DeliveryFrom returns the delivery that ctx, a handler's context or one derived
// from it, belongs to, and false if ctx is not a handler's. It allocates nothing.
// It must be called before the handler returns; the context of a call that
// [Async] has abandoned belongs to no delivery any more.
func DeliveryFrom(ctx context.Context) (Delivery, bool) {
	p := processorOf(ctx)
	if p == nil {
		return Delivery{}, false
	}
	if c, ok := ctx.Value(asyncKey{}).(*asyncContext); ok {
		return c.delivery, true
	}
	q := p.queue
	m, list, i := q.mark(), q.serving.Load(), int(q.place().handler)
	if !m.isCalling() || list == nil || i >= len(list.subs) {
		return Delivery{}, false
	}
	return Delivery{Event: p.event, Queue: q.id, Handler: list.subs[i].name, Seq: m.begun()}, true
}
