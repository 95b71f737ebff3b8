package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

// An Option changes a [Journal]. [Open] returns an error for an invalid one.
type Option interface{ applyToJournal(*config) error }

type journalOption func(*config) error

func (o journalOption) applyToJournal(c *config) error { return o(c) }

// A SyncPolicy says when what is written is made durable against a power cut. What was
// written, after a flush, always survives the process: the operating system has it.
type SyncPolicy int

const (
	// SyncOnDemand syncs at Close, in [Journal.Sync] and for [Journal.Before] alone. A
	// power cut loses what was recorded since the last of these.
	SyncOnDemand SyncPolicy = iota

	// SyncEveryFlush syncs after each flush. A power cut loses what was recorded since the
	// last flush that has ended, which is the flush interval and the time of one sync.
	SyncEveryFlush
)

const (
	defaultFlushInterval = 100 * time.Millisecond // a person who follows the file does not notice it
	defaultBuffer        = 8192                   // 0.8 MB, and the busiest eight milliseconds of a million events a second
	maxBuffer            = 1 << 24                // as that of a queue
)

// config is what the options of Open set.
type config struct {
	interval time.Duration
	sync     SyncPolicy
	buffer   int
	report   func(error)
	meta     json.RawMessage
	payloads payloads
}

func newConfig(opts []Option) (*config, error) {
	c := &config{interval: defaultFlushInterval, buffer: defaultBuffer, report: logError}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("an option is nil")
		}
		if err := opt.applyToJournal(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func logError(err error) { slog.Error(err.Error()) }

// A TopicOption is what [WithTopic] returns, for [Open] and for [Replay].
type TopicOption struct{ payload payload }

func (o TopicOption) applyToJournal(c *config) error      { return c.payloads.add(o.payload) }
func (o TopicOption) applyToReplay(c *replayConfig) error { return c.payloads.add(o.payload) }

// WithTopic says how the payloads of a topic's type are stored and read: with codec, or
// with [JSON] if none is given. A type without WithTopic is recorded with encoding/json,
// and cannot be replayed, since nothing says what to make of it. It panics if the topic is
// the zero Topic, if the codec lacks a field, and if there are several. Two topics of one
// type are an error of Open and Replay.
func WithTopic[T any](topic eventbus.Topic[T], codec ...Codec[T]) TopicOption {
	return TopicOption{newPayload("WithTopic", topic, codec)}
}

// payloads are those of the topics given, by type.
type payloads struct {
	byType  map[eventbus.EventType]payload
	inOrder []TopicInfo
}

func (p *payloads) add(one payload) error {
	if one.encode == nil {
		return errors.New("a TopicOption is empty; make it with WithTopic")
	}
	if _, twice := p.byType[one.info.Type]; twice {
		return fmt.Errorf("WithTopic: given twice for %s", one.info.Type)
	}
	if p.byType == nil {
		p.byType = make(map[eventbus.EventType]payload)
	}
	p.byType[one.info.Type] = one
	p.inOrder = append(p.inOrder, one.info)
	return nil
}

// WithFlushInterval sets how long an event may wait until it is written, and as long again as
// the writer is busy with a sync at that moment: what a process that is killed loses of what
// [Journal.Before] and [Journal.Sync] do not cover.
// Longer intervals compress better. 0 writes as soon as the writer is free. Without this
// option it is 100 ms.
func WithFlushInterval(d time.Duration) Option {
	return journalOption(func(c *config) error {
		if d < 0 {
			return fmt.Errorf("WithFlushInterval: the interval is %v, want 0 or more", d)
		}
		c.interval = d
		return nil
	})
}

// WithSync sets when what is written is synced. Without it that is [SyncOnDemand].
func WithSync(p SyncPolicy) Option {
	return journalOption(func(c *config) error {
		if p != SyncOnDemand && p != SyncEveryFlush {
			return fmt.Errorf("WithSync: the policy is %d, want SyncOnDemand or SyncEveryFlush", p)
		}
		c.sync = p
		return nil
	})
}

// WithBuffer sets how many events may wait for the writer; as many more may be at hand
// there. When they are there, the tap blocks. Without this option it is 8192.
func WithBuffer(n int) Option {
	return journalOption(func(c *config) error {
		if n < 1 || n > maxBuffer {
			return fmt.Errorf("WithBuffer: the number of events is %d, want 1 to %d", n, maxBuffer)
		}
		c.buffer = n
		return nil
	})
}

// WithErrorHandler sets what is told of failures: once when the journal has failed, with
// an error that wraps [ErrNotStored], and of each event type the first payload that cannot
// be encoded. It is called on the writer's goroutine, which waits for it: it must not wait
// for the journal. If it panics, that is logged. Without this option failures are logged
// with slog.Default.
func WithErrorHandler(f func(error)) Option {
	return journalOption(func(c *config) error {
		if f == nil {
			return errors.New("WithErrorHandler: the function is nil")
		}
		c.report = f
		return nil
	})
}

// WithMeta puts v, as encoding/json encodes it, into the manifest: what the program was,
// and its parameters. It takes 8 MiB of JSON at most. Read it with [Manifests].
func WithMeta(v any) Option {
	return journalOption(func(c *config) error {
		meta, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("WithMeta: %w", err)
		}
		if len(meta) > maxData {
			return fmt.Errorf("WithMeta: it takes %d bytes, want %d at most", len(meta), maxData)
		}
		c.meta = meta
		return nil
	})
}
