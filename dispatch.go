package eventbus

// runLimit bounds how far the counters lag behind: they are published once a run.
const runLimit = 128

// run goes on with the event that a failure has interrupted, or handles what is
// queued.
//
// A position is stored before attention is read; Shutdown sets attention before
// it reads positions. So either run sees that it is killed and takes no further
// event, or Shutdown sees the event that it has begun.
func (p *processor) run() {
	defer p.endRun()
	q := p.queue
	m := q.mark() &^ markState
	if q.mark().isCalling() {
		p.dispatch(p.nextHandler())
		q.position.Store(uint64(m + taking))
		return
	}
	for n := p.beginRun(); n > 0 && p.next(); n-- {
		if _, ok := p.event.Data.(*parcel); ok || q.cfg.MaxAge > 0 || !p.list.serves(p.event.Type) {
			p.route()
		}
		q.setHandler(0)
		m += 1 << markShift
		q.position.Store(uint64(m + calling))
		q.admit()
		if p.list.unheard {
			p.skip()
		}
		p.dispatch(0)
		q.position.Store(uint64(m + taking))
	}
}

// beginRun returns how many events the run may take. Where the processor serves
// other queues too, one of those may come first after each event.
func (p *processor) beginRun() (budget int) {
	if len(p.queues) == 1 {
		return runLimit
	}
	p.list = nil // of the queue before
	return 1
}

// next takes the next event, unless there is none or the processor was told
// something. An event is known to be there before attention is read: what was
// published after Stop had returned is not taken.
func (p *processor) next() bool {
	q := p.queue
	if q.evicts {
		return p.nextLocked()
	}
	if q.chunk == nil && !q.openNext() || p.told() {
		return false
	}
	q.shift(&p.event)
	return true
}

// nextLocked is next for a queue that evicts.
func (p *processor) nextLocked() bool {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.chunk == nil && !q.openNextLocked() || p.told() {
		return false
	}
	q.taken++
	q.shift(&p.event)
	return true
}

// told reports whether the processor was told something that ends a run.
func (p *processor) told() bool { return p.attention.Load()&^mild != 0 }

func (p *processor) endRun() {
	p.list.count(p.calls)
	p.calls = 0
	if !p.queue.mark().isCalling() {
		p.event = Event{}
	}
	p.bus.changed()
}

// route finds the handlers of the event at hand.
func (p *processor) route() {
	var list *handlerList
	if _, ok := p.event.Data.(*parcel); ok || p.queue.cfg.MaxAge > 0 {
		p.event, list = p.open(p.event)
	}
	if list == nil {
		if p.list.serves(p.event.Type) {
			return
		}
		list = p.bus.handlersOf(p.event.Type)
	}
	p.list.count(p.calls)
	p.calls, p.list = 0, list
	p.queue.serving.Store(list)
}

// dispatch calls the handlers of the event at hand, from the i-th on.
func (p *processor) dispatch(i int) {
	q, list, ctx := p.queue, p.list, p.ctx
	e := p.event // to pass on one that is not on the stack would copy it twice
	for ; i < len(list.calls); i++ {
		q.setHandler(i)
		if p.attention.Load() != 0 && p.heed(list.subs[i], i) {
			list.countFirst(i)
			q.cut.Store(list.describe(q, i))
			return
		}
		if err := list.calls[i](ctx, e); err != nil {
			p.fail(list.subs[i], err)
		}
	}
	p.calls++
}

// nextHandler returns the handler to go on with after a failure.
func (p *processor) nextHandler() int {
	i := int(p.queue.handler)
	if p.called {
		i++
	}
	p.called = false
	return i
}

// fail reports the error of a handler that returned.
func (p *processor) fail(s *Subscription, err error) {
	p.report(s, &HandlerError{Queue: p.queue.id, Event: p.event, Handler: s.name, Err: err})
}

// heed does what cannot wait for the end of the event, whose handler i is about
// to be called, and reports whether that one and those after it are to be
// skipped. The first is not: Shutdown may have seen that the event has begun.
func (p *processor) heed(s *Subscription, i int) (skip bool) {
	a := p.attention.Load()
	if a&unwatched != 0 && !p.stepping {
		p.bus.watch.arm()
	}
	if a&reported != 0 {
		p.tellSlowEnded()
	}
	skip = a&killed != 0 && i > 0 && !(i == 1 && p.list.subs[0].keeper)
	if a&verbose != 0 && !skip {
		p.logCall(s, &p.event)
	}
	return skip
}

// skip counts the event at hand, which has no handler.
func (p *processor) skip() {
	if p.event.Type == "" {
		p.expire()
		return
	}
	p.queue.unhandled.Add(1)
	if p.attention.Load()&verbose != 0 {
		p.say(telling, func() {
			p.bus.logger.DebugContext(p.ctx, "eventbus: event has no handler", "queue", p.queue.id, "type", p.event.Type)
		})
	}
}

// logCall logs that s is about to be called, unless its gate decides that.
func (p *processor) logCall(s *Subscription, e *Event) {
	if s.gate == nil && !s.keeper {
		p.tellCall(s, e)
	}
}

func (p *processor) tellCall(s *Subscription, e *Event) {
	p.say(telling, func() {
		p.bus.logger.DebugContext(p.ctx, "eventbus: calling handler",
			"handler", s.name, "queue", p.queue.id, "type", e.Type, "async", s.async)
	})
}

func (p *processor) tellSlowEnded() {
	p.attention.And(^reported)
	if c := p.queue.slow.Swap(nil); c != nil {
		p.say(telling, func() { c.logEnd(p.bus.logger) })
	}
}
