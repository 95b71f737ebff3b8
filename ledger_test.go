package eventbus_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A ledger is what the property test knows of a run without asking the bus.
type ledger struct {
	inBubble bool // time stands still unless all goroutines are blocked
	queues   [3]queueLedger
	clock    atomic.Int64 // counts what happens, to tell what came first

	mu         sync.Mutex
	entries    []*entry        // guarded by mu
	flushes    []flushed       // guarded by mu
	shutdowns  []*shutdownCall // guarded by mu
	violations []string        // guarded by mu
}

// A queueLedger is written by the queue's handlers without a lock. They run one
// at a time, whichever goroutine runs them: the race detector would tell.
type queueLedger struct {
	running atomic.Bool // a handler
	handled []*entry
	started atomic.Int64 // the time of the last call

	failures, panics atomic.Int64
	reports          atomic.Int64
}

// An entry is the record of one publish.
type entry struct {
	queue       eventbus.Queue
	topic       int
	source      int // the goroutine that publishes, or the queue of the handler that does
	number      int // of the source's publishes
	generations int
	outside     bool // not by a handler with its own context

	at             time.Time // when Publish was called
	began, settled int64     // before and after that, by the ledger's clock
	err            error     // what it returned
	calls          []handlerCall
	answers        int // that its handlers have published
}

type handlerCall struct {
	by           *subscriber
	began, ended int64
	failed       bool
}

// A subscriber is the record of a subscription.
type subscriber struct {
	name       string
	topic      int
	plan       *handlerPlan // nil for one that comes and goes
	order      int          // of subscribing
	subscribed int64        // when Subscribe had returned
	left       atomic.Int64 // when Unsubscribe was called, 0 if it was not
	gone       atomic.Int64 // when it had returned
	sub        *eventbus.Subscription

	calls, failures, panics atomic.Int64
}

// stayedFor reports whether s was subscribed from before e was published to
// this day.
func (s *subscriber) stayedFor(e *entry) bool {
	return s.topic == e.topic && s.subscribed < e.began && s.left.Load() == 0
}

type flushed struct{ began, ended int64 }

type shutdownCall struct {
	began, ended int64
	err          error
}

func (l *ledger) now() int64 { return l.clock.Add(1) }

func (l *ledger) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.violations) < 8 {
		l.violations = append(l.violations, fmt.Sprintf(format, args...))
	}
}

// expect notes a violation unless want and got are the same.
func expect[T comparable](l *ledger, want, got T, format string, args ...any) {
	if want != got {
		l.violated("%s: want %v, got %v", fmt.Sprintf(format, args...), want, got)
	}
}

func (l *ledger) enter(e *entry) {
	e.began = l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
}

// begin notes that s is called with e; end is to be called when it is done.
func (l *ledger) begin(s *subscriber, e *entry) (end func()) {
	q := &l.queues[e.queue]
	if !q.running.CompareAndSwap(false, true) {
		l.violated("two handlers run on the %v queue", e.queue)
	}
	now := l.now()
	q.started.Store(now)
	if len(e.calls) == 0 {
		q.handled = append(q.handled, e)
	}
	if n := len(q.handled); q.handled[n-1] != e {
		l.violated("%s is called with an event of the %v queue after a later one was begun", s.name, e.queue)
	}
	if gone := s.gone.Load(); gone != 0 && e.began > gone {
		l.violated("%s is called with an event that was published after it had left", s.name)
	}
	e.calls = append(e.calls, handlerCall{by: s, began: now})
	return func() {
		e.calls[len(e.calls)-1].ended = l.now()
		q.running.Store(false)
	}
}

// The outcomes of the publishes to a queue.
type outcomes struct {
	accepted, dropped, rejected uint64
	handled, back, vanished     uint64 // of the accepted ones
	missed                      uint64 // vanished though somebody was subscribed
}

// verify compares the ledger with what the bus says when it is at rest. The
// result is of its Shutdown, if there was one.
func (l *ledger) verify(stats eventbus.Stats, subscribers []*subscriber, result error) {
	remaining := make(map[*entry]bool)
	left := new(eventbus.ShutdownError)
	errors.As(result, &left)
	for _, q := range everyQueue {
		for _, event := range left.Remaining[q] {
			e := event.Data.(*entry)
			if remaining[e] || e.queue != q || event.Type != topic(e.topic) {
				l.violated("the %v queue hands back an event twice, or one that is not its own", q)
			}
			remaining[e] = true
		}
	}
	var counts [3]outcomes
	for _, e := range l.entries {
		l.verifyFate(e, remaining[e], &counts[e.queue], stats.Queues[e.queue].Overflow, subscribers)
	}
	for i, q := range stats.Queues {
		l.verifyAccounts(q, counts[i])
		l.verifyOrder(q.Queue, left.Remaining[q.Queue])
	}
	for _, q := range everyQueue {
		l.verifyCalls(q, subscribers)
	}
	l.verifyFlushes(remaining)
	l.verifyDrain()
}

// verifyDrain sees to it that a Shutdown that returned nil refused nothing that
// handlers published.
func (l *ledger) verifyDrain() {
	if l.gaveUp() {
		return
	}
	for _, e := range l.entries {
		if !e.outside && errors.Is(e.err, eventbus.ErrClosed) {
			l.violated("while the bus drained, a handler's event %d for the %v queue was refused", e.number, e.queue)
		}
	}
}
