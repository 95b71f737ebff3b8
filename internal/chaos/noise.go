package chaos

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Loggers and error handlers publish with the context that they are given. Law: every
// log record has a context: the publisher's, the handler's, the session's. So the ledger
// knows on whose behalf they publish, and holds the bus to it.

// An origin says whose context a record has.
type origin uint8

const (
	ofPublisher origin = iota // the context of a publish, on its goroutine
	ofProcessor               // the context of the handlers, on the goroutine of their processor
	ofSession                 // the context of a session, which stands for no handler
	ofEither                  // one of the last two
)

// origins holds the origin of each record above DEBUG.
var origins = map[string]origin{
	"queue is full, dropped an event":                        ofPublisher,
	"queue is full, evicted the oldest event":                ofPublisher,
	"publish still waits for room":                           ofPublisher,
	"handler failed":                                         ofProcessor,
	"handler disabled, it failed too often in a row":         ofProcessor,
	"event was too old to be handled":                        ofProcessor,
	"processor started":                                      ofProcessor,
	"processor stopped":                                      ofProcessor,
	"processor failure":                                      ofProcessor,
	"slow handler is still running":                          ofSession,
	"subscribed after Shutdown, the handler is never called": ofSession,
	"slow handler has ended":                                 ofEither,
	"queue was full, more events were lost":                  ofEither,
	"more events were too old to be handled":                 ofEither,
	"more publishes waited for long":                         ofEither,
	"handler failed more often":                              ofEither,
}

// originOf returns the origin of r, and the queue that r names, -1 if none. What Shutdown
// reports itself of a handler that has ended RunUntilIdle has the context of the session.
func (b *subject) originOf(r slog.Record) (o origin, queue int) {
	o, known := origins[strings.TrimPrefix(r.Message, "eventbus: ")]
	if !known {
		b.violated("the ledger does not know whose context the record %q has", r.Message)
	}
	queue = -1
	r.Attrs(func(a slog.Attr) bool {
		err, failed := a.Value.Any().(error)
		switch {
		case a.Key == "queue" && o == ofProcessor:
			name, _, _ := strings.Cut(a.Value.String(), ",")
			queue = slices.IndexFunc(bustest.EveryQueue, func(q eventbus.Queue) bool { return q.String() == name })
		case failed && o == ofProcessor && strings.HasPrefix(err.Error(), "after it was abandoned"):
			o = ofSession
		}
		return true
	})
	if o == ofProcessor && b.mayReportLate() {
		o = ofEither
	}
	return o, queue
}

// mayReportLate reports whether Shutdown may report the failure of a handler.
func (b *subject) mayReportLate() bool { return b.closing.Load() && b.stepping.Load() }

// A voice is on whose behalf a logger or an error handler publishes.
type voice struct {
	from    stance       // inside stands for a handler, of whatever bus
	call    *handlerCall // the handler's, if it may be one
	later   bool         // as in entry
	bounded bool         // as in entry
	broken  bool         // the context is done without an error
}

// voiceOf returns the voice of who uses ctx, which comes from o. queue is that of the
// processor, -1 if nobody can tell. It sees to it that the bus agrees on whether it is a
// handler.
func (b *subject) voiceOf(ctx context.Context, o origin, queue int) voice {
	v, told := voice{from: outside, bounded: ctx.Done() != nil}, b.isHandlers(ctx)
	switch {
	case o == ofPublisher:
		e, ok := ctx.Value(entryKey{}).(*entry)
		if !ok {
			b.violated("a record of a publish does not have the context of one")
			return voice{from: either}
		}
		v = voiceOfPublish(e)
	case o == ofEither && told && b.stepping.Load(): // or RunUntilIdle logs, with the context of its caller
		return voice{from: either}
	case o == ofProcessor, o == ofEither && told:
		v = voice{from: inside, call: b.processorCall(ctx, queue)}
	}
	if is := v.from.handler(); o != ofEither && is != told && (is || v.from == outside) {
		b.violated("a context of origin %d is a handler's: %v; the bus says: %v", o, is, told)
	}
	return v
}

func voiceOfPublish(e *entry) voice {
	return voice{e.from, e.by, e.later, e.bounded || e.limit != 0, e.context == brokenContext}
}

// processorCall stands for what a processor does on behalf of its handlers.
func (b *subject) processorCall(ctx context.Context, queue int) *handlerCall {
	c := &handlerCall{home: b}
	if queue >= 0 {
		c.entry = &entry{publication: publication{queue: eventbus.Queue(queue)}}
	}
	if run, ok := ctx.Value(stepKey{b.index}).(*stepRun); ok {
		c.outer = run.outer
	}
	return c
}

// isHandlers asks the bus whether ctx is a handler's: Flush refuses that at once. One that
// is done without an error must not get one for that: it would count as ended then.
func (b *subject) isHandlers(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	default:
		ctx = endedContext{ctx}
	}
	return errors.Is(b.bus.Flush(ctx), eventbus.ErrWouldDeadlock)
}

// An endedContext has ended, whatever the context in it.
type endedContext struct{ context.Context }

func (endedContext) Done() <-chan struct{} { return closedChannel }
func (endedContext) Err() error            { return context.Canceled }

// stanceAt returns where the bus to sees a publish of v come from.
func (v voice) stanceAt(to *subject) stance {
	if v.from.handler() {
		return v.call.stanceAt(to)
	}
	return v.from
}

// maxNoises bounds how often the loggers of a run call a bus: what one of them
// publishes may be dropped, and so logged.
const maxNoises = 200

// maxHalts bounds how often loggers stop or pause a bus: one that does so whenever its
// processors say that they have started would keep it from handling anything for good.
const maxHalts = 8

// makeNoise makes a call, for a logger or an error handler that was given ctx, of origin o
// and, if it is a processor's, queue.
func (b *subject) makeNoise(ctx context.Context, o origin, queue int) {
	t := b.plan.trouble
	if t.k == 0 {
		return
	}
	n := b.noises.Add(1)
	if n%t.k != 0 || n/t.k > maxNoises || b.m.answers.Add(1) > b.m.plan.answers {
		return
	}
	b.m.asides.Add(1)
	b.m.aside.Add(1)
	defer b.m.aside.Add(-1)
	b.m.noise.RLock()
	defer b.m.noise.RUnlock()
	v := b.voiceOf(ctx, o, queue)
	if t.foreign {
		ctx, v = context.Background(), voice{from: outside}
	}
	s := t.noises[int(n/t.k)%len(t.noises)]
	if s.do == doControl {
		halts := s.control.call == callStop || s.control.call == callPause
		if !v.broken && !(halts && b.m.halts.Add(1) > maxHalts) { // no context can be derived from a broken one
			b.m.subjects[s.control.bus].attempt(ctx, s.control, v)
		}
		return
	}
	p, to := s.publish, b.m.subjects[s.publish.bus]
	if v.broken {
		p.context = brokenContext
	}
	e := &entry{source: b.m.otherSource(), by: v.call, later: v.later, bounded: v.bounded}
	to.publish(ctx, p, e, v.stanceAt(to))
}

// attempt makes a call for v and sees to it that its result is in order.
func (b *subject) attempt(ctx context.Context, do control, v voice) {
	ctx, cancel := context.WithTimeout(ctx, b.m.scaled(do.limit))
	defer cancel()
	if do.call == callStart {
		ctx = context.Background()
	}
	err := b.call(ctx, do)
	waits := do.call == callFlush || do.call == callShutdown
	switch {
	case v.from.handler() && waits:
		if !errors.Is(err, eventbus.ErrWouldDeadlock) {
			b.violated("a logger on behalf of a handler: %+v returned %v", do, err)
		}
	case !v.from.handler() && v.from != outside: // nobody can tell
	case !b.permits(do, err) && !(v.bounded && isContextError(err)):
		b.violated("a logger: %+v returned %v", do, err)
	}
}
