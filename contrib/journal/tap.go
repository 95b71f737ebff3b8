package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// Record records all events of bus from now on: it subscribes a tap named "journal" with
// the highest priority, so that what acts on an event comes after it. The tap hands the
// event over to the writer, which encodes it later: as everywhere on the bus, nobody may
// change the payload of an event that is published. It takes 0.1 to 0.2 µs. While as many
// events wait as [WithBuffer] says, it blocks, and drops none: a disk that is too slow slows
// the bus down. Once the journal has failed or is closed, the tap fails, with an error that
// wraps [ErrNotStored], and the other handlers still run, but for those behind
// [Journal.Before].
//
// The tap sees what reaches handlers. An event that is dropped, evicted, conflated or too
// old does not, nor the last event that a late joiner gets.
//
// Make the bus with eventbus.WithCauses: without it the journal cannot tell what came from
// outside, nor [Replay] what to publish.
//
// A journal records one bus. Record panics if bus is nil or if it is called again. Call it
// before the bus starts, so that no event is missed. The subscription it returns may be
// unsubscribed to record no more.
func (j *Journal) Record(bus *eventbus.Bus) *eventbus.Subscription {
	if bus == nil {
		panic("journal: Record: the bus is nil")
	}
	if j.recorded.Swap(true) {
		panic("journal: Record: the journal records a bus already; open one for each bus")
	}
	m := j.session
	m.Queues = queuesOf(bus.Stats())
	j.handover.announce(&m)
	return bus.SubscribeAll(eventbus.HandlerFunc(j.tap), eventbus.WithName("journal"), eventbus.WithPriority(math.MaxInt))
}

// tap hands e over.
func (j *Journal) tap(ctx context.Context, e eventbus.Event) error {
	d, ok := eventbus.DeliveryFrom(ctx)
	if !ok {
		return fmt.Errorf("%w: %w", ErrNotStored, errNoDelivery)
	}
	_, err := j.handover.hand(&item{e, d.Cause, d.Seq, d.Queue})
	return err
}

// Before returns a middleware that stores and syncs events of these types, and of all types
// if none is given, before the handler is called. If that fails, the handler is not called:
// the error wraps [ErrNotStored] and is the handler's failure. So what the handler does,
// such as sending an order, is known to whoever reads the file afterwards: see [Pending].
// The sync covers all that was recorded before, and so what has led to the event.
//
//	orders.Subscribe(bus, exchange.Send, eventbus.Use(j.Before(orders.Type())))
//
// An event is recorded once, though the tap of [Journal.Record] and several handlers behind
// Before see it. Without Record, Before alone records. It takes as long as a sync of the
// disk; handlers of several queues share one. It does not end with the handler's context,
// since nobody could say then whether the event is stored. If it is behind eventbus.Async,
// whose time ends meanwhile, the handler is not called, and the error wraps
// [eventbus.ErrHandlerTimeout]; the event may be stored. Give the time limit to the handler
// alone, as eventbus.WithHandlerTimeout does: it begins when the event is stored.
//
// It must not be combined with eventbus.WithLast: the event that a late joiner gets is recorded
// then for a second time, with a number of its own in the queue. [Replay] would publish it
// again, and Pending take an order that was filled for one that is open.
//
// Give it to [eventbus.Use], or to eventbus.WithMiddleware, of the bus that the journal
// records and of no other. An empty type panics.
func (j *Journal) Before(types ...eventbus.EventType) eventbus.Middleware {
	if slices.Contains(types, "") {
		panic("journal: Before: an event type is empty")
	}
	types = slices.Clone(types)
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			if len(types) == 0 || slices.Contains(types, e.Type) {
				if err := j.store(ctx, e); err != nil {
					return err
				}
			}
			return next.Handle(ctx, e)
		})
	}
}

// store returns when e is durable.
func (j *Journal) store(ctx context.Context, e eventbus.Event) error {
	d, ok := eventbus.DeliveryFrom(ctx)
	if !ok {
		return fmt.Errorf("%w: %w", ErrNotStored, errNoDelivery)
	}
	pos, err := j.handover.hand(&item{e, d.Cause, d.Seq, d.Queue})
	if err != nil {
		return err
	}
	if err := <-j.handover.await(pos); err != nil {
		return err
	}
	refused := j.handover.refusalOf(d.Queue, pos)
	// The next event of the queue begins when this handler is done, so the last refusal of the
	// queue is of this event or of an earlier one. That does not hold once Async has given the
	// handler up, and so it is asked now whether that had happened by the line above.
	if _, ok := eventbus.DeliveryFrom(ctx); !ok {
		return errAbandoned
	}
	return refused
}

var (
	errNoDelivery = errors.New("the context is not that of a handler")
	errAbandoned  = fmt.Errorf("journal: Before: the handler is not called: %w", eventbus.ErrHandlerTimeout)
)
