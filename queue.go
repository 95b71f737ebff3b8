package eventbus

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/buffer"
	"github.com/eventbus-go/eventbus/internal/latency"
)

// A Queue names one of the three queues of a [Bus].
type Queue uint8

// The queues, with the rule that [New] gives each of them.
const (
	DataQueue   Queue = iota // market data: 1000 events; full, it waits 1 s and drops the new event
	SignalQueue              // strategy signals: 100 events; full, it waits 5 s and refuses
	OrderQueue               // exchange orders: 50 events; full, it waits until the context is done

	numQueues = 3
)

var queueNames = [numQueues]string{"data", "signal", "order"}

// ParseQueue returns the queue called name: "data", "signal" or "order".
// For any other name the error wraps [ErrUnknownQueue].
func ParseQueue(name string) (Queue, error) {
	for i, s := range queueNames {
		if s == name {
			return Queue(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %q; want %q, %q or %q", ErrUnknownQueue, name, "data", "signal", "order")
}

// String returns the name that [ParseQueue] takes, or "Queue(n)".
func (q Queue) String() string {
	if q < numQueues {
		return queueNames[q]
	}
	return fmt.Sprintf("Queue(%d)", uint8(q))
}

// MarshalText returns the queue's name. For a queue that does not exist the
// error wraps [ErrUnknownQueue].
func (q Queue) MarshalText() ([]byte, error) {
	if q >= numQueues {
		return nil, fmt.Errorf("%w: %v", ErrUnknownQueue, q)
	}
	return []byte(queueNames[q]), nil
}

// UnmarshalText sets q as [ParseQueue] does and leaves it alone on error.
func (q *Queue) UnmarshalText(text []byte) error {
	parsed, err := ParseQueue(string(text))
	if err == nil {
		*q = parsed
	}
	return err
}

// An Overflow says what a publish does when its queue is full.
type Overflow uint8

const (
	Block      Overflow = iota // wait, then refuse with ErrQueueFull
	DropNewest                 // wait, then drop the new event with ErrDropped
	DropOldest                 // drop the event that has waited longest, at once; a queue's rule, never a topic's

	numOverflows = 3
)

var overflowNames = [numOverflows]string{"block", "drop newest", "drop oldest"}

// String returns the rule in words, or "Overflow(n)".
func (o Overflow) String() string {
	if o < numOverflows {
		return overflowNames[o]
	}
	return fmt.Sprintf("Overflow(%d)", uint8(o))
}

// MarshalText returns the rule in words, as String does. For a rule that does not exist it
// returns an error.
func (o Overflow) MarshalText() ([]byte, error) {
	if o >= numOverflows {
		return nil, fmt.Errorf("eventbus: unknown overflow rule %d", uint8(o))
	}
	return []byte(overflowNames[o]), nil
}

// UnmarshalText sets o to the rule that is called text, and leaves it alone on error.
func (o *Overflow) UnmarshalText(text []byte) error {
	for i, s := range overflowNames {
		if s == string(text) {
			*o = Overflow(i)
			return nil
		}
	}
	return fmt.Errorf("eventbus: unknown overflow rule %q; want %q, %q or %q", text, overflowNames[0], overflowNames[1], overflowNames[2])
}

// A QueueConfig describes a queue. The zero value is invalid: a queue needs a
// capacity.
type QueueConfig struct {
	Capacity int      // how many events fit; 1 to 16,777,216
	Overflow Overflow // what a publish does when they are there; Block if not set

	// Timeout bounds the wait. With Block, 0 waits until the context is done;
	// with DropNewest, 0 drops at once; DropOldest never waits, so it must be 0.
	Timeout time.Duration

	// ConflateBy returns the key of an event, such as its symbol. While an
	// accepted event with that key waits in the queue, a new one replaces it,
	// in its place and at once, even if the queue is full; the replaced event
	// is counted in QueueStats.Conflated. An event with the empty key is never
	// replaced and replaces none. ConflateBy is called by each publish, on the
	// publisher's goroutine and so concurrently. If it panics, the publish
	// returns an error that wraps ErrInvalidEvent. nil keeps all events apart.
	ConflateBy func(Event) string

	// MaxAge is how old an event may be, by its Time, when its turn comes. No
	// handler gets an older one: it is counted in QueueStats.Expired and passed
	// to the error handler with ErrExpired. If an event's Time is zero, it is
	// set when the event is published. 0 lets events grow as old as they will.
	MaxAge time.Duration
}

// maxCapacity keeps a full queue, of 80 bytes an event, near 1 GiB and
// so within what make can allocate on every platform.
const maxCapacity = 1 << 24

func defaultQueues() [numQueues]QueueConfig {
	return [numQueues]QueueConfig{
		DataQueue:   {Capacity: 1000, Overflow: DropNewest, Timeout: time.Second},
		SignalQueue: {Capacity: 100, Overflow: Block, Timeout: 5 * time.Second},
		OrderQueue:  {Capacity: 50, Overflow: Block},
	}
}

// DefaultQueueConfig returns the configuration that [New] gives q, to change one field and
// keep the rest with [WithQueue]: the capacity, the overflow rule and the timeout that are
// said at [DataQueue]. It panics if q is unknown.
func DefaultQueueConfig(q Queue) QueueConfig {
	if q >= numQueues {
		panic(fmt.Sprintf("eventbus: DefaultQueueConfig: %v: %v", ErrUnknownQueue, q))
	}
	return defaultQueues()[q]
}

func (c QueueConfig) validate() error {
	switch {
	case c.Capacity < 1 || c.Capacity > maxCapacity:
		return fmt.Errorf("the capacity is %d, want 1 to %d", c.Capacity, maxCapacity)
	case c.Overflow >= numOverflows:
		return fmt.Errorf("the overflow rule is %v, want Block, DropNewest or DropOldest", c.Overflow)
	case c.Timeout < 0:
		return fmt.Errorf("the timeout is %v, want 0 or more", c.Timeout)
	case c.Overflow == DropOldest && c.Timeout != 0:
		return fmt.Errorf("the timeout is %v, want 0: DropOldest never waits", c.Timeout)
	case c.MaxAge < 0:
		return fmt.Errorf("the maximum age is %v, want 0 or more", c.MaxAge)
	}
	return nil
}

// A queue is what one of the three queues of a bus consists of: the buffer of what
// is accepted, the admission of those who found it full, and counters. Its
// processor drains it.
type queue struct {
	// What a publish and a wake-up read comes first, on few cache lines.
	id     Queue
	plain  bool // the queue has no ConflateBy and no MaxAge, and nothing travels with its events: an event needs no label
	buffer *buffer.Buffer[entry, conflationKey]
	wait   *latency.Wait // how long its events wait; nil without WithLatencies; the processor's
	cfg    QueueConfig
	bus    *Bus
	rule   rule // the configured one

	admission admission

	lowWaterAt atomic.Uint64 // how many events are begun when the queue has drained to half; valid while the gate says gateLine
	paused     atomic.Bool   // written under Bus.mu and admissionMu
	pauseHeld  atomic.Bool   // paused, and the processor is held: it begins no event of the queue; written under Bus.mu

	proc *processor // drains the queue

	// Publishers count these.
	dropped  atomic.Uint64
	rejected atomic.Uint64
	drops    *logThrottle
	slow     *logThrottle

	// The processor counts these.
	unhandled  atomic.Uint64
	expired    atomic.Uint64 // of those that it has begun
	failed     atomic.Uint64
	panicked   atomic.Uint64
	expiries   *logThrottle
	unnumbered uint64 // begun entries that no handler sees: withdrawn ones, and joiners without a last event; the processor's

	waitedTo   uint64 // up to which event their waits are recorded; the processor's
	timedCount uint64 // chunks that were opened with a stamp; the processor's

	reported atomic.Int64 // the highest QueueStats.Handled so far
}

// The bits of the buffer's gate, which are written under admissionMu. Publishers
// and the processor read them.
const (
	gateLine   uint32 = 1 << iota // the line is not empty: events are deferred or publishes wait
	gateAtOnce                    // the next free slot goes to the line at once, not at half
	gateBatch                     // a batch is on its way in
	closing                       // Shutdown has begun: only handlers of the bus may publish
	closed                        // Shutdown has ended: nobody may
)

func newQueue(b *Bus, id Queue, cfg QueueConfig) *queue {
	q := &queue{id: id, bus: b, cfg: cfg, rule: rule{overflow: cfg.Overflow, timeout: cfg.Timeout}}
	q.plain = cfg.ConflateBy == nil && cfg.MaxAge == 0 && b.packer.isEmpty()
	bc := buffer.Config[entry, conflationKey]{
		Capacity: cfg.Capacity, Evicts: cfg.Overflow == DropOldest,
		Key: entry.key, Same: entry.isSame, Place: entry.setPlace, Replace: entry.replaceWith,
		Evict: entry.wasEvicted, Dead: entry.isDead, Unload: entry.wasUnloaded,
	}
	if !b.timed.IsZero() {
		q.wait = new(latency.Wait)
		bc.Stamp = func() int64 { return int64(b.machineTime()) }
		bc.Opened = q.opened
	}
	q.buffer = buffer.New(bc)
	if cfg.ConflateBy != nil {
		q.buffer.Conflate()
	}
	q.admission.idle = ErrNotRunning
	q.makeThrottles()
	return q
}

// timedChunks is of how many chunks with a stamp one has the handlers of its first event
// timed.
const timedChunks = 4

// opened notes that the processor has opened a chunk, the first event of which was put in
// at stamp; 0 if it has none. So many events were begun before.
func (q *queue) opened(stamp int64, begun uint64) {
	if stamp == 0 && !q.wait.IsOpen() {
		return
	}
	now := q.bus.machineTime()
	q.noteWaits(now, begun)
	if stamp == 0 {
		q.wait.Close()
		return
	}
	q.wait.Open(time.Duration(stamp), now)
	q.timedCount++
	q.proc.turn.timed = q.timedCount%timedChunks == 1
}

// noteWaits records the waits of the events up to the begun-th.
func (q *queue) noteWaits(now time.Duration, begun uint64) {
	q.wait.Take(now, int(begun-q.waitedTo))
	q.waitedTo = begun
}

// isPausedIdle reports whether the queue is paused and the processor is busy with none of
// its events, and returns the site at which that was so.
func (q *queue) isPausedIdle() (at buffer.Site, resting bool) {
	held := q.pauseHeld.Load()
	at = q.buffer.Site()
	return at, held && !at.Busy()
}

// handled returns how many events were handled, expired ones apart. An event is counted
// in expired before it is counted in ended, so the difference is never too high. It may
// be too low for a moment: reported keeps the count from going down.
func (q *queue) handled(ended uint64) uint64 {
	raise(&q.reported, int64(ended)-int64(q.expired.Load()))
	return uint64(q.reported.Load())
}

// raise sets v to n unless it is higher already.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// unload takes out what is left in a queue that is closed. Who waits for an event
// learns that it was not handled: that one is withdrawn, not handed back too.
func (q *queue) unload() (events []Event) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, e := range q.buffer.Unload() {
		events = append(events, e.event())
	}
	return events
}
