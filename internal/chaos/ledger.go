package chaos

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A ledger is what the machine knows of a bus without asking it.
type ledger struct {
	m        *machine
	index    int // of the bus
	plan     *busPlan
	inBubble bool // time stands still unless all goroutines are blocked
	lanes    [3]atomic.Bool
	queues   [3]queueLedger
	pauses   [3]pauseLedger
	goesOn   atomic.Bool // a handler has called Shutdown, which is carried out without it

	mu        sync.Mutex
	entries   []*entry        // guarded by mu
	strays    []*handlerCall  // guarded by mu: of Async handlers with a timeout
	flushes   []flushed       // guarded by mu
	shutdowns []*shutdownCall // guarded by mu
}

// A queueLedger is written by the queue's handlers without a lock. They run one
// at a time, whichever goroutine runs them: the race detector would tell.
type queueLedger struct {
	begun   []*entry // handled, or expired when their turn had come
	seq     uint64   // of the last delivery
	ended   int64    // when the last handler had returned
	pending *failure // noted, and not yet passed to the error handler

	failures, panics, reports atomic.Int64
}

// An entry is the record of one publish.
type entry struct {
	publication
	from   stance
	by     *handlerCall // whose handler publishes, if one does with a context of its own
	source int          // the goroutine that publishes, or the handlers of a queue
	number int          // of the source's publishes
	batch  *entry       // the first of its batch, if it is of one

	at, settledAt  time.Time // when Publish was called, and when it returned
	stamp          time.Time // the event's Time, zero if the bus had to set it
	began, settled int64     // before and after Publish, by the machine's clock
	later          bool      // on a goroutine that a handler has started, which may have returned
	bounded        bool      // its context may end at any time, whatever its limit
	over           bool      // its context had ended before
	closed         bool      // Shutdown had begun before
	stepped        bool      // RunUntilIdle had been called before
	err            error     // what it returned

	seq      uint64
	turnAt   time.Time // when its turn had come
	after    int64     // when the handlers of the event before it were done
	calls    []*handlerCall
	replays  []*handlerCall // for those who subscribed WithLast
	expired  int64          // when its turn had come and it was too old
	failures []string       // of its handlers, by name; "" if it has expired

	// Found by verify.
	back   bool // Shutdown handed it back
	place  place
	judged bool // by verifyBound
}

func (e *entry) String() string {
	return fmt.Sprintf("[bus %d, event %d of source %d, %v: %+v; began %d at %v, settled %d: %v; place %v, turn %d]",
		e.bus, e.number, e.source, e.from, e.publication, e.began, e.at.Format("05.000000"), e.settled, e.err, e.place, e.turn())
}

// turn returns when e was begun, 0 if it was not.
func (e *entry) turn() int64 {
	switch {
	case e.expired != 0:
		return e.expired
	case len(e.calls) > 0:
		return e.calls[0].began
	}
	return 0
}

type flushed struct{ began, ended int64 }

type shutdownCall struct {
	began, ended int64
	endedAt      time.Time
	err          error
}

// isExact reports whether the bus alone decides how long things take: time stands
// still unless all goroutines are blocked, and no logger waits.
func (l *ledger) isExact() bool { return l.inBubble && !l.plan.trouble.waits() }

func (l *ledger) now() int64 { return l.m.clock.Add(1) }

func (l *ledger) violated(format string, args ...any) {
	l.m.violated("bus %d: "+format, append([]any{l.index}, args...)...)
}

// expect notes a violation unless want and got are the same.
func expect[T comparable](l *ledger, want, got T, format string, args ...any) {
	if want != got {
		l.violated("%s: want %v, got %v", fmt.Sprintf(format, args...), want, got)
	}
}

// expectBetween notes a violation unless got is from low to high.
func expectBetween(l *ledger, low, high, got uint64, format string, args ...any) {
	if got < low || got > high {
		l.violated("%s: want %d to %d, got %d", fmt.Sprintf(format, args...), low, high, got)
	}
}

// enter notes that e begins. The entries are in the order in which they began.
func (l *ledger) enter(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.began = l.now()
	l.entries = append(l.entries, e)
}

// verify compares the ledger with what the bus says when it is at rest. The
// result is of its Shutdown, if there was one.
func (l *ledger) verify(stats eventbus.Stats, subscribers []*subscriber, result *eventbus.ShutdownError) {
	var remaining map[eventbus.Queue][]eventbus.Event
	if result != nil {
		remaining = result.Remaining
	}
	for _, q := range bustest.EveryQueue {
		l.noteBack(q, remaining[q])
	}
	var counts [3]outcomes
	var vanished [3][]*entry
	for _, e := range l.entries {
		if l.settleFate(e, &counts[e.queue], subscribers) {
			vanished[e.queue] = append(vanished[e.queue], e)
		}
	}
	joined := joinedIn(stats, subscribers)
	for i, q := range stats.Queues {
		l.countVanished(vanished[i], &counts[i], subscribers)
		l.verifyAccounts(q, counts[i], joined[i])
		all := l.sequence(q.Queue, remaining[q.Queue])
		l.verifyPlaces(q.Queue, all, vanished[i])
		l.verifyOrder(q.Queue, all)
		l.verifyTurns(q.Queue, all)
		l.verifyBatches(q.Queue, all)
		l.verifyPasses(q.Queue, all)
		l.verifyCalls(q.Queue, subscribers)
		l.verifyBound(q.Queue, subscribers)
		l.verifyRoom(q.Queue, subscribers)
	}
	l.verifyDeadlocks()
	l.verifyPriority()
	l.verifyWaits()
	l.verifyFlushes()
}

// noteBack notes what Shutdown handed back of queue q.
func (l *ledger) noteBack(q eventbus.Queue, events []eventbus.Event) {
	keys := make(map[int]bool)
	for _, event := range events {
		e := event.Data.(*entry)
		if e.back || e.queue != q || event.Type != bustest.Topic(e.topic) {
			l.violated("the %v queue hands back an event twice, or one that is not its own", q)
		}
		if e.key > 0 && keys[e.key] {
			l.violated("the %v queue hands back two events with the key %d", q, e.key)
		}
		e.back, keys[e.key] = true, true
	}
}

// sequence returns what was begun on q and then what was handed back.
func (l *ledger) sequence(q eventbus.Queue, back []eventbus.Event) []*entry {
	all := append([]*entry(nil), l.queues[q].begun...)
	for _, event := range back {
		all = append(all, event.Data.(*entry))
	}
	return all
}
