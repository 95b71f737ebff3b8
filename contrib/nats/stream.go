package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream is where messages of one subject are stored. It is not changed.
type stream struct {
	node    *Node
	name    string
	subject string
}

// Prefixes of the names and subjects of streams: EVENTBUS_x of a topic and EVENTBUSDEAD_x
// of its dead letters, so that no type's name makes one the other.
const (
	topicStream, topicSubject = "EVENTBUS_", "eventbus."
	deadStream, deadSubject   = "EVENTBUSDEAD_", "eventbusdead."
)

// Limits of a stream that a topic's options change.
type limits struct {
	maxBytes   int64
	maxAge     time.Duration
	replicas   int
	duplicates time.Duration
}

// config returns what the stream is to be. A full stream refuses what is new: to delete
// what is old would lose what nobody has handled. AllowDirect stays off, since a follower
// that lags behind would answer.
func (s *stream) config(l limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.subject}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardNew, MaxBytes: l.maxBytes, MaxAge: l.maxAge, Replicas: l.replicas, Duplicates: l.duplicates,
		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, AllowAtomicPublish: true,
	}
}

// open creates the stream if there is none, and else compares it with what it is to be.
func (s *stream) open(ctx context.Context, l limits) error {
	want := s.config(l)
	return s.node.manage(ctx, func(ctx context.Context) error {
		found, err := s.node.js.Stream(ctx, s.name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			found, err = s.node.js.CreateStream(ctx, want)
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster, with other limits
				found, err = s.node.js.Stream(ctx, s.name)
			}
		}
		if err != nil {
			return err
		}
		return differences("stream "+s.name, streamFields, found.CachedInfo().Config, want)
	})
}

// streamFields are the fields on which a promise depends. The rest, such as placement and
// compression, is the operator's.
var streamFields = []string{
	"Subjects", "Retention", "MaxMsgs", "MaxBytes", "Discard", "DiscardNewPerSubject", "MaxAge", "MaxMsgsPerSubject", "MaxMsgSize",
	"Storage", "Replicas", "NoAck", "Duplicates", "Mirror", "Sources", "Sealed", "SubjectTransform", "AllowAtomicPublish", "PersistMode",
}

// differences names each of the fields in which two configurations differ, with both values.
func differences(what string, fields []string, has, want any) error {
	h, w := reflect.ValueOf(has), reflect.ValueOf(want)
	var diffs []string
	for _, f := range fields {
		a, b := h.FieldByName(f), w.FieldByName(f)
		if a.Kind() == reflect.Slice && a.Len()+b.Len() == 0 {
			continue // nil or empty
		}
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", f, a.Interface(), b.Interface()))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrDiffers, what, strings.Join(diffs, "; "))
}

// store stores m and tries temporary failures again, always with m's message id.
func (s *stream) store(ctx context.Context, m *nats.Msg, r retry) (ack *jetstream.PubAck, err error) {
	err = s.node.try(ctx, r, func(ctx context.Context) (verdict, error) {
		ack, err = s.node.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		if err == nil {
			return permanent, nil
		}
		return s.judge(ctx, err)
	})
	return ack, err
}

// judge judges the failure of a publish. When nobody listens to the subject, the stream has
// no leader at present or was deleted: only the one who knows all streams can tell.
func (s *stream) judge(ctx context.Context, err error) (verdict, error) {
	verdict, err := judge(err)
	if verdict != unclear {
		return verdict, err
	}
	if _, lookUpErr := s.node.js.Stream(ctx, s.name); errors.Is(lookUpErr, jetstream.ErrStreamNotFound) {
		return permanent, fmt.Errorf("%w: %s", ErrNoStream, s.name)
	}
	return temporary, err
}

// maxHeaders is how many bytes of headers the server stores: it counts them in 16 bits.
const maxHeaders = math.MaxUint16

// headerSize returns how long the headers of a message are on the wire.
func headerSize(m *nats.Msg) int { return m.Size() - len(m.Subject) - len(m.Reply) - len(m.Data) }

// checkSize refuses a message before it is sent, which the server would refuse, or cut the
// connection for.
func (s *stream) checkSize(m *nats.Msg) error {
	headers := headerSize(m)
	if headers > maxHeaders {
		return fmt.Errorf("%w: its headers have %d bytes, the server takes %d: its source or id is long", ErrTooLarge, headers, maxHeaders)
	}
	if size, limit := int64(headers+len(m.Data)), s.node.out.MaxPayload(); size > limit {
		return fmt.Errorf("%w: it has %d bytes with its headers, the server takes %d", ErrTooLarge, size, limit)
	}
	return nil
}
