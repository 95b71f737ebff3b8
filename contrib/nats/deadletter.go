package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a dead letter, beside those of its message.
const (
	headerReason   = "Eventbus-Error"
	headerGroup    = "Eventbus-Group"
	headerStream   = "Eventbus-Stream"
	headerSequence = "Eventbus-Sequence"
	headerAttempts = "Eventbus-Attempts"
	headerOmitted  = "Eventbus-Data-Omitted" // its bytes, of data that left no room for these headers
)

// maxReason is how much of an error a header keeps: errors of many handlers are long, and a
// message has a limit.
const maxReason = 1024

// A DeadLetterError tells of an event that was given up, and is stored as a dead letter.
type DeadLetterError struct {
	Message Message // with the number of attempts
	Err     error   // the last attempt's, or why it could not be decoded
}

// Error names the event, how often it was tried and the cause.
func (e *DeadLetterError) Error() string {
	return fmt.Sprintf("%s is a dead letter after %d attempts: %v", e.Message, e.Message.Attempt, e.Err)
}

// Unwrap returns Err.
func (e *DeadLetterError) Unwrap() error { return e.Err }

// bury stores a message among the dead letters. It tries until that has succeeded: the
// event is not acknowledged before, whatever is wrong, and no later one is begun.
func (im *Importer) bury(m jetstream.Msg, msg Message, why error) error {
	letter := im.letter(m, msg, why)
	trouble := newTrouble(im.config.onError, func(err error) error {
		return im.about(fmt.Errorf("the dead letter of %s is not stored yet: %w", msg, err))
	})
	r := retry{quit: im.closing, trouble: trouble.report}
	for {
		_, err := im.dead.store(im.cut, letter, r)
		if err == nil {
			report(im.config.onError, im.about(&DeadLetterError{msg, why}))
			return nil
		}
		if im.isClosing() {
			return errClosing // Close ends the tries: that is no trouble
		}
		trouble.report(err)
		if errors.Is(err, ErrNoStream) {
			_ = im.dead.open(im.cut, im.limits) // if it fails, so does the next store
		}
		if im.awaitRetry(lastWait) != nil || im.cut.Err() != nil {
			return err
		}
	}
}

// letter makes the dead letter of a message: the same headers and data, with what went
// wrong, as far as there is room. Its id is that of the event's place, so that a second
// burial, after a crash between the first and its acknowledgement, is a duplicate if it comes
// within the window of WithDuplicates.
func (im *Importer) letter(m jetstream.Msg, msg Message, why error) *nats.Msg {
	h := nats.Header{}
	for key, values := range m.Headers() {
		if !strings.HasPrefix(key, "Nats-") { // orders to the server, such as a batch's
			h[key] = values
		}
	}
	letter := &nats.Msg{Subject: im.dead.subject, Header: h, Data: m.Data()}
	im.address(h, msg, why)
	if headerSize(letter) > maxHeaders {
		at := h.Get(headerTime)
		clear(h)
		if len(at) <= len(time.RFC3339Nano) {
			h.Set(headerTime, at)
		}
		msg.ID = shorten(msg.ID)
		h.Set(headerID, escapeValue(msg.ID))
		im.address(h, msg, why)
	}
	if im.dead.checkSize(letter) != nil {
		h.Set(headerOmitted, strconv.Itoa(len(letter.Data)))
		letter.Data = nil // it stays in its stream, under its sequence
	}
	return letter
}

// address adds to the headers of a dead letter what it is about.
func (im *Importer) address(h nats.Header, msg Message, why error) {
	sequence := strconv.FormatUint(msg.Sequence, 10)
	h.Set(headerMessageID, im.consumer.durable+"/"+sequence+"/"+escapeValue(msg.ID))
	h.Set(headerReason, oneLine(why.Error()))
	h.Set(headerGroup, escapeValue(msg.Group))
	h.Set(headerStream, msg.Stream)
	h.Set(headerSequence, sequence)
	h.Set(headerAttempts, strconv.Itoa(msg.Attempt))
}

// oneLine makes a header's value of a text: one line, and not too long.
func oneLine(s string) string {
	return shorten(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), "; "))
}

// shorten cuts what is long after maxReason bytes.
func shorten(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}

// A DeadLetter is an event that an importer has given up. If the message's headers leave
// no room for those of the letter, its Source and all headers of others are missing, and
// its ID is cut after a kilobyte: look for them in the topic's stream then.
type DeadLetter struct {
	Message Message   // its place in the topic's stream, and how often it was tried
	Reason  string    // the error, on one line, cut after a kilobyte
	Source  string    // of the event
	Time    time.Time // of the event
	Stored  time.Time // when it was given up

	// Data is the payload as it was stored, encoded. It is nil, and Omitted its length, if
	// it left no room for the reason in a message: look for it in the topic's stream then.
	Data    []byte
	Omitted int
}

// DeadLetters returns what importers of the topic, of all groups, have given up, from the
// oldest on, up to the newest at present. It reads one after another from the server and
// changes nothing. An error ends it: temporary failures are tried again until ctx ends. A
// topic that nobody has imported yet has none.
func (t *Topic[T]) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for next := uint64(1); ; {
			raw, err := t.dead.get(ctx, next)
			if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, ErrNoStream) {
				return
			}
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("eventbusnats: dead letters of %q: %w", t.topic.Type(), err))
				return
			}
			if !yield(readLetter(raw), nil) {
				return
			}
			next = raw.Sequence + 1
		}
	}
}

// get returns the first message of the stream whose sequence is at least seq.
func (s *stream) get(ctx context.Context, seq uint64) (raw *jetstream.RawStreamMsg, err error) {
	err = s.node.manage(ctx, func(ctx context.Context) error {
		found, err := s.node.js.Stream(ctx, s.name)
		if err != nil {
			return err
		}
		raw, err = found.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(s.subject))
		return err
	})
	return raw, err
}

func readLetter(raw *jetstream.RawStreamMsg) DeadLetter {
	h := raw.Header
	e := readEnvelope(h, raw.Time)
	d := DeadLetter{Reason: h.Get(headerReason), Source: e.source, Time: e.time, Stored: raw.Time, Data: raw.Data}
	d.Message = Message{ID: e.id, Stream: h.Get(headerStream), Group: unescape(h.Get(headerGroup))}
	d.Message.Sequence, _ = strconv.ParseUint(h.Get(headerSequence), 10, 64)
	d.Message.Attempt, _ = strconv.Atoi(h.Get(headerAttempts))
	d.Omitted, _ = strconv.Atoi(h.Get(headerOmitted))
	return d
}
