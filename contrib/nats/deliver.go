package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/eventbus-go/eventbus"
)

// An outcome is what becomes of an event after a PublishWait.
type outcome int

const (
	done    outcome = iota // acknowledge it
	failed                 // try again, until there are no attempts left
	waiting                // try again: it was no attempt, no handler was called
	dead                   // it can never succeed
	over                   // the bus is shut down
)

var errBusClosed = errors.New("the bus is shut down")

// decide decides by the error of a PublishWait. The failure of a handler comes first: a
// handler that publishes may itself fail with any error of a bus.
func decide(err error, busClosed, acceptsUnhandled bool) outcome {
	var h *eventbus.HandlerError
	switch {
	case err == nil:
		return done
	case busClosed && errors.Is(err, eventbus.ErrClosed):
		return over
	case errors.As(err, &h) && h.Handler != "": // without a name, no handler got it
		return failed
	case errors.Is(err, eventbus.ErrExpired):
		return dead
	case errors.Is(err, eventbus.ErrUnhandled) && acceptsUnhandled:
		return done
	case errors.Is(err, eventbus.ErrUnhandled), errors.Is(err, eventbus.ErrInvalidEvent):
		return failed
	}
	return waiting // dropped, refused, not running
}

// handle publishes a message's event until it is done or a dead letter. An error means that
// it is neither, and is to come again.
func (im *Importer) handle(m jetstream.Msg, md *jetstream.MsgMetadata) error {
	im.atHand.Store(&m)
	defer im.atHand.Store(nil)
	e := readEnvelope(m.Headers(), md.Timestamp)
	msg := Message{ID: e.id, Stream: im.stream.name, Sequence: md.Sequence.Stream, Group: im.group}
	data, err := im.decode(m.Data())
	if err != nil {
		return im.bury(m, msg, err)
	}
	event := eventbus.Event{Type: im.eventType, Data: data, Source: e.source, Time: e.time}
	return im.deliver(m, msg, event)
}

// deliver makes the attempts.
func (im *Importer) deliver(m jetstream.Msg, msg Message, event eventbus.Event) error {
	trouble := newTrouble(im.config.onError, im.about)
	for wait := im.config.firstWait; ; wait = min(2*wait, im.config.lastWait) {
		msg.Attempt++
		err := im.bus.PublishWait(withMessage(im.cut, msg), im.queue, event)
		if im.cut.Err() != nil && err != nil {
			return context.Cause(im.cut) // what the handlers return now, nobody knows
		}
		v := decide(err, err != nil && im.bus.Stats().Closed, im.config.acceptsUnhandled)
		if v == failed && msg.Attempt >= im.config.attempts {
			v = dead
		}
		switch v {
		case done:
			return nil
		case over:
			return fmt.Errorf("%w: %w", errBusClosed, err)
		case dead:
			return im.bury(m, msg, err)
		case failed:
			report(im.config.onError, im.about(fmt.Errorf("%s, attempt %d of %d failed: %w", msg, msg.Attempt, im.config.attempts, err)))
		case waiting:
			msg.Attempt-- // no handler was called
			trouble.report(fmt.Errorf("%s waits: %w", msg, err))
		}
		if err := im.awaitRetry(wait); err != nil {
			return err
		}
	}
}

var errClosing = errors.New("the importer is closing")

// awaitRetry waits before the next attempt; the importer's end ends the attempts.
func (im *Importer) awaitRetry(d time.Duration) error {
	im.pause(d)
	if im.isClosing() {
		return errClosing
	}
	return nil
}
