package eventbus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
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
	DropOldest                 // drop the event that has waited longest, at once; beside other rules see the package's guarantees

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

// maxCapacity keeps a full queue, of 72 bytes an event, near 1 GiB and
// so within what make can allocate on every platform.
const maxCapacity = 1 << 24

func defaultQueues() [numQueues]QueueConfig {
	return [numQueues]QueueConfig{
		DataQueue:   {Capacity: 1000, Overflow: DropNewest, Timeout: time.Second},
		SignalQueue: {Capacity: 100, Overflow: Block, Timeout: 5 * time.Second},
		OrderQueue:  {Capacity: 50, Overflow: Block},
	}
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

// A queue is the channel with its chunks, the line of those who found it full, and
// the accounts. An event is in a chunk or deferred from the moment it is accepted to
// the moment its handling begins.
type queue struct {
	bus    *Bus
	id     Queue
	cfg    QueueConfig
	ch     chan *chunk // the oldest first
	bell   chan *chunk // rung when a chunk was sent, if the queue evicts; see door
	evicts bool        // its configured rule is DropOldest, so the open chunk is guarded by mu

	rule  rule        // the configured one
	mixed atomic.Bool // publishes with other rules than DropOldest are about; written under lineMu
	packs atomic.Bool // events travel in parcels, so publishers may not take the fast path of others; for good, written under lineMu
	depot depot

	// state is zero while publishers need not look at anything else. It is written
	// under lineMu, and read by publishers and by the processor.
	state      atomic.Uint32
	deferred   atomic.Int64  // how many events are; written under lineMu
	halfAt     atomic.Uint64 // how many events are begun when the queue has drained to half; valid while state says lined
	line       line          // guarded by lineMu
	deferredAt uint64        // how many events were begun when its own processor last deferred one to it; guarded by lineMu

	_ cacheLine // what publishers write

	// mu is taken after lineMu and depot.mu, and held for a few steps. When
	// accepted equals handled + evicted + conflated, nothing is left.
	mu        sync.Mutex
	accepted  uint64  // guarded by mu
	limit     uint64  // guarded by mu: with as many accepted, look how full the queue is; see extendLocked
	highWater int     // guarded by mu: how many events it has held at most
	taken     uint64  // guarded by mu: events that the processor has taken, if the queue evicts
	last      *chunk  // guarded by mu: in the channel, and not full; nil if there is none
	spare     *chunk  // guarded by mu: empty ones
	unused    []chunk // guarded by mu: those that nobody has needed yet

	dropped   atomic.Uint64
	evicted   atomic.Uint64
	conflated atomic.Uint64
	rejected  atomic.Uint64
	drops     throttle

	_ cacheLine // what the processor writes

	// position says where the processor is: see mark.
	position  atomic.Uint64
	handler   uint32                      // the one it calls; see setHandler
	serving   atomic.Pointer[handlerList] // what position's handler index refers to
	chunk     *chunk                      // the open one, nil if there is none; the processor's, and Shutdown's when no event is begun any more
	at        int                         // of its events, the next one
	used      *chunk                      // empty ones that are not yet among the spare
	unhandled atomic.Uint64
	expired   atomic.Uint64 // of those that handled returns
	failed    atomic.Uint64
	panicked  atomic.Uint64

	_ cacheLine

	expiries throttle
	reported atomic.Int64             // the highest QueueStats.Handled so far
	leftover atomic.Int64             // events that Shutdown took out to hand them back
	slow     atomic.Pointer[callInfo] // reported and not yet said to have ended
	unpaused bool                     // it was not paused when the processor last attended; its processor's
	paused   atomic.Bool              // written under Bus.mu
	cut      atomic.Pointer[callInfo] // not made, since the bus was killed
	proc     *processor               // serves the queue; see Bus.processors
}

// A cacheLine keeps fields that different processors write apart. 128 bytes,
// since amd64 fetches lines in pairs and some arm64 lines are that long.
type cacheLine [128]byte

// The bits of queue.state.
const (
	lined   uint32 = 1 << iota // events are deferred or publishers wait
	urgent                     // and one of them is due at the very next free slot
	closing                    // Shutdown has begun: only handlers may publish
	closed                     // Shutdown has ended: nobody may
	packing                    // events travel in parcels; for good
)

func newQueue(b *Bus, id Queue, cfg QueueConfig) *queue {
	q := &queue{bus: b, id: id, cfg: cfg, bell: make(chan *chunk, 1), evicts: cfg.Overflow == DropOldest}
	q.makeChunks()
	q.depot.waiting = make(map[conflationKey]*parcel)
	q.rule = rule{overflow: cfg.Overflow, timeout: cfg.Timeout}
	q.drops.limit, q.expiries.limit = maxDropLogs, maxDropLogs
	if cfg.ConflateBy != nil || cfg.MaxAge > 0 {
		q.packs.Store(true)
		q.state.Store(packing)
	}
	return q
}

// A mark is a processor's position in a queue: how many events it has begun,
// and in the lowest bits what it does. The processor alone writes it.
type mark uint64

const (
	away    mark = iota // it takes no event before it has read attention
	taking              // it may be taking an event
	calling             // it calls the handlers of the event that it has begun

	markShift = 2
	markState = 1<<markShift - 1
)

func (q *queue) mark() mark { return mark(q.position.Load()) }

// setState changes what the processor says it does; only the processor may.
func (q *queue) setState(s mark) { q.position.Store(uint64(q.mark()&^markState | s)) }

func (m mark) state() mark     { return m & markState }
func (m mark) begun() uint64   { return uint64(m >> markShift) }
func (m mark) isCalling() bool { return m.state() == calling }

// handled returns how many events have been handled to the end, or have
// expired when their turn came.
func (q *queue) handled() uint64 {
	m := q.mark()
	if m.isCalling() {
		return m.begun() - 1
	}
	return m.begun()
}
