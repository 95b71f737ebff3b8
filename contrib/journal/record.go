package journal

import (
	"encoding/json"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A Record is an event as the journal holds it: one line of JSON. It is written when the
// event's turn comes, before its handlers are called.
type Record struct {
	N       uint64             `json:"n"`                // from 1 on and without gaps, over the whole file
	Session uint64             `json:"session"`          // of which Open
	Queue   eventbus.Queue     `json:"queue"`            // by name in JSON
	Seq     uint64             `json:"seq"`              // Delivery.Seq: the event's number in its queue, anew in each session
	Type    eventbus.EventType `json:"type"`             // of the event
	Source  string             `json:"source,omitempty"` // of the event
	Time    int64              `json:"time"`             // Event.Time in ns since 1970; 0 if the event has none, or exactly time.Unix(0, 0), which is lost
	Cause   *Cause             `json:"cause,omitempty"`  // nil for an event from outside
	Error   string             `json:"error,omitempty"`  // why the payload could not be encoded, and is missing
	Data    json.RawMessage    `json:"data,omitempty"`   // the payload, as the codec of its type encodes it; empty for nil
}

// EventTime returns the time of the event in UTC, and the zero time if it has none.
func (r Record) EventTime() time.Time { return timeOf(r.Time) }

// FromOutside reports whether nothing that a handler has done led to the event.
func (r Record) FromOutside() bool { return r.Cause == nil }

// A Cause is an eventbus.Cause as the journal holds it: the event whose handler published
// this one. Its numbers are those of the same session.
type Cause struct {
	Queue eventbus.Queue `json:"queue"`
	Seq   uint64         `json:"seq"`
	Root  Origin         `json:"root"` // the event from outside that the chain began with
	Hops  int            `json:"hops"` // how long the chain is; 1 if Root is the event whose handler published
}

// An Origin is an eventbus.Origin as the journal holds it.
type Origin struct {
	Queue eventbus.Queue     `json:"queue"`
	Seq   uint64             `json:"seq"`
	Type  eventbus.EventType `json:"type"`
	Time  int64              `json:"time"` // in ns since 1970; 0 if the event has none
}

// A Manifest begins a session: what one [Open] has recorded.
type Manifest struct {
	Version int             `json:"version"`          // of the format; this package writes and reads 1
	Session uint64          `json:"session"`          // from 1 on
	Start   int64           `json:"start"`            // when Open was called, in ns since 1970
	Queues  []QueueInfo     `json:"queues,omitempty"` // of the bus; empty if nothing called Record
	Topics  []TopicInfo     `json:"topics,omitempty"` // given with WithTopic
	Meta    json.RawMessage `json:"meta,omitempty"`   // given with WithMeta
}

// StartTime returns when the session began, in UTC.
func (m Manifest) StartTime() time.Time { return timeOf(m.Start) }

// A QueueInfo is how a queue of the recorded bus was configured.
type QueueInfo struct {
	Queue    eventbus.Queue    `json:"queue"`
	Capacity int               `json:"capacity"`
	Overflow eventbus.Overflow `json:"overflow"`
	Timeout  time.Duration     `json:"timeout"` // in ns
	MaxAge   time.Duration     `json:"max_age"` // in ns
}

// A TopicInfo is how the payloads of a type are stored.
type TopicInfo struct {
	Type        eventbus.EventType `json:"type"`
	Queue       eventbus.Queue     `json:"queue"`
	ContentType string             `json:"content_type"`
}

// formatVersion is the version of the file format.
const formatVersion = 1

// nanoseconds returns t in ns since 1970 and 0 for the zero time. It returns false if that
// does not fit into 64 bits: before 1678 or after 2261.
func nanoseconds(t time.Time) (ns int64, ok bool) {
	if t.IsZero() {
		return 0, true
	}
	if y := t.Year(); y < 1678 || y > 2261 {
		return 0, false
	}
	return t.UnixNano(), true
}

func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func queuesOf(s eventbus.Stats) (queues []QueueInfo) {
	for _, q := range s.Queues {
		queues = append(queues, QueueInfo{q.Queue, q.Capacity, q.Overflow, q.Timeout, q.MaxAge})
	}
	return queues
}
