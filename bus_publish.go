package eventbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Publish puts e into q. nil means that e is accepted: it will be handled, or
// Shutdown hands it back. With an error it is not in the queue and never will
// be. The error wraps
//
//   - [ErrUnknownQueue] or [ErrInvalidEvent] (no type) if the call was wrong,
//   - [ErrDropped] or [ErrQueueFull] if the queue was full, as its rule says,
//   - the error of ctx if that had ended, outside a handler, or ended while Publish
//     waited,
//   - [ErrClosed] during and after Shutdown,
//   - [ErrHandlerTimeout] with the context of a call that [Async] has given up on.
//
// If ctx is nil, the error says so.
//
// Before [Bus.Start] and after [Bus.Stop], events wait in the queue.
//
// ctx is for the publish alone: its end ends no handler, and its values do not reach
// handlers. What these need belongs into e.Data.
//
// Inside a handler, pass the context that the handler was given. During
// Shutdown that is what lets the event in, and it does not end by itself what a
// publish waits for. Where waiting for room would be waiting for itself, directly or
// around a cycle of handlers, or where nobody drains the queue, since the bus does
// not run or the queue is paused, Publish defers the event instead: it is accepted,
// and enters the queue before anything from outside does. A queue defers at most
// twice its capacity and 3 events; then Publish returns ErrQueueFull.
func (b *Bus) Publish(ctx context.Context, q Queue, e Event) error {
	return b.publish(ctx, q, &e, nil)
}

// TryPublish is [Bus.Publish] that never waits. If the queue is full it returns
// [ErrQueueFull] whatever the queue's rule, and neither drops nor defers.
func (b *Bus) TryPublish(ctx context.Context, q Queue, e Event) error {
	return b.publish(ctx, q, &e, tryRule)
}

// PublishBatch publishes events, as one packet of a feed, to q. A batch takes one
// place in line and has one wait: the queue's timeout counts from the beginning of
// it. If there is room for all of it, nothing comes in between; if it waits, the
// events of handlers may, those of other publishers not. It may be larger than the
// queue. The first event that is refused ends it, so that the accepted ones are a
// prefix: accepted says how long, and err, wrapped as that of [Bus.Publish], why the
// next one was refused; it is nil if all are accepted. The caller may use the slice
// again.
//
// Inside a handler that must not wait, events are deferred as Publish defers them.
// If an event has no type, none is accepted and the error wraps [ErrInvalidEvent].
// Without events PublishBatch returns 0 and nil, after Shutdown too.
func (b *Bus) PublishBatch(ctx context.Context, q Queue, events []Event) (accepted int, err error) {
	return b.publishBatch(ctx, q, events, nil)
}

// publish publishes e by rule r, nil for the queue's. Who finds room takes one lock.
func (b *Bus) publish(ctx context.Context, q Queue, e *Event, r *rule) error {
	if q >= numQueues || e.Type == "" || ctx == nil {
		return b.rejectCall(ctx, q, e.Type, 1)
	}
	to := b.queues[q]
	if !to.plain || !r.isPlain() {
		return b.publishLabelled(ctx, to, *e, r)
	}
	if isOpen(ctx) {
		if place := to.buffer.Reserve(); place != nil { // as add, without a copy
			place.Event = *e
			to.buffer.Commit()
			return nil
		}
	}
	return b.publishSlow(ctx, to, entry{Event: *e}, r)
}

// publishLabelled publishes an event that may have a key, an age or luggage, which it is
// labelled with first. That may run user code.
func (b *Bus) publishLabelled(ctx context.Context, to *queue, ev Event, r *rule) error {
	e := entry{Event: ev}
	luggage, err := b.pack(ctx)
	if err == nil {
		err = to.label(&e, r, luggage, b.now)
	}
	if err != nil {
		return to.rejectEvents(ctx, e.Type, err, 1)
	}
	if isOpen(ctx) && to.add(&e) {
		return nil
	}
	return b.publishSlow(ctx, to, e, r)
}

// add accepts e if the gate is open and there is room.
func (q *queue) add(e *entry) bool {
	if e.meta != nil {
		return q.buffer.Add(e)
	}
	place := q.buffer.Reserve()
	if place == nil {
		return false
	}
	place.Event = e.Event
	q.buffer.Commit()
	return true
}

// isOpen reports whether a publish with ctx may take the fast path. A context that has
// ended may not, except that of a handler, whose end stops no publish. A handler of a
// bus that is stepped inside another handler may not either: Async may have given up
// on the outer one, and the slow path looks whether it has.
func isOpen(ctx context.Context) bool {
	if h, own := ctx.(*handlerContext); own {
		return !h.session.outer.isHandler()
	}
	return ctx.Err() == nil
}

// publishSlow publishes an event that the fast path did not accept.
func (b *Bus) publishSlow(ctx context.Context, q *queue, e entry, r *rule) error {
	c := callerOf(ctx)
	pub := b.takeSpare(c)
	pub.begin(ctx, c, q, r)
	pub.one[0] = e
	pub.entries = pub.one[:]
	err := b.carryOut(q, pub)
	b.giveBack(pub, err)
	return err
}

func (b *Bus) publishBatch(ctx context.Context, q Queue, events []Event, r *rule) (accepted int, err error) {
	if len(events) == 0 && q < numQueues && ctx != nil {
		return 0, nil
	}
	if q >= numQueues || ctx == nil {
		var first Event
		if len(events) > 0 {
			first = events[0]
		}
		return 0, b.rejectCall(ctx, q, first.Type, len(events))
	}
	for i := range events {
		if events[i].Type == "" {
			return 0, fmt.Errorf("event %d of %d: %w", i, len(events), b.rejectCall(ctx, q, "", len(events)))
		}
	}
	to := b.queues[q]
	if to.plain && r.isPlain() && isOpen(ctx) &&
		to.buffer.AddAll(len(events), func(i int, place *entry) { place.Event = events[i] }) {
		return len(events), nil
	}
	return b.publishBatchSlow(ctx, to, events, r)
}

// publishBatchSlow labels the events and publishes the batch by the law. An event that
// cannot be labelled ends the batch: only the events before it are published.
func (b *Bus) publishBatchSlow(ctx context.Context, q *queue, events []Event, r *rule) (accepted int, err error) {
	pub := newPublication(ctx, q, r)
	pub.entries = make([]entry, len(events))
	keyed, now := false, sync.OnceValue(b.now) // once a batch
	luggage, invalid := b.pack(ctx)
	if invalid != nil {
		pub.entries = nil
	}
	for i := range pub.entries {
		e := &pub.entries[i]
		e.Event = events[i]
		if q.plain && r.isPlain() {
			continue
		}
		if invalid = q.label(e, r, luggage, now); invalid != nil {
			pub.entries = pub.entries[:i]
			break
		}
		keyed = keyed || e.meta != nil
	}
	if keyed || !isOpen(ctx) || !q.buffer.AddAll(len(pub.entries), func(i int, place *entry) { *place = pub.entries[i] }) {
		if err := b.carryOut(q, pub); err != nil {
			q.rejectRest(ctx, events[len(pub.entries):], err)
			return pub.accepted, err
		}
	}
	if invalid != nil {
		n := len(pub.entries)
		return n, q.rejectEvents(ctx, events[n].Type, invalid, uint64(len(events)-n))
	}
	return len(events), nil
}

// A publication is one call that publishes: its events, how far it has come, and its
// wait. A single event is a batch of one.
type publication struct {
	ctx       context.Context
	ctxErr    error // ctx.Err() when the publish began: ctx is user code and is not asked under a lock
	caller    caller
	publisher publisher
	by        []*drainer // the drainers that are busy with the publishing handler; empty from outside
	rule      *rule
	entries   []entry
	accepted  int     // how many of entries are; guarded by admissionMu
	evicted   []entry // entries that were evicted to make room
	noWait    error   // why a handler's PublishWait must not wait; nil if it may

	completion *completion // of PublishWait
	wait       lineWait
	spareOf    *handlerContext // that keeps it for its next publish; nil for none

	one     [1]entry // the arrays behind entries and by where they hold one element
	byOne   [1]*drainer
	edgeOne edge
}

// newPublication returns a publication by rule r for the caller that ctx belongs to.
func newPublication(ctx context.Context, q *queue, r *rule) *publication {
	pub := new(publication)
	pub.begin(ctx, callerOf(ctx), q, r)
	return pub
}

// begin makes pub, which is empty, a publish of c by rule r.
func (pub *publication) begin(ctx context.Context, c caller, q *queue, r *rule) {
	pub.ctx, pub.caller, pub.rule = ctx, c, r
	if r == nil || r.inherits {
		pub.rule = &q.rule
	}
	pub.ctxErr = ctx.Err()
	pub.publisher.ended = pub.ctxErr != nil
	if c.isHandler() {
		pub.publisher.ofBus = c.isOf(q.bus)
		pub.by = c.drainers(pub.byOne[:0])
	}
	if c.handler != nil {
		pub.publisher.standing = mayWait
	}
}

// An ending says what a wait does after its context has ended. The context of a handler
// ends with its session, which ends no wait. From then on two things may end the wait:
// the kill switch of the bus, and a deadline that the handler has set itself.
type ending struct {
	err      error           // the wait ends with this error; nil if it goes on
	killed   <-chan struct{} // if it goes on: closed by the kill switch, which ends it
	release  func()          // lets go of what closes killed, when the wait is over
	deadline time.Time       // if it goes on: the time at which it ends; zero for none
}

// end says what the wait of pub does now that its context is done. If a session has
// ended, end carries out the Stop first: the Stop may let the wait in, or refuse it. The
// end of a session has an error, so a context without one is done for another reason.
func (pub *publication) end() (e ending) {
	if pub.ctx.Err() == nil {
		return ending{err: errDone}
	}
	var over []*Bus // whose sessions have ended
	deadline, own := pub.ctx.Deadline()
	for c := pub.caller; c.isHandler(); c = c.outer() {
		if c.handler == nil || c.handler.session.ctx.Err() == nil {
			continue
		}
		b := c.handler.proc.bus
		if b.endSession(c.handler.session) {
			return ending{err: contextError(pub.ctx)}
		}
		over = append(over, b)
		if d, ok := c.handler.session.ctx.Deadline(); ok && d.Equal(deadline) {
			own = false // it is the session's, not the handler's
		}
	}
	if over == nil {
		return ending{err: contextError(pub.ctx)}
	}
	if own {
		e.deadline = deadline
	}
	e.killed, e.release = firstKilled(over)
	return e
}

// firstKilled returns a channel that is closed when the first of buses gives up. There
// is more than one only where a bus is stepped inside another's handler.
func firstKilled(buses []*Bus) (killed <-chan struct{}, release func()) {
	first, release := buses[0].killed, func() {}
	for _, b := range buses[1:] {
		ctx, cancel := context.WithCancel(first)
		stop, before := context.AfterFunc(b.killed, cancel), release
		first, release = ctx, func() { stop(); cancel(); before() }
	}
	return first.Done(), release
}

// contextError returns the error of ctx, which is done.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return errDone
}

// errDone is the error of a context that is done and does not say why.
var errDone = errors.New("eventbus: the context is done without an error")

// carryOut publishes pub by the law and waits if the law says so. What runs user code,
// late joiners and logs, comes last, without a lock.
func (b *Bus) carryOut(q *queue, pub *publication) error {
	ctx := pub.ctx
	w, err := q.carryOut(pub)
	if w != nil {
		err = q.await(w)
	}
	for _, old := range pub.evicted {
		b.joinEvicted(old)
	}
	if n := len(pub.evicted); n > 0 {
		q.logDrops(ctx, "evicted the oldest event", pub.evicted[0].Type, uint64(n))
	}
	if err == nil {
		return nil
	}
	rest := pub.entries[pub.accepted:]
	for i := range rest {
		if m := rest[i].meta; m != nil {
			m.recycle()
		}
	}
	return q.rejectEvents(ctx, rest[0].Type, err, uint64(len(rest)))
}

// joinEvicted begins the subscription of a late joiner whose entry e was evicted.
func (b *Bus) joinEvicted(e entry) {
	if e.meta != nil && e.meta.joins != nil {
		b.arrive(e.meta.joins.sub)
	}
}

// rejectCall counts n events that are not accepted and says what is wrong with the
// arguments of their publish.
func (b *Bus) rejectCall(ctx context.Context, q Queue, t EventType, n int) error {
	if q >= numQueues {
		return &publishError{q, t, fmt.Errorf("%w: want data, signal or order", ErrUnknownQueue)}
	}
	b.queues[q].rejected.Add(uint64(n))
	if ctx == nil {
		return &publishError{q, t, errNilContext}
	}
	return &publishError{q, t, fmt.Errorf("%w: its type is empty", ErrInvalidEvent)}
}

var errNilContext = errors.New("eventbus: the context is nil")

// A publishError says what could not be published where, and why.
type publishError struct {
	queue     Queue
	eventType EventType
	err       error
}

func (e *publishError) Error() string {
	return fmt.Sprintf("publish %q to the %v queue: %v", string(e.eventType), e.queue, e.err)
}

func (e *publishError) Unwrap() error { return e.err }

// rejectEvents counts n events that are not accepted and returns the error that
// says why.
func (q *queue) rejectEvents(ctx context.Context, t EventType, err error, n uint64) error {
	if errors.Is(err, ErrDropped) {
		q.dropped.Add(n)
		q.logDrops(ctx, "dropped an event", t, n)
	} else {
		q.rejected.Add(n)
	}
	return &publishError{q.id, t, err}
}

// rejectRest counts the events of a batch that were not labelled, as refused with err.
func (q *queue) rejectRest(ctx context.Context, events []Event, err error) {
	if len(events) > 0 {
		_ = q.rejectEvents(ctx, events[0].Type, err, uint64(len(events)))
	}
}
