package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/eventbus-go/eventbus"
)

// An Importer publishes a stream's events on a bus. Get one from [Topic.Import]. All methods
// may be called concurrently.
type Importer struct {
	bus       *eventbus.Bus
	queue     eventbus.Queue
	eventType eventbus.EventType
	group     string
	config    importConfig
	stream    *stream
	dead      *stream
	limits    limits // of dead
	decode    func([]byte) (any, error)

	claim    *claim
	consumer consumer // of run's goroutine, once that runs

	atHand atomic.Pointer[jetstream.Msg] // what the handlers are at, for the sign of life

	closing chan struct{}   // closed by stop: no further event is begun
	cut     context.Context // ends when Close waits no longer
	cutOff  context.CancelCauseFunc
	done    chan struct{} // closed when run has returned

	mu      sync.Mutex
	stopped bool
	err     error // why it has ended by itself
}

// Done returns a channel that is closed when the importer has ended: no handler call of its
// events begins any more.
func (im *Importer) Done() <-chan struct{} { return im.done }

// Err returns why the importer has ended by itself: [eventbus.ErrClosed] if the bus was shut
// down, [ErrGroupInUse] if an older importer of the group turned up. It is nil before, and
// after Close.
func (im *Importer) Err() error {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.err
}

// Close lets no further event be begun, waits until the handlers of the event at hand are
// done and its acknowledgement has got to the server, and returns nil. A wait before the
// next attempt ends at once: the event comes again to the next importer of the group. When
// ctx ends first, Close returns its error; the handlers go on, and the event comes again.
// Of several calls, also that of [Node.Close], the first context to end counts for all.
// Close of an importer that has ended returns nil. It must not be called inside a handler,
// nor inside the function of [OnImportError], which must not wait for it either: Close
// waits for them until ctx ends.
func (im *Importer) Close(ctx context.Context) error {
	im.stop(nil)
	select {
	case <-im.done:
		return nil
	case <-ctx.Done():
		if isClosed(im.done) {
			return nil
		}
	}
	im.cutOff(context.Cause(ctx))
	awaitCut(im.done)
	return fmt.Errorf("eventbusnats: the import of %q for group %q: the event at hand is not done: %w", im.eventType, im.group, context.Cause(ctx))
}

// stop lets no further event be begun; the first reason counts, nil for Close.
func (im *Importer) stop(why error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if !im.stopped {
		im.stopped, im.err = true, why
		close(im.closing)
	}
}

// lose ends the importer because of an older one.
func (im *Importer) lose(why error) { im.stop(im.about(why)) }

func (im *Importer) isClosing() bool { return isClosed(im.closing) }

// about says which importer err is about.
func (im *Importer) about(err error) error {
	return fmt.Errorf("eventbusnats: the import of %q for group %q: %w", im.eventType, im.group, err)
}

func (im *Importer) claimSubject() string {
	return "eventbusimporter." + im.stream.name + "." + im.consumer.durable
}

// run takes messages until the importer is to end. A session ends with the first thing that
// is amiss: a gap, a consumer that was deleted, a server that is gone. The next one begins
// behind the last event that is done.
func (im *Importer) run() {
	defer close(im.done)
	defer im.stream.node.removeImporter(im)
	defer im.claim.release()
	alive := make(chan struct{})
	defer close(alive)
	go im.giveSigns(alive)

	trouble := newTrouble(im.config.onError, im.about)
	wait := firstWait
	for !im.isClosing() {
		before := im.consumer.last
		_, err := judge(im.session())
		if im.isClosing() {
			break
		}
		if errors.Is(err, errBusClosed) {
			im.stop(im.about(err))
			break
		}
		if im.consumer.last != before {
			wait = firstWait
			trouble.over()
		}
		trouble.report(err)
		im.pause(wait)
		wait = min(2*wait, lastWait)
		_ = im.claim.ask() // it fails while the connection is broken: the next session does then
	}
	im.finish()
}

// finish tells why the importer has ended, and lets the last acknowledgement get to the
// server.
func (im *Importer) finish() {
	if err := im.Err(); err != nil {
		report(im.config.onError, err)
	}
	if in := im.stream.node.in; in.IsConnected() {
		_ = in.FlushTimeout(flushTimeout) // a lost acknowledgement is a repeat at worst
	}
}

// pause waits for d, or less if the importer is to end.
func (im *Importer) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-im.closing:
	}
}

// session takes messages in the order of the stream until something is amiss.
func (im *Importer) session() error {
	messages, err := im.consumer.messages(im.cut)
	if err != nil {
		return err
	}
	defer messages.Stop()
	ended := make(chan struct{})
	defer close(ended)
	go im.stopEarly(messages, ended)
	for want := uint64(1); ; want++ {
		m, err := messages.Next()
		if err != nil && !im.stream.node.in.IsConnected() {
			return fmt.Errorf("%w: %w", nats.ErrDisconnected, err)
		}
		if err != nil {
			return err
		}
		if im.isClosing() {
			return nil
		}
		if err := im.take(m, want); err != nil {
			return err
		}
	}
}

// stopEarly makes Next return when the importer is to end, and when the connection is lost:
// else Next would wait for the server without a word, and then go on with what was sent
// ahead.
func (im *Importer) stopEarly(messages jetstream.MessagesContext, ended <-chan struct{}) {
	in := im.stream.node.in
	lost := in.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer in.RemoveStatusListener(lost)
	if in.IsConnected() { // else it was lost before anybody listened
		select {
		case <-im.closing:
		case <-lost:
		case <-ended:
			return
		}
	}
	messages.Stop()
}

// take handles a message, unless that is done, and acknowledges it. want is its number
// since the reset: another one means that somebody else got messages of the group, or that
// some are lost on the way.
func (im *Importer) take(m jetstream.Msg, want uint64) error {
	md, err := m.Metadata()
	if err != nil {
		return err
	}
	if md.Sequence.Consumer != want {
		return fmt.Errorf("message %d of the session came in place of %d", md.Sequence.Consumer, want)
	}
	seq := md.Sequence.Stream
	if !im.consumer.isDone(seq, md.Timestamp) {
		if err := im.checkGap(seq); err != nil {
			return err
		}
		if err := im.handle(m, md); err != nil {
			return err
		}
		im.consumer.noteDone(seq, md.Timestamp)
	}
	return m.Ack()
}

// checkGap looks what became of the events between the last one that is done and seq. If
// they are gone, somebody or the maximum age has deleted them unhandled, and that is told.
// If they are there, the server has sent seq too early, and the session begins again.
func (im *Importer) checkGap(seq uint64) error {
	last := im.consumer.last
	if last == 0 || seq <= last+1 { // less than that: the stream has lost its end, and grown again
		return nil
	}
	first, err := im.consumer.firstAfterLast(im.cut)
	if err != nil {
		return err
	}
	if first < seq {
		return fmt.Errorf("event %d of the stream came before event %d", seq, first)
	}
	report(im.config.onError, im.about(fmt.Errorf("%w: %d to %d were deleted or too old", ErrMissed, last+1, seq-1)))
	return nil
}

// giveSigns tells the server that handlers run, so that it does not send their event again.
func (im *Importer) giveSigns(alive <-chan struct{}) {
	tick := time.NewTicker(im.config.ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if m := im.atHand.Load(); m != nil {
				_ = (*m).InProgress() // it fails once acknowledged, or while the server is gone
			}
		case <-alive:
			return
		}
	}
}
