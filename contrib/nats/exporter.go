package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/eventbus-go/eventbus"
)

// An Exporter stores a bus's events. Get one from [Topic.Export]. All methods may be called
// concurrently.
//
// An event is in slots from the moment that its handler has a place for it until it is
// stored, so that at most cap(slots) events are not stored. It waits in queue until the
// goroutine of run takes it, in the order of queue.
type Exporter struct {
	stream       *stream
	bus          *eventbus.Bus
	eventType    eventbus.EventType
	config       exportConfig
	subscription *eventbus.Subscription // set before subscribed is closed; nil if that failed
	subscribed   chan struct{}

	slots chan struct{}
	wake  chan struct{} // something is in queue, or closing is set
	ended chan struct{} // closed when nothing is stored any more; err is set before
	done  chan struct{} // closed when all is known: err, and that run stores nothing more

	cut    context.Context // ends when Close waits no longer
	cutOff context.CancelCauseFunc

	mu       sync.Mutex
	queue    []pending
	accepted uint64        // so far
	stored   uint64        // so far
	progress chan struct{} // closed and replaced when stored grows
	closing  bool          // Close waits for the rest of queue
	err      *ExportError  // why it has ended; nil after a Close that stored everything
}

// A pending event waits to be stored.
type pending struct {
	message *nats.Msg
	event   eventbus.Event
}

func newExporter(s *stream, bus *eventbus.Bus, eventType string, c exportConfig) *Exporter {
	x := &Exporter{
		stream: s, bus: bus, eventType: eventbus.EventType(eventType), config: c,
		subscribed: make(chan struct{}), slots: make(chan struct{}, c.window), wake: make(chan struct{}, 1),
		ended: make(chan struct{}), done: make(chan struct{}), progress: make(chan struct{}),
	}
	x.cut, x.cutOff = context.WithCancelCause(context.Background())
	return x
}

// accept puts the event at hand into the window and waits for room in it.
func (x *Exporter) accept(ctx context.Context, encode func(eventbus.Event) (pending, error)) error {
	d, ok := eventbus.DeliveryFrom(ctx)
	if !ok {
		return errGivenUp
	}
	p, err := encode(d.Event)
	if err != nil {
		return fmt.Errorf("eventbusnats: export: %w", err)
	}
	if err := x.takeSlot(ctx); err != nil {
		return err
	}
	if err := x.enqueue(ctx, p); err != nil {
		return err
	}
	select {
	case x.wake <- struct{}{}:
	default: // run is awake, or will be
	}
	return nil
}

// lookEvery is how often a call whose context has ended looks whether it was given up.
const lookEvery = 100 * time.Millisecond

// takeSlot waits for room in the window. The end of ctx alone does not end the wait, as
// after a shutdown that waits no longer, but a call that is given up leaves: its context
// ends a moment before.
func (x *Exporter) takeSlot(ctx context.Context) error {
	done := ctx.Done()
	for look := (<-chan time.Time)(nil); ; look = time.After(lookEvery) {
		select {
		case x.slots <- struct{}{}:
			return nil
		case <-x.ended:
			return x.endError()
		case <-done:
			done = nil
		case <-look:
		}
		if _, ok := eventbus.DeliveryFrom(ctx); !ok {
			return errGivenUp
		}
	}
}

// enqueue puts p into the queue and the slot to use, or gives the slot back.
func (x *Exporter) enqueue(ctx context.Context, p pending) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if isClosed(x.ended) {
		return x.endErrorLocked() // nobody would take it out, nor the slot
	}
	// The next call begins after this one was given up, and so after this question, or it
	// comes to the queue behind this one.
	if _, ok := eventbus.DeliveryFrom(ctx); !ok {
		<-x.slots
		return errGivenUp
	}
	x.queue = append(x.queue, p)
	x.accepted++
	return nil
}

// errGivenUp is the error of a call of which the bus has reported by now that it failed.
var errGivenUp = fmt.Errorf("eventbusnats: export: the call was given up: %w", eventbus.ErrHandlerTimeout)

// endError is the error of calls after the end. It holds no events: those are told once.
func (x *Exporter) endError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.endErrorLocked()
}

func (x *Exporter) endErrorLocked() error {
	if x.err != nil {
		return &ExportError{Type: x.eventType, Err: x.err.Err}
	}
	return &ExportError{Type: x.eventType, Err: errExporterClosed}
}

var errExporterClosed = errors.New("the exporter is closed")

// subscribe sets the subscription. The node knows of the exporter, and may close it
// meanwhile. If f panics, as on misuse, the exporter has ended.
func (x *Exporter) subscribe(f func() *eventbus.Subscription) {
	defer close(x.subscribed)
	defer func() {
		if x.subscription == nil {
			x.end(nil)
			close(x.done)
			x.stream.node.removeExporter(x)
		}
	}()
	x.subscription = f()
}

// run stores what is in the queue until the exporter is closed and the queue empty, or a
// failure is permanent.
func (x *Exporter) run() {
	trouble := newTrouble(x.config.onError, func(err error) error {
		return fmt.Errorf("eventbusnats: the export of %q waits to be tried again: %w", x.eventType, err)
	})
	r, p := retry{trouble: trouble.report}, newPace()
	for {
		batch, closing := x.next(p)
		if len(batch) == 0 {
			if closing && x.end(nil) {
				close(x.done)
				return
			}
			<-x.wake
			continue
		}
		n, err := x.stream.storeAll(x.cut, messages(batch), p, r)
		x.release(n)
		if err != nil {
			x.fail(batch[n:], err)
			return
		}
		trouble.over()
	}
}

// next takes what is to be stored together out of the queue.
func (x *Exporter) next(p *pace) (batch []pending, closing bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, size := 0, 0
	for n < len(x.queue) && n < maxBatch && size < maxBatchBytes {
		size += len(x.queue[n].message.Data)
		n++
	}
	if !p.together(n) {
		n = min(n, 1)
	}
	batch, x.queue = x.queue[:n:n], x.queue[n:]
	return batch, x.closing
}

func messages(batch []pending) []*nats.Msg {
	ms := make([]*nats.Msg, len(batch))
	for i := range batch {
		ms[i] = batch[i].message
	}
	return ms
}

// release gives the places of n stored events back.
func (x *Exporter) release(n int) {
	for range n {
		<-x.slots
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stored += uint64(n)
	close(x.progress)
	x.progress = make(chan struct{})
}

// fail ends the exporter with what of the batch is not stored and all that is queued.
func (x *Exporter) fail(rest []pending, err error) {
	e := &ExportError{Type: x.eventType, Err: err}
	x.end(func() *ExportError {
		for _, p := range append(rest, x.queue...) {
			e.Unstored = append(e.Unstored, p.event)
		}
		x.queue = nil
		return e
	})
	close(x.done) // Close must not wait for the error handler, which may call it
	report(x.config.onError, e)
}

// end closes ended. Without a failure it does so only if the queue is still empty, and
// reports whether it did.
func (x *Exporter) end(failure func() *ExportError) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if failure != nil {
		x.err = failure()
	} else if len(x.queue) > 0 {
		return false
	}
	close(x.ended)
	return true
}

// Err returns the [*ExportError] that has ended the exporter; nil while it works, and after
// a Close that has stored everything.
func (x *Exporter) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		return nil // and not a nil *ExportError
	}
	return x.err
}

// Flush waits until all that the exporter has accepted by now is stored. It returns the
// [*ExportError] that ended the exporter before, or ctx's error if that ends first. To wait
// for what a bus has published, wait first until it is handled, as with
// [eventbus.Bus.Flush].
func (x *Exporter) Flush(ctx context.Context) error {
	x.mu.Lock()
	target := x.accepted
	x.mu.Unlock()
	for {
		x.mu.Lock()
		stored, progress := x.stored, x.progress
		x.mu.Unlock()
		if stored >= target {
			return nil
		}
		select {
		case <-progress:
		case <-x.ended:
			if err := x.Err(); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("eventbusnats: Flush: %w", context.Cause(ctx))
		}
	}
}

// Close ends the subscription, waits until a handler call that has begun has returned and
// until all that was accepted is stored. When ctx ends first, it stores nothing more and
// returns an [*ExportError] with what is not stored, which wraps ctx's error. If the
// exporter has ended before, Close returns the error of that end. A later call returns the
// result of the first one. Of several calls, also that of [Node.Close], the first context
// to end counts for all. Close must not be called inside a handler that gets the topic's
// events, nor inside the function of [OnExportError], which must not wait for it either:
// Close waits for them until ctx ends.
func (x *Exporter) Close(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { x.cutOff(context.Cause(ctx)) })()
	<-x.subscribed
	if x.subscription != nil {
		x.subscription.Unsubscribe()
		select {
		case <-x.subscription.Done():
		case <-ctx.Done(): // a call that has begun gets an error
		case <-x.ended:
		}
	}
	x.mu.Lock()
	x.closing = true
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
	defer x.stream.node.removeExporter(x)
	select {
	case <-x.done:
	case <-ctx.Done():
		if !awaitCut(x.done) {
			return fmt.Errorf("eventbusnats: the export of %q: its error handler does not return: %w", x.eventType, context.Cause(ctx))
		}
	}
	return x.Err()
}
