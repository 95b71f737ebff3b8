package eventbus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A turn is the event at hand and how far the processor has come with it. It
// belongs to the goroutine that runs the processor.
//
// Invariants: the queue's cursor is busy from the moment the event is begun until
// the turn has ended, or the next one has begun. The handler at hand is
// position.handler of list; called says whether it has been called.
type turn struct {
	queue      *queue
	entry      entry
	list       *handlerList // of entry's type; between events that of the event before
	calls      uint64       // of every handler in list, since they were counted
	luggage    *luggage     // of the luggageOf-th event of the queue
	luggageOf  uint64
	timed      bool        // the handlers of the next event are timed
	completion *completion // of the PublishWait that waits for the event; nil for none
	errs       []error     // the handlers' errors, for completion
	reached    bool        // a filtered handler that is no tap was called, or its filter panicked
	called     bool        // the handler at hand has been called
	passed     bool        // the filters of the handler at hand have let the event through, and it has not been called
	stage      stage
	failure    *failure      // the panic or Goexit that handleFailure must deal with; nil for none
	unreported *HandlerError // a failure that not all error handlers have got yet; nil for none
	passedOn   int           // how many error handlers have got unreported
}

// isBusy reports whether an event is begun and not ended.
func (p *processor) isBusy() bool { return p.turn.queue.buffer.Busy() }

// run handles up to limit events of the queue at hand, one after the other, until
// there is none or somebody holds. Each begins with one compare-and-swap; the last
// ends with another.
func (p *processor) run(limit int) {
	t := &p.turn
	q := t.queue
	if w := q.wait; w != nil && w.IsOpen() {
		w.Resume(p.bus.machineTime())
	}
	for n := limit; n > 0 && q.buffer.Begin(&t.entry); n-- {
		if (t.entry.meta != nil || q.cfg.MaxAge > 0 || !t.list.serves(t.entry.Type)) && !p.openEntry() {
			q.admit()
			continue
		}
		p.position.begin(q.buffer.Begun())
		if q.buffer.Gate.Load() != 0 {
			q.admit()
		}
		if t.list.unheard {
			p.skip()
		}
		goOn := p.dispatch(0)
		if t.completion != nil {
			p.complete()
		}
		if !goOn { // killed, perhaps before the hold that comes with it
			break
		}
	}
	p.endRun()
}

// dispatch calls the handlers of the event at hand, from the i-th on, and reports
// whether all of them were called.
func (p *processor) dispatch(i int) bool {
	if i == 0 && p.turn.timed {
		return p.dispatchTimed()
	}
	list, ctx := p.turn.list, context.Context(p.context)
	e := p.turn.entry.Event // to pass on one that is not on the stack would copy it twice
	for ; i < len(list.calls); i++ {
		p.setHandler(i)
		if p.requests.Load() != 0 && p.isCutAt(i) {
			list.countFirst(i)
			return false
		}
		p.setCalling(i)
		if err := list.calls[i](ctx, e); err != nil {
			p.fail(list.subs[i], err)
		}
	}
	p.turn.calls++
	return true
}

// resume goes on with the event that a failure has interrupted.
func (p *processor) resume() {
	p.endTelling()
	p.turn.queue.admit() // if the clock has ended the goroutine before
	p.turn.timed = false
	p.dispatch(p.nextHandler())
	if p.turn.completion != nil {
		p.complete()
	}
	p.endRun()
}

func (p *processor) endRun() {
	t := &p.turn
	t.queue.buffer.End()
	t.list.count(t.calls)
	t.calls = 0
	t.luggage, t.timed = nil, false
	if w := t.queue.wait; w != nil && w.IsOpen() {
		t.queue.noteWaits(p.bus.machineTime(), t.queue.buffer.Begun())
	}
	if p.requests.Load()&reqKill == 0 { // else Shutdown may look at it until the processor leaves
		t.entry = entry{}
	}
	p.env.changed()
}

// openEntry looks at what the entry at hand carries and finds its handlers. It
// reports whether there is an event to handle: not if it was withdrawn.
func (p *processor) openEntry() bool {
	t := &p.turn
	maxAge := t.queue.cfg.MaxAge
	if m := t.entry.meta; m != nil {
		if m.maxAge > 0 {
			maxAge = m.maxAge
		}
		if joins := m.joins; joins != nil {
			m.recycle()
			p.waitForClock()
			return p.join(joins.sub)
		}
		if !p.openMeta(m) {
			return false
		}
	}
	if maxAge > 0 && p.env.expires() {
		p.waitForClock()
		if err := p.age(maxAge); err != nil {
			p.setList(newExpiredList(t.entry.Type))
			t.unreported = &HandlerError{Queue: t.queue.id, Event: t.entry.Event, Err: err}
			return true
		}
	}
	if !t.list.serves(t.entry.Type) {
		p.setList(p.env.handlersOf(t.entry.Type))
	}
	return true
}

// openMeta takes out what m holds for the event at hand, and m back. It reports whether
// the event may begin: not if PublishWait has withdrawn it.
func (p *processor) openMeta(m *meta) bool {
	t := &p.turn
	t.entry.Event = t.entry.event()
	completion, luggage := m.completion, m.luggage
	t.entry.meta = nil
	m.recycle()
	if !completion.begin() {
		t.queue.bury()
		return false
	}
	t.completion, t.reached = completion, false
	if luggage != nil {
		p.unpack(luggage)
	}
	return true
}

// unpack makes l what travels with the event at hand.
func (p *processor) unpack(l *luggage) {
	p.turn.luggage, p.turn.luggageOf = l, p.turn.queue.buffer.Begun()
	p.turn.timed = p.turn.timed || l.cause != nil && p.isTimed()
}

// luggage returns what travels with the event at hand, nil if nothing.
func (p *processor) luggage() *luggage {
	if t := &p.turn; t.luggage != nil && t.luggageOf == t.queue.buffer.Begun() {
		return t.luggage
	}
	return nil
}

// waitForClock says that the clock is about to be called for the event at hand. Until
// its handlers are found the event has none: if the clock ends the goroutine, no
// handler of the event before is blamed or called.
func (p *processor) waitForClock() {
	p.setList(noHandlers)
	p.position.begin(p.turn.queue.buffer.Begun())
	p.setTelling()
}

// bury counts the event at hand as one that was withdrawn.
func (q *queue) bury() {
	q.unnumbered++
	q.buffer.Bury()
}

// age returns an error if the event at hand is older than limit, or the clock
// panics.
func (p *processor) age(limit time.Duration) error {
	var age time.Duration
	if err := contain("the clock", func() { age = p.env.now().Sub(p.turn.entry.Time) }); err != nil {
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	if age > limit {
		return fmt.Errorf("%w: it is %v old, the limit is %v", ErrExpired, age, limit)
	}
	return nil
}

// setList makes l the handlers of the event at hand.
func (p *processor) setList(l *handlerList) {
	p.turn.list.count(p.turn.calls)
	p.turn.calls, p.turn.list = 0, l
	p.position.list.Store(l)
}

// letGo forgets the handlers of the last event, so that those that have
// unsubscribed are not kept.
func (p *processor) letGo() {
	if p.turn.list != nil {
		p.turn.list = nil
		p.position.list.Store(nil)
	}
}

// join lets the late joiner s in, whose entry is at hand, and makes the last event
// of its type the one at hand, and s its only handler. It reports whether s is
// still there.
func (p *processor) join(s *Subscription) bool {
	last, list := p.env.arrive(s)
	if list == nil {
		p.turn.queue.bury()
		return false
	}
	if last != nil {
		p.turn.entry.Event = last.Event
		if last.luggage != nil {
			p.unpack(last.luggage)
			p.turn.timed = false // the event was handled long ago
		}
	} else {
		p.turn.queue.unnumbered++
	}
	p.setList(list)
	return true
}

// endInterrupted ends the event at hand, which runtime.Goexit has interrupted, without its
// other handlers: nobody runs the processor any more. It returns how the failure is
// reported.
func (p *processor) endInterrupted() (report func()) {
	t := &p.turn
	report = func() {}
	i := p.position.at()
	if f := t.failure; f != nil && t.stage == handling && i < len(t.list.subs) {
		s, ctx := t.list.subs[i], anonymous{p.context}
		h := p.failureOf(s, f)
		p.countFailure(s, h)
		disabled := s.fail()
		report = func() { p.bus.reportLate(ctx, s, h, disabled) }
		i++
	} else if t.called || f != nil && t.stage == reporting { // it was called, and has failed
		i++
	}
	t.failure, t.stage, t.called, t.unreported = nil, handling, false, nil
	if i = max(i, t.list.firstHandler()); i < len(t.list.subs) {
		t.list.countFirst(i)
		p.cut.Store(t.list.interrupted(t.queue.id, t.entry.Event, i))
	} else {
		t.calls++
	}
	if t.completion != nil {
		p.complete()
	}
	p.endRun()
	p.letGo()
	return report
}

// nextHandler returns the handler to go on with after a failure.
func (p *processor) nextHandler() int {
	i := p.position.at()
	if p.turn.called {
		i++
	}
	p.turn.called = false
	return i
}

// isCutAt is called before handler i of the event at hand if there are requests. It
// serves those that cannot wait for the end of the event, and reports whether the kill
// switch keeps handler i and the handlers after it from being called. The first handler
// is always called, since an event that has begun is not handed back. So is one whose
// filters have passed the event, and whose call the logger has kept from beginning: the
// processor was at its call, and whoever gave up meanwhile has taken it for called.
func (p *processor) isCutAt(i int) bool {
	list, passed := p.turn.list, p.turn.passed
	p.quickenPulse()
	if requests := p.requests.Load(); requests&(reqSlow|logCalls) != 0 && !passed {
		p.setTelling()
		if requests&reqSlow != 0 {
			p.tellSlowEnded()
		}
		if requests&logCalls != 0 {
			p.logCall(list.subs[i], p.turn.entry.Type)
		}
		p.endTelling()
	}
	if p.requests.Load()&reqKill == 0 || i < list.firstCut(i, passed) {
		return false
	}
	p.cut.Store(list.interrupted(p.turn.queue.id, p.turn.entry.Event, i))
	return true
}

// complete gives the outcome of the event at hand to the PublishWait that waits for it.
// It ends the event first, so that the caller finds it handled in Stats.
func (p *processor) complete() {
	t := &p.turn
	t.queue.buffer.End()
	errs := t.errs
	if cut := p.cut.Load(); cut != nil {
		errs = append(errs, cut.err())
	} else if !t.reached && !t.list.isReached() {
		errs = append(errs, ErrUnhandled)
	}
	if t.list.expired {
		errs = t.errs
	}
	c := t.completion
	t.completion, t.errs, t.reached = nil, nil, false
	c.complete(errors.Join(errs...))
}

// skip counts the event at hand, which has no handler, or was too old.
func (p *processor) skip() {
	t := &p.turn
	if t.list.expired {
		p.expire()
		return
	}
	t.queue.unhandled.Add(1)
	if p.requests.Load()&logCalls != 0 {
		p.setTelling()
		p.protect(telling, func() {
			p.bus.logger.DebugContext(p.context, "eventbus: event has no handler", "queue", t.queue.id, "type", t.entry.Type)
		})
	}
}

// expire counts and logs the event at hand, which was too old, and passes it on.
func (p *processor) expire() {
	t := &p.turn
	h := t.unreported
	t.queue.expired.Add(1)
	t.noteError(h)
	p.setReporting()
	p.protect(telling, func() { t.queue.logExpired(p.context, h) })
	p.passOn()
}

// noteError keeps h for who waits for the event at hand.
func (t *turn) noteError(h *HandlerError) {
	if t.completion != nil {
		t.errs = append(t.errs, h)
	}
}

// logCall logs that s is about to be called, unless its filter decides that.
func (p *processor) logCall(s *Subscription, t EventType) {
	if s.filter == nil && !s.retainer {
		p.tellCall(s, t)
	}
}

func (p *processor) tellCall(s *Subscription, t EventType) {
	p.protect(telling, func() {
		p.bus.logger.DebugContext(p.context, "eventbus: calling handler",
			"handler", s.name, "queue", p.turn.queue.id, "type", t, "async", s.async)
	})
}
