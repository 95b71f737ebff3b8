package eventbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A processor drains its queue: it takes one event after another and calls the
// handlers of its type, one after another. One goroutine runs it at a time; one
// that a handler ends with runtime.Goexit hands it to a successor.
type processor struct {
	bus   *Bus
	queue *queue

	wake      chan struct{} // of capacity 1; look at attention and the line
	attention atomic.Uint32 // what the processor is told

	parkedOn *queue // where its handler waits for room; guarded by lineMu

	alive   bool     // a goroutine runs it; guarded by Bus.mu
	session *session // it runs in; guarded by Bus.mu

	// The rest belongs to the processor's goroutine.
	ctx        context.Context // the session's, with this processor as a value
	started    bool            // its start has been logged
	debug      bool            // handler calls are logged
	mute       bool            // the logger failed to tell its level; do not ask again
	stage      stage
	current    cursor
	failure    *failure
	unreported *HandlerError // logged, or being so, and not yet passed on
}

// The bits of processor.attention.
const (
	stopped   uint32 = 1 << iota // start no further event, and leave
	killed                       // and call no further handler
	renewed                      // there is a new session
	reported                     // a slow handler was reported: tell when it has ended
	unwatched                    // nobody watches for slow handlers: arm the watch at the next call
)

// A cursor is an event on its way through its handlers.
type cursor struct {
	active bool // there is one
	begun  bool // and its handlers are being called
	event  Event
	list   *handlerList
	last   int // the handler called last
}

// A stage tells settle whose failure it deals with.
type stage uint8

const (
	handling stage = iota // a handler's or, if none was running, the processor's own
	asking                // the logger's, on being asked for its level
	telling               // the error handler's or the logger's
	alarming              // the logger's, on being told of one of those
)

// A failure is what a panic or runtime.Goexit left behind.
type failure struct {
	value  any
	exited bool // it was runtime.Goexit
	stack  []byte
}

// error returns the failure as the error of a handler.
func (f *failure) error() error {
	if f.exited {
		return errors.New("the handler ended its goroutine with runtime.Goexit")
	}
	if err, ok := f.value.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", f.value)
}

type processorKey struct{}

// processorOf returns the processor whose handler was given ctx, if any.
func processorOf(ctx context.Context) *processor {
	p, _ := ctx.Value(processorKey{}).(*processor)
	return p
}

func newProcessor(b *Bus, q *queue) *processor {
	return &processor{bus: b, queue: q, wake: make(chan struct{}, 1)}
}

// signal sets bits of attention and wakes the processor.
func (p *processor) signal(bits uint32) {
	p.attention.Or(bits)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// main runs the processor until it leaves. runtime.Goexit ends the goroutine,
// so another one takes over.
func (p *processor) main() {
	returned := false
	defer func() {
		if !returned {
			p.failure.exited = true
			go p.main()
		}
	}()
	for !p.guard() {
	}
	returned = true
}

// guard runs serve and reports whether it returned. If not, p.failure says why.
func (p *processor) guard() (returned bool) {
	defer func() {
		if !returned {
			p.failure = &failure{value: recover(), stack: debug.Stack()}
		}
	}()
	p.serve()
	return true
}

// serve handles events until the processor leaves.
func (p *processor) serve() {
	poll := time.NewTicker(p.bus.poll)
	defer poll.Stop()
	for {
		p.settle()
		switch {
		case p.current.active: // a failure interrupted it: the other handlers still run
			p.run()
		case !p.attend():
			if p.leave() {
				return
			}
		case len(p.queue.ch) > 0:
			p.run()
		default:
			p.idle(poll.C)
		}
	}
}

// attend does what the processor was told and reports whether to go on. User
// code runs first, while the processor is away.
func (p *processor) attend() bool {
	p.queue.setState(away)
	a := p.attention.Load()
	if a&renewed != 0 {
		p.bus.renew(p)
	}
	if !p.started {
		p.started = true
		p.say(func() { p.bus.logger.InfoContext(p.ctx, "eventbus: processor started", "queue", p.queue.id) })
	}
	if a&reported != 0 {
		p.tellSlowEnded()
	}
	if !p.mute {
		p.stage = asking
		p.debug = p.bus.logger.Enabled(p.ctx, slog.LevelDebug)
		p.stage = handling
	}
	p.queue.setState(taking)
	return p.attention.Load()&stopped == 0
}

// leave ends the processor unless the bus has been started again meanwhile.
func (p *processor) leave() bool {
	p.started = false
	p.say(func() {
		p.bus.flushLogs(true)
		p.bus.logger.InfoContext(p.ctx, "eventbus: processor stopped", "queue", p.queue.id)
	})
	return p.bus.release(p)
}

// idle waits for an event, for a signal, or for the next poll, which makes up
// for a wake-up that was lost.
func (p *processor) idle(poll <-chan time.Time) {
	select {
	case p.current.event = <-p.queue.ch:
		p.current.active, p.current.begun = true, false
		raise(&p.queue.highWater, 1)
		p.run()
	case <-p.wake:
	case <-poll:
		p.queue.admit()
		p.bus.changed()
		if p.bus.withheld.Load() {
			p.say(func() { p.bus.flushLogs(false) })
		}
	}
}

// runLimit bounds how far the counters lag behind: they are published once a run.
const runLimit = 128

// run handles the current event, if there is one, and then what is queued. It
// works on a copy of the cursor, and saves it even if a handler does not return.
//
// A position is stored before attention is read; Shutdown sets attention before
// it reads positions. So either run sees that it is killed and takes no further
// event, or Shutdown sees the event that it has begun.
func (p *processor) run() {
	q, ctx, c := p.queue, p.ctx, p.current
	m := q.mark() &^ markState
	var calls uint64 // of every handler in c.list
	var high int
	defer func() {
		c.list.count(calls)
		raise(&q.highWater, int64(high))
		if !c.active {
			c.event = Event{} // a processor at rest holds on to nobody's data
		}
		p.current = c
		p.bus.changed()
	}()
	for budget := runLimit; ; budget-- {
		if !c.active {
			if budget <= 0 || p.attention.Load()&^unwatched != 0 {
				return
			}
			if n := len(q.ch); n > high {
				high = n
			}
			select {
			case c.event = <-q.ch:
				c.active, c.begun = true, false
			default:
				return
			}
		}
		if !c.begun {
			m += 1 << markShift
			q.position.Store(uint64(m + calling))
			c.begun, c.last = true, -1
			if q.state.Load()&lined != 0 {
				q.admit()
			}
			if !c.list.serves(c.event.Type) {
				c.list.count(calls)
				calls, c.list = 0, p.find(c.event)
			}
		}
		for c.last++; c.last < len(c.list.subs); c.last++ {
			if c.last > 0 {
				q.position.Store(uint64(m + calling + mark(c.last)))
			}
			if p.attention.Load() != 0 && p.heed(c.last) {
				break
			}
			s := c.list.subs[c.last]
			if p.debug {
				p.logCall(s, c.event)
			}
			if err := s.call(ctx, c.event); err != nil {
				p.report(s, &HandlerError{Queue: q.id, Event: c.event, Handler: s.name, Err: err})
			}
		}
		if c.last == len(c.list.subs) {
			calls++
		} else {
			c.list.countFirst(c.last)
		}
		c.active = false
		q.position.Store(uint64(m + taking))
	}
}

// heed does what cannot wait for the end of the event, whose handler i is about
// to be called, and reports whether that one and those after it are to be
// skipped. The first is not: Shutdown may have seen that the event has begun.
func (p *processor) heed(i int) (skip bool) {
	a := p.attention.Load()
	if a&unwatched != 0 {
		p.bus.watch.arm()
	}
	if a&reported != 0 {
		p.tellSlowEnded()
	}
	if a&killed != 0 {
		p.bus.changed()
	}
	return a&killed != 0 && i > 0
}

// find returns the handlers of e's type, none if nobody has subscribed to it.
func (p *processor) find(e Event) *handlerList {
	list := p.bus.handlersOf(e.Type)
	p.queue.serving.Store(list)
	if len(list.subs) == 0 {
		p.queue.unhandled.Add(1)
		if p.debug {
			p.say(func() {
				p.bus.logger.DebugContext(p.ctx, "eventbus: event has no handler", "queue", p.queue.id, "type", e.Type)
			})
		}
	}
	return list
}

// say runs f, which calls the logger or the error handler. Between events the
// processor is away meanwhile, so that Shutdown does not wait for f.
func (p *processor) say(f func()) {
	if !p.queue.mark().isCalling() {
		p.queue.setState(away)
	}
	p.stage = telling
	f()
	p.stage = handling
}

func (p *processor) logCall(s *Subscription, e Event) {
	p.say(func() {
		p.bus.logger.DebugContext(p.ctx, "eventbus: calling handler", "handler", s.name, "queue", p.queue.id, "type", e.Type)
	})
}

func (p *processor) tellSlowEnded() {
	p.attention.And(^reported)
	if c := p.queue.slow.Swap(nil); c != nil {
		p.say(func() { c.logEnd(p.bus.logger) })
	}
}

// report counts and logs a handler's failure and passes it on. The error
// handler gets it even if the logger panics: settle sees to that.
func (p *processor) report(s *Subscription, h *HandlerError) {
	s.failed.Add(1)
	p.queue.failed.Add(1)
	if h.Panicked {
		s.panicked.Add(1)
		p.queue.panicked.Add(1)
	}
	p.unreported = h
	p.say(func() { p.bus.logFailure(p.ctx, s, h) })
	p.passOn()
}

func (p *processor) passOn() {
	h := p.unreported
	p.unreported = nil
	if h != nil && p.bus.onError != nil {
		p.say(func() { p.bus.onError(p.ctx, h) })
	}
}

// settle deals with what ended serve, if anything did.
func (p *processor) settle() {
	f, stage := p.failure, p.stage
	p.failure, p.stage = nil, handling
	if f == nil {
		return
	}
	switch c := &p.current; {
	case stage == handling && c.active && c.begun:
		s := c.list.subs[c.last]
		p.report(s, &HandlerError{
			Queue: p.queue.id, Event: c.event, Handler: s.name,
			Err: f.error(), Panicked: !f.exited, Stack: f.stack,
		})
		return
	case stage == asking:
		p.mute, p.debug = true, false
	}
	if stage != alarming { // if it was, the logger fails at this too, and nobody is left to tell
		p.say(func() {
			p.stage = alarming
			p.bus.logger.Log(p.ctx, levelCritical, "eventbus: processor failure", "queue", p.queue.id, "error", f.error(), "stack", string(f.stack))
		})
	}
	p.passOn()
}

// levelCritical is above slog.LevelError by the distance between slog's levels.
const levelCritical = slog.LevelError + 4
