package chaos

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A handlerCall is the record of one call of a handler.
type handlerCall struct {
	by     *subscriber
	entry  *entry
	number int // of the calls of by
	seq    uint64
	replay bool
	home   *subject     // whose handler it is
	outer  *handlerCall // that has stepped the bus, if a handler of another one has

	began, ended     int64
	beganAt, endedAt time.Time
	failed           bool
	how              action       // how the handler is about to fail; written by it, before
	reported         atomic.Int64 // when the error handler was told that the call was abandoned
}

// stanceAt returns where the bus to sees a publish come from that is made with
// the context of c.
func (c *handlerCall) stanceAt(to *subject) stance {
	s := guest
	for ; c != nil; c = c.outer {
		if c.home == to {
			s = inside
		}
	}
	return s
}

// callOf returns the call that ctx belongs to.
func callOf(ctx context.Context) *handlerCall {
	c, _ := ctx.Value(callKey{}).(*handlerCall)
	return c
}

// A failure is that of a handler, or of its filter.
type failure struct {
	by       *subscriber
	entry    *entry
	call     *handlerCall // nil for that of a filter
	panicked bool
	replay   bool
}

type (
	callKey  struct{}          // of the handlerCall in a context
	layerKey struct{ bus int } // of the number of WithMiddleware's that a call has gone through
)

// record is the middleware around the handler of s, outside of what Use adds to
// it, that keeps the ledger.
func (b *subject) record(s *subscriber) eventbus.Middleware {
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, event eventbus.Event) (err error) {
			call := b.begin(ctx, s, event)
			call.home = b
			if run, ok := ctx.Value(stepKey{b.index}).(*stepRun); ok {
				call.outer = run.outer
			}
			if s.async == 2 {
				b.m.asides.Add(1)
				b.m.aside.Add(1) // it may be abandoned before its goroutine runs
			}
			returned := false
			defer func() { b.finish(call, returned, err) }()
			err = next.Handle(context.WithValue(ctx, callKey{}, call), event)
			returned = true
			return err
		})
	}
}

// layer is the n-th middleware around all handlers, counted from 1.
func (b *subject) layer(n int) eventbus.Middleware {
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			if outer, _ := ctx.Value(layerKey{b.index}).(int); outer != n-1 {
				b.violated("middleware %d is called inside middleware %d", n, outer)
			}
			return next.Handle(context.WithValue(ctx, layerKey{b.index}, n), e)
		})
	}
}

// lane returns what handlers of q must not run twice in at a time.
func (l *ledger) lane(q eventbus.Queue) int {
	if l.plan.mode != live {
		return 0
	}
	return int(q)
}

func (l *ledger) begin(ctx context.Context, s *subscriber, event eventbus.Event) *handlerCall {
	e := event.Data.(*entry)
	if !l.lanes[l.lane(e.queue)].CompareAndSwap(false, true) {
		l.violated("a handler of the %v queue runs, and another one where it must not", e.queue)
	}
	d, ok := eventbus.DeliveryFrom(ctx)
	if !ok || d.Event != event || d.Queue != e.queue || d.Handler != s.name {
		l.violated("%s is called with %+v, but its delivery is %+v", s.name, event, d)
	}
	if layers, _ := ctx.Value(layerKey{l.index}).(int); layers != l.plan.layers {
		l.violated("%s is called inside %d middlewares", s.name, layers)
	}
	call := &handlerCall{by: s, entry: e, number: int(s.calls.Add(1)) - 1, seq: d.Seq, began: l.now(), beganAt: time.Now()}
	l.beginTurn(ctx, call, event)
	l.verifyCall(s, e, call)
	return call
}

// beginTurn notes that the event's turn has come, if call is the first.
func (l *ledger) beginTurn(ctx context.Context, call *handlerCall, event eventbus.Event) {
	e, s := call.entry, call.by
	q := &l.queues[e.queue]
	if f := q.pending; f != nil {
		l.violated("a failure of %s on the %v queue was not reported", f.by.name, e.queue)
	}
	switch {
	case e.turn() == 0:
		e.seq = call.seq
		l.takeTurn(ctx, e, event)
	case e.seq != call.seq:
		call.replay = true
		e.replays = append(e.replays, call)
		l.verifyPause(e.queue)
		if s.replays++; s.replays > 1 || s.home != int(e.queue) || l.lastOf(e.queue, e.topic) != e {
			l.violated("%s is called again with %v", s.name, e)
		}
		l.verifyReplayAge(ctx, e, event)
		q.seq = call.seq
		return
	case q.begun[len(q.begun)-1] != e:
		l.violated("%s is called with an event of the %v queue after a later one was begun", s.name, e.queue)
	}
	q.seq = call.seq
	e.calls = append(e.calls, call)
}

// takeTurn notes that e is begun: it is about to be handled, or has expired.
func (l *ledger) takeTurn(ctx context.Context, e *entry, event eventbus.Event) {
	q := &l.queues[e.queue]
	e.after, e.turnAt = q.ended, time.Now()
	q.begun = append(q.begun, e)
	if e.seq <= q.seq || l.plan.ear && !l.plan.keeps(e.queue) && e.seq != uint64(len(q.begun)) {
		l.violated("event %d of the %v queue has the number %d after %d", len(q.begun), e.queue, e.seq, q.seq)
	}
	l.verifyPause(e.queue)
	l.verifyAge(ctx, e, event)
}

// keeps reports whether the queue keeps the last event of a topic.
func (s *busPlan) keeps(q eventbus.Queue) bool { return slices.Contains(s.retained[:], int(q)) }

// lastOf returns the event of a topic that was begun last and has not expired.
func (l *ledger) lastOf(q eventbus.Queue, topic int) *entry {
	for _, e := range slices.Backward(l.queues[q].begun) {
		if e.topic == topic && e.expired == 0 {
			return e
		}
	}
	return nil
}

// verifyAge sees to it that an event has the time it was published with and, in
// a bubble, that it is too old if and only if it has expired. A logger may hold
// an event up between the look at its age and its first handler.
func (l *ledger) verifyAge(ctx context.Context, e *entry, event eventbus.Event) {
	limit := l.plan.queues[e.queue].MaxAge
	switch {
	case !e.stamp.IsZero() && !event.Time.Equal(e.stamp),
		e.stamp.IsZero() && (limit > 0 || e.way == byTopic) && (event.Time.Before(e.at) || event.Time.After(time.Now())):
		l.violated("an event that was published at %v with the time %v has the time %v", e.at, e.stamp, event.Time)
	case limit == 0 && e.expired != 0:
		l.violated("an event of the %v queue has expired", e.queue)
	case l.isExact() && limit > 0 && (l.ages(ctx) && time.Since(event.Time) > limit) != (e.expired != 0):
		l.violated("an event of the %v queue that is %v old has expired: %v", e.queue, time.Since(event.Time), e.expired != 0)
	}
}

// ages reports whether events expire in a call with ctx: while RunUntilIdle runs
// they do only by a clock of the bus.
func (l *ledger) ages(ctx context.Context) bool {
	return !law || l.plan.clocked || ctx.Value(stepKey{l.index}) == nil
}

// verifyReplayAge sees to it that no late joiner gets an event that is too old.
func (l *ledger) verifyReplayAge(ctx context.Context, e *entry, event eventbus.Event) {
	limit := l.plan.queues[e.queue].MaxAge
	if age := time.Since(event.Time); l.isExact() && limit > 0 && l.ages(ctx) && age > limit {
		l.violated("a late joiner gets an event of the %v queue that is %v old; the limit is %v", e.queue, age, limit)
	}
}

// verifyCall sees to it that s may be called with e.
func (l *ledger) verifyCall(s *subscriber, e *entry, call *handlerCall) {
	gone := s.gone.Load()
	switch {
	case e.expired != 0:
		l.violated("%s is called with an event that has expired", s.name)
	case gone != 0 && e.began > gone:
		l.violated("%s is called with an event that was published after it had left", s.name)
	case !s.takes(e):
		l.violated("%s is called with an event that it does not want: %+v", s.name, e.publication)
	case s.once && !s.only.CompareAndSwap(nil, call):
		l.violated("%s is called a second time", s.name)
	case s.disabled != 0:
		l.violated("%s is called after it has failed %d times in a row", s.name, s.limit)
	}
	s.arrived.CompareAndSwap(0, call.began)
}

// finish notes how the call ended. What an abandoned call does after that is not
// the handler's any more.
func (l *ledger) finish(call *handlerCall, returned bool, err error) {
	call.failed = !returned || err != nil
	switch {
	case call.failed:
		late := errors.Is(err, eventbus.ErrHandlerTimeout)
		panicked := !late && (call.how == doPanic || call.how == doPanicNil)
		l.fails(&failure{call.by, call.entry, call, panicked, call.replay})
	case call.by.limit > 0:
		call.by.streak = 0
	}
	call.ended, call.endedAt = l.now(), time.Now()
	l.queues[call.entry.queue].ended = call.ended
	l.lanes[l.lane(call.entry.queue)].Store(false)
}

// fails notes a failure, which the error handler is to be told next.
func (l *ledger) fails(f *failure) {
	q, s := &l.queues[f.entry.queue], f.by
	if q.pending != nil {
		l.violated("a failure of %s on the %v queue was not reported", q.pending.by.name, f.entry.queue)
	}
	q.pending = f
	q.failures.Add(1)
	s.failures.Add(1)
	if f.panicked {
		q.panics.Add(1)
		s.panics.Add(1)
	}
	if s.limit == 0 {
		return
	}
	if s.streak++; s.streak == s.limit {
		s.disabled = l.now()
	}
}

// reported notes what the error handler was told.
func (l *ledger) reported(ctx context.Context, h *eventbus.HandlerError) {
	e := h.Event.Data.(*entry)
	q := &l.queues[e.queue]
	q.reports.Add(1)
	if errors.Is(h.Err, eventbus.ErrExpired) && h.Handler == "" {
		l.expires(ctx, e, h)
		return
	}
	f := q.pending
	if q.pending = nil; f == nil || f.entry != e || h.Queue != e.queue || h.Handler != f.by.name || h.Panicked != f.panicked {
		l.violated("reported: %v; noted: %+v", h, f)
	}
	if f != nil && f.call != nil && errors.Is(h.Err, eventbus.ErrHandlerTimeout) {
		f.call.reported.Store(l.now())
	}
	if f != nil && !f.replay {
		e.failures = append(e.failures, h.Handler)
	}
}

func (l *ledger) expires(ctx context.Context, e *entry, h *eventbus.HandlerError) {
	if e.turn() != 0 || h.Queue != e.queue || h.Handler != "" || h.Panicked {
		l.violated("%+v, which was begun at %d, has expired: %v", e.publication, e.turn(), h)
		return
	}
	e.expired = l.now()
	q := &l.queues[e.queue]
	e.seq = q.seq + 1
	if l.plan.ear && !l.plan.keeps(e.queue) {
		e.seq = uint64(len(q.begun)) + 1
	}
	e.failures = append(e.failures, "")
	l.takeTurn(ctx, e, h.Event)
	q.seq, q.ended = e.seq, l.now()
}
