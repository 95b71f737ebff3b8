package eventbus

import (
	"fmt"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// Stats is what a [Bus] has done, as [Bus.Stats] saw it.
type Stats struct {
	Running   bool                  // between Start and Stop
	Queues    [numQueues]QueueStats // indexed by Queue
	Handlers  []HandlerStats        // of the present subscriptions, in their order
	Abandoned int                   // calls that Async has given up on and that still run
}

// QueueStats are the accounts of a queue. When the bus is at rest,
//
//	Accepted = Handled + Evicted + Conflated + Expired + Depth + Deferred
//
// and before that, counters that belong together may have been read a moment
// apart. After Shutdown, Depth counts the events that it handed back.
type QueueStats struct {
	Queue    Queue
	Paused   bool          // by Pause
	Overflow Overflow      // as configured
	Timeout  time.Duration // as configured
	MaxAge   time.Duration // as configured

	Depth     int // events that wait in the queue
	Capacity  int // the most that can
	Deferred  int // events accepted beyond that: from handlers, and under mixed rules with DropOldest
	HighWater int // the highest Depth so far

	Accepted  uint64 // events that a publish has accepted
	Handled   uint64 // events whose handlers are done
	Unhandled uint64 // those of them that had no handler
	Failed    uint64 // handler calls that failed in any way
	Panicked  uint64 // those of them that panicked
	Dropped   uint64 // events refused with ErrDropped
	Evicted   uint64 // accepted events that DropOldest dropped
	Conflated uint64 // accepted events that a later one with the same key replaced
	Expired   uint64 // accepted events that were older than MaxAge when their turn came
	Rejected  uint64 // events refused with any other error
}

// HandlerStats are the accounts of a subscription.
type HandlerStats struct {
	Name     string
	Type     EventType // empty for that of SubscribeAll
	Calls    uint64    // up to 128 events late while the queue is busy
	Failed   uint64    // calls that failed in any way, and filters that panicked
	Panicked uint64    // those of them that panicked
	Disabled bool      // DisableAfter has taken the handler out
}

// Stats returns the bus's accounts. It holds a lock of each queue's publishers for a
// few steps, and waits for no handler.
func (b *Bus) Stats() Stats {
	s := Stats{Running: b.running.Load(), Abandoned: b.strays.count()}
	for i, q := range b.queues {
		s.Queues[i] = q.stats()
	}
	s.Handlers = b.handlerStats()
	return s
}

func (b *Bus) handlerStats() []HandlerStats {
	var stats []HandlerStats
	for _, s := range b.subscriptions() {
		stats = append(stats, HandlerStats{
			Name: s.name, Type: s.eventType,
			Calls: s.calls.Load(), Failed: s.failed.Load(), Panicked: s.panicked.Load(),
			Disabled: s.gate != nil && s.gate.disabled.Load(),
		})
	}
	return stats
}

// stats reads what an event is counted in later first, so that no event is
// seen twice.
func (q *queue) stats() QueueStats {
	s := QueueStats{
		Queue: q.id, Paused: q.paused.Load(), Capacity: q.cfg.Capacity, Overflow: q.cfg.Overflow, Timeout: q.cfg.Timeout, MaxAge: q.cfg.MaxAge,
		Unhandled: q.unhandled.Load(), Failed: q.failed.Load(), Panicked: q.panicked.Load(),
		Handled: q.handledInTime(), Evicted: q.evicted.Load(), Conflated: q.conflated.Load(), Expired: q.expired.Load(),
		Depth: q.depth() + int(q.leftover.Load()), Deferred: int(q.deferred.Load()),
		Dropped: q.dropped.Load(), Rejected: q.rejected.Load(),
	}
	s.HighWater = q.highest()
	s.Accepted = q.acceptedSoFar()
	return s
}

// handledInTime returns how many events have been handled and had not expired.
// An event is counted in expired before it is in handled, so the difference is
// never too high; that it may be too low for a moment must not make the count
// that people see go down.
func (q *queue) handledInTime() uint64 {
	n := int64(q.handled())
	n -= int64(q.expired.Load())
	raise(&q.reported, n)
	return uint64(q.reported.Load())
}

// raise sets v to n unless it is higher already.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

func (q QueueStats) name() string {
	if q.Paused {
		return q.Queue.String() + " (paused)"
	}
	return q.Queue.String()
}

// String returns the accounts as a table.
func (s Stats) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "queue\tdepth\tcapacity\thigh\tdeferred\taccepted\thandled\tunhandled\tfailed\tpanicked\tdropped\tevicted\tconflated\texpired\trejected\t")
	for _, q := range s.Queues {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", q.name(), q.Depth, q.Capacity, q.HighWater, q.Deferred,
			q.Accepted, q.Handled, q.Unhandled, q.Failed, q.Panicked, q.Dropped, q.Evicted, q.Conflated, q.Expired, q.Rejected)
	}
	w.Flush()
	if s.Abandoned > 0 {
		fmt.Fprintf(&b, "\nabandoned calls that still run: %d\n", s.Abandoned)
	}
	if len(s.Handlers) == 0 {
		return b.String()
	}
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nhandler\ttype\tcalls\tfailed\tpanicked\tstate")
	for _, h := range s.Handlers {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", h.Name, h.typeName(), h.Calls, h.Failed, h.Panicked, h.state())
	}
	w.Flush()
	return b.String()
}

func (h HandlerStats) typeName() string {
	if h.Type == "" {
		return "(all)"
	}
	return string(h.Type)
}

func (h HandlerStats) state() string {
	if h.Disabled {
		return "disabled"
	}
	return "active"
}
