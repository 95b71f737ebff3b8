package eventbus

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/eventbus-go/eventbus/internal/throttle"
)

// The most log records a second: of a handler's failures, and of a queue's losses.
const (
	maxErrorLogs = 10
	maxLossLogs  = 1
)

// A logThrottle bounds the records of one kind. What it withholds is told later, in
// one record.
type logThrottle struct {
	*throttle.Throttle
	tell func(ctx context.Context, n uint64)
}

// logs knows what the throttles of a bus withhold.
type logs struct {
	due     atomic.Bool                     // a throttle withholds records
	session atomic.Pointer[context.Context] // the last one's

	mu      sync.Mutex
	pending map[*logThrottle]bool // guarded by mu
}

// use makes ctx, a session's, the context of what is logged off the processors.
func (l *logs) use(ctx context.Context) { l.session.Store(&ctx) }

// context returns the session's context, which stands for no handler.
func (l *logs) context() context.Context {
	if ctx := l.session.Load(); ctx != nil {
		return anonymous{*ctx}
	}
	return context.Background()
}

// take reports whether n more records may be logged as one, and how many were
// withheld before.
func (l *logs) take(t *logThrottle, n uint64) (ok bool, withheld uint64) {
	if ok, withheld = t.Take(n); ok {
		return ok, withheld
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending == nil {
		l.pending = make(map[*logThrottle]bool)
	}
	l.pending[t] = true
	l.due.Store(true)
	return false, 0
}

// flush logs how many records were withheld, of those throttles whose second is over
// or, with force, of all.
func (l *logs) flush(ctx context.Context, force bool) {
	if !l.due.Swap(false) {
		return
	}
	defer l.lookAgain()
	for _, t := range l.listPending() { // one by one, so that a logger's panic hides no other
		l.drop(t)
		if n := t.Flush(force); n > 0 {
			t.tell(ctx, n)
		} else if t.Holds() {
			l.keep(t)
		}
	}
}

// lookAgain notes whether a throttle still withholds records.
func (l *logs) lookAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > 0 {
		l.due.Store(true)
	}
}

func (l *logs) listPending() (ts []*logThrottle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.pending {
		ts = append(ts, t)
	}
	return ts
}

func (l *logs) drop(t *logThrottle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, t)
}

func (l *logs) keep(t *logThrottle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[t] = true
	l.due.Store(true)
}

// flushGuarded is flush off the processors: it contains a logger that panics.
func (l *logs) flushGuarded(ctx context.Context, force bool) {
	defer func() { _ = recover() }()
	l.flush(ctx, force)
}

// makeThrottles makes those of q.
func (q *queue) makeThrottles() {
	l := q.bus.logger
	q.drops = &logThrottle{throttle.New(maxLossLogs), func(ctx context.Context, n uint64) {
		l.WarnContext(ctx, "eventbus: queue was full, more events were lost", "queue", q.id, "events", n)
	}}
	q.expiries = &logThrottle{throttle.New(maxLossLogs), func(ctx context.Context, n uint64) {
		l.WarnContext(ctx, "eventbus: more events were too old to be handled", "queue", q.id, "events", n)
	}}
	q.slow = &logThrottle{throttle.New(maxLossLogs), func(ctx context.Context, n uint64) {
		l.WarnContext(ctx, "eventbus: more publishes waited for long", "queue", q.id, "publishes", n)
	}}
}

func (b *Bus) newErrorThrottle(handler string, t EventType) *logThrottle {
	return &logThrottle{throttle.New(maxErrorLogs), func(ctx context.Context, n uint64) {
		b.logger.ErrorContext(ctx, "eventbus: handler failed more often", "handler", handler, "type", t, "failures", n)
	}}
}

// logLate logs that s was subscribed when no handler is called any more.
func (b *Bus) logLate(s *Subscription) {
	defer func() { _ = recover() }() // the logger's
	args := []any{"handler", s.name, "type", s.eventType}
	if s.pattern != "" {
		args = append(args, "pattern", s.pattern)
	}
	b.logger.WarnContext(b.logs.context(), "eventbus: subscribed after Shutdown, the handler is never called", args...)
}

// logFailure logs a handler's failure, unless the handler has failed too often
// in this second, and that it was disabled for it.
func (b *Bus) logFailure(ctx context.Context, s *Subscription, h *HandlerError, disabled bool) {
	if disabled {
		defer b.logger.ErrorContext(ctx, "eventbus: handler disabled, it failed too often in a row",
			"handler", s.name, "queue", h.Queue, "type", h.Event.Type, "failures", s.filter.limit)
	}
	ok, withheld := b.logs.take(s.errors, 1)
	if !ok {
		return
	}
	args := []any{"handler", h.Handler, "queue", h.Queue, "type", h.Event.Type, "error", h.Err}
	if h.Panicked {
		args = append(args, "stack", string(h.Stack))
	}
	b.logger.ErrorContext(ctx, "eventbus: handler failed", withCount(args, withheld)...)
}

// logDrops logs that n events were lost, the first of type t, on the publisher's
// goroutine.
func (q *queue) logDrops(ctx context.Context, what string, t EventType, n uint64) {
	ok, withheld := q.bus.logs.take(q.drops, n)
	if !ok {
		return
	}
	defer func() { _ = recover() }() // the logger's
	args := []any{"queue", q.id, "type", t, "capacity", q.cfg.Capacity, "events", n}
	q.bus.logger.WarnContext(ctx, "eventbus: queue is full, "+what, withCount(args, withheld)...)
}

// logExpired logs that an event was too old, on the processor.
func (q *queue) logExpired(ctx context.Context, h *HandlerError) {
	ok, withheld := q.bus.logs.take(q.expiries, 1)
	if !ok {
		return
	}
	args := []any{"queue", q.id, "type", h.Event.Type, "error", h.Err, "events", uint64(1)}
	q.bus.logger.WarnContext(ctx, "eventbus: event was too old to be handled", withCount(args, withheld)...)
}

// logSlowPublish logs that w still waits, and what for, on the publisher's
// goroutine.
func (q *queue) logSlowPublish(w *lineWait) {
	ok, withheld := q.bus.logs.take(q.slow, 1)
	if !ok {
		return
	}
	defer func() { _ = recover() }() // the logger's
	args := []any{"queue", q.id, "type", w.pub.entries[0].Type, "wait", time.Since(w.since)}
	if c := q.proc.callAt(q.proc.look()); c != nil {
		args = append(args, "running", c.handler, "handles", c.eventType)
	}
	q.bus.logger.WarnContext(w.pub.ctx, "eventbus: publish still waits for room", withCount(args, withheld)...)
}

func withCount(args []any, withheld uint64) []any {
	if withheld > 0 {
		args = append(args, "not_logged_before", withheld)
	}
	return args
}

// quoted returns s as it may stand in a line of text: quoted if it holds anything
// that could end the line, move the cursor or look like other text.
func quoted[S ~string](s S) string {
	for _, r := range string(s) {
		if r == unicode.ReplacementChar || r != ' ' && !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029' {
			return strconv.Quote(string(s))
		}
	}
	return string(s)
}
