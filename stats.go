package eventbus

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Stats is what a [Bus] has done, as [Bus.Stats] saw it.
type Stats struct {
	Running   bool                  // between Start and Stop
	Closed    bool                  // Shutdown has begun
	Queues    [numQueues]QueueStats // indexed by Queue
	Handlers  []HandlerStats        // of the present subscriptions, in the order in which they are called
	Abandoned int                   // calls that Async has given up on and that still run
}

// QueueStats are the accounts of a queue. When the bus is at rest,
//
//	Accepted = Handled + Evicted + Conflated + Expired + Withdrawn + Depth + Deferred
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
	Deferred  int // events accepted beyond that, from handlers that must not wait
	HighWater int // the highest Depth so far

	Calling     Calling       // what the processor is at
	Oldest      time.Duration // how long the event has waited at least that has waited longest; 0 if that is unknown, and while nobody runs the bus
	Waiting     int           // publishes that wait for room
	LongestWait time.Duration // of the one that has waited longest

	Accepted  uint64 // events that a publish has accepted
	Handled   uint64 // events whose handlers are done
	Unhandled uint64 // those of them that had no handler
	Failed    uint64 // handler calls that failed in any way
	Panicked  uint64 // those of them that panicked
	Dropped   uint64 // events refused with ErrDropped
	Evicted   uint64 // accepted events that DropOldest dropped
	Conflated uint64 // accepted events that a later one with the same key replaced
	Expired   uint64 // accepted events that were older than MaxAge when their turn came
	Withdrawn uint64 // accepted events that were taken back before a handler was called: by PublishWait, and late joiners that left
	Rejected  uint64 // events refused with any other error
}

// A Calling says which handler a processor is calling. It is the zero value if none.
type Calling struct {
	Handler string // its name; of an error handler, what that is told of
	Type    EventType
	Seq     uint64 // how many events of the queue had begun, with the one at hand
}

// HandlerStats are the accounts of a subscription.
type HandlerStats struct {
	ID       uint64 // unique among the subscriptions of the bus
	Name     string
	Type     EventType // empty for that of SubscribeAll or SubscribeMatch
	Pattern  string    // of SubscribeMatch, else empty
	Calls    uint64    // up to 128 events late while the queue is busy
	Failed   uint64    // calls that failed in any way, and filters that panicked
	Panicked uint64    // those of them that panicked
	Disabled bool      // DisableAfter has taken the handler out
}

// Stats returns the bus's accounts. It holds a lock of each queue's publishers for a
// few steps, and waits for no handler.
func (b *Bus) Stats() Stats {
	s := Stats{Running: b.running.Load(), Closed: b.draining.Load(), Abandoned: b.abandoned.count()}
	for i, q := range b.queues {
		s.Queues[i] = q.stats()
	}
	s.Handlers = b.handlerStats()
	return s
}

func (b *Bus) handlerStats() []HandlerStats {
	var stats []HandlerStats
	for _, s := range b.table.subscriptions() {
		stats = append(stats, HandlerStats{
			ID: s.id, Name: s.name, Type: s.eventType, Pattern: s.pattern,
			Calls: s.calls.Load(), Panicked: s.panicked.Load(), Failed: s.failed.Load(),
			Disabled: s.filter != nil && s.filter.disabled.Load(),
		})
	}
	return stats
}

// stats reads the accounts of the buffer under one lock, and the counters beside them
// without. It reads expired after handled: see handled.
func (q *queue) stats() QueueStats {
	s := QueueStats{
		Queue: q.id, Paused: q.paused.Load(), Capacity: q.cfg.Capacity, Overflow: q.cfg.Overflow, Timeout: q.cfg.Timeout, MaxAge: q.cfg.MaxAge,
		Unhandled: q.unhandled.Load(), Panicked: q.panicked.Load(), Failed: q.failed.Load(), // a panic is counted as a failure first
		Dropped: q.dropped.Load(), Rejected: q.rejected.Load(),
	}
	c := q.buffer.Counts()
	s.Handled, s.Expired = q.handled(c.Ended), q.expired.Load()
	s.Accepted, s.Evicted, s.Conflated, s.Withdrawn = c.Accepted, c.Evicted, c.Replaced, c.Withdrawn
	s.Depth, s.Deferred, s.HighWater = max(0, c.Depth), c.Deferred, c.HighWater
	s.Calling = q.calling()
	if s.Depth+s.Deferred > 0 {
		s.Oldest = q.bus.pulse.oldest(q.id, q.buffer.Left())
	}
	s.Waiting, s.LongestWait = q.waitingPublishes()
	return s
}

// calling describes what the processor is at, if that is an event of q.
func (q *queue) calling() Calling {
	c := q.proc.callAt(q.proc.look())
	if c == nil || c.queue != q {
		return Calling{}
	}
	return Calling{Handler: c.handler, Type: c.eventType, Seq: uint64(q.buffer.Site().Begun())}
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
	fmt.Fprintln(w, "queue\tdepth\tcapacity\thigh\tdeferred\taccepted\thandled\tunhandled\tfailed\tpanicked\tdropped\tevicted\tconflated\texpired\twithdrawn\trejected\t")
	for _, q := range s.Queues {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", q.name(), q.Depth, q.Capacity, q.HighWater, q.Deferred,
			q.Accepted, q.Handled, q.Unhandled, q.Failed, q.Panicked, q.Dropped, q.Evicted, q.Conflated, q.Expired, q.Withdrawn, q.Rejected)
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
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", quoted(h.Name), h.typeName(), h.Calls, h.Failed, h.Panicked, h.state())
	}
	w.Flush()
	return b.String()
}

func (h HandlerStats) typeName() string {
	switch {
	case h.Pattern != "":
		return quoted(h.Pattern)
	case h.Type == "":
		return "(all)"
	}
	return quoted(h.Type)
}

func (h HandlerStats) state() string {
	if h.Disabled {
		return "disabled"
	}
	return "active"
}
