package eventbus

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A processor drains its queues: it takes one event after another and calls the
// handlers of its type, one after another. One goroutine runs it at a time; one
// that a handler ends with runtime.Goexit hands it to a successor.
type processor struct {
	bus    *Bus
	queues []*queue // that it serves, the first before the others

	wake      chan struct{} // of capacity 1; look at attention and the line
	attention atomic.Uint32 // what the processor is told

	parkedOn   *queue   // where its handler waits for room, or until an event is handled; guarded by lineMu
	awaits     *receipt // in the second case; guarded by lineMu
	deferredAt uint64   // how many events it had begun when it last deferred one; guarded by lineMu

	alive   bool     // a goroutine runs it; guarded by Bus.mu
	session *session // it runs in; guarded by Bus.mu
	known   *session // that ctx is of; guarded by Bus.mu

	stepping bool // RunUntilIdle runs it; guarded by Bus.mu, and does not change while it runs

	// The rest belongs to the processor's goroutine.
	queue      *queue          // the one at hand
	ctx        context.Context // the session's, with this processor as a value
	started    bool            // its start has been logged
	ended      bool            // and its end
	mute       bool            // the logger failed to tell its level; do not ask again
	stage      stage
	event      Event         // at hand
	list       *handlerList  // its handlers; if it is not begun, those of the event before
	called     bool          // the one that the queue's handler index is at has been called
	calls      uint64        // of every handler in list, since they were counted
	receipt    *receipt      // of the event at hand or, until the processor has attended, of the one before
	stale      *HandlerError // about the event at hand, which has expired
	failure    *failure
	unreported *HandlerError // logged, or being so, and not yet passed on
}

// The bits of processor.attention.
const (
	stopped   uint32 = 1 << iota // start no further event, and leave
	killed                       // and call no further handler
	replan                       // a queue was paused or resumed
	renewed                      // there is a new session
	reported                     // a slow handler was reported: tell when it has ended
	tracked                      // somebody waits until the event at hand is handled: tell him
	unwatched                    // nobody watches for slow handlers: arm the watch at the next call
	verbose                      // log handler calls; the processor alone writes it

	mild = unwatched | verbose // no reason to end a run
)

type processorKey struct{}

// processorOf returns the processor whose handler was given ctx, if any.
func processorOf(ctx context.Context) *processor {
	p, _ := ctx.Value(processorKey{}).(*processor)
	return p
}

func newProcessor(b *Bus, queues ...*queue) *processor {
	return &processor{bus: b, queues: queues, queue: queues[0], wake: make(chan struct{}, 1)}
}

// begun returns how many events p has begun.
func (p *processor) begun() (n uint64) {
	for _, q := range p.queues {
		n += q.mark().begun()
	}
	return n
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

// serve handles events until the processor leaves or, stepping, has nothing to
// do.
func (p *processor) serve() {
	var poll <-chan time.Time
	if !p.stepping {
		t := time.NewTicker(p.bus.poll)
		defer t.Stop()
		poll = t.C
	}
	for {
		p.settle()
		switch {
		case p.queue.mark().isCalling(): // a failure interrupted it: the other handlers still run
			p.run()
		case !p.attend():
			if p.stepping || p.leave() {
				return
			}
		case p.queue.ready():
			p.run()
		case p.stepping:
			if !p.anyReady() {
				return
			}
		default:
			p.idle(poll)
		}
	}
}

// pick looks which queues are paused, and makes the first that has an event to
// begin the one at hand. The processor is away. What Pause and Resume do later
// counts when it attends again: if a queue opened in between, its events could
// overtake those of a chunk that is open.
func (p *processor) pick() {
	for _, q := range p.queues {
		q.unpaused = !q.paused.Load()
	}
	for _, q := range p.queues {
		if q.ready() {
			p.queue = q
			return
		}
	}
}

// comesBefore reports whether a queue that comes before q has an event that may
// be begun: select chooses any of the queues that have one.
func (p *processor) comesBefore(q *queue) bool {
	return slices.ContainsFunc(p.queues[:slices.Index(p.queues, q)], (*queue).ready)
}

// ready reports whether q has an event that may be begun.
func (q *queue) ready() bool { return q.unpaused && q.hasEvents() }

// anyReady reports whether one of the processor's queues has.
func (p *processor) anyReady() bool { return slices.ContainsFunc(p.queues, (*queue).ready) }

// attend does what the processor was told and reports whether to go on. User
// code runs first, while the processor is away.
func (p *processor) attend() bool {
	p.goAway()
	a := p.attention.Load()
	if a&tracked != 0 {
		p.deliver()
	}
	if a&renewed != 0 {
		p.bus.renew(p)
	}
	if !p.started {
		p.started = true
		p.say(telling, func() { p.bus.logger.InfoContext(p.ctx, "eventbus: processor started", "queue", p.name()) })
	}
	if a&reported != 0 {
		p.tellSlowEnded()
	}
	if !p.mute {
		p.stage = asking
		p.setVerbose(p.bus.logger.Enabled(p.ctx, slog.LevelDebug))
		p.stage = handling
	}
	p.attention.And(^replan)
	p.pick()
	if p.queue.unpaused {
		p.queue.setState(taking)
	}
	return p.attention.Load()&stopped == 0 && !(p.stepping && p.ctx.Err() != nil)
}

// name returns the names of the processor's queues.
func (p *processor) name() string {
	var names []string
	for _, q := range p.queues {
		names = append(names, q.id.String())
	}
	return strings.Join(names, ", ")
}

func (p *processor) setVerbose(on bool) {
	switch was := p.attention.Load()&verbose != 0; {
	case on && !was:
		p.attention.Or(verbose)
	case was && !on:
		p.attention.And(^verbose)
	}
}

// goAway says that the processor will take no event before it has attended.
func (p *processor) goAway() {
	for _, q := range p.queues {
		q.setState(away)
	}
	p.bus.changed()
}

// leave ends the processor unless the bus has been started again meanwhile.
func (p *processor) leave() bool {
	if !p.ended {
		p.ended = true
		p.say(telling, func() {
			p.bus.flushLogs(true)
			p.bus.logger.InfoContext(p.ctx, "eventbus: processor stopped", "queue", p.name())
		})
	}
	if p.bus.release(p) {
		return true
	}
	p.started, p.ended = false, false
	return false
}

// idle waits for an event, for a signal, or for the next poll, which makes up
// for a wake-up that was lost.
func (p *processor) idle(poll <-chan time.Time) {
	if p.anyReady() || p.bus.spin > 0 && p.spun() {
		return
	}
	var doors [numQueues]<-chan *chunk
	for i, q := range p.queues {
		if q.unpaused {
			q.setState(taking)
			doors[i] = q.door()
		}
	}
	select {
	case c := <-doors[0]:
		p.take(p.queues[0], c)
	case c := <-doors[1]:
		p.take(p.queues[1], c)
	case c := <-doors[2]:
		p.take(p.queues[2], c)
	case <-p.wake:
	case <-poll:
		for _, q := range p.queues {
			q.lookAtLine()
		}
		if p.bus.withheld.Load() {
			p.say(telling, func() { p.bus.flushLogs(false) })
		}
	}
}

// spun looks for events for as long as [WithSpin] says and reports whether there
// is something to do.
func (p *processor) spun() bool {
	for end := time.Now().Add(p.bus.spin); time.Now().Before(end); runtime.Gosched() {
		if p.anyReady() || p.attention.Load()&^mild != 0 {
			return true
		}
	}
	return false
}

// take handles c, which was taken from q, unless a queue that comes before it has
// an event: select chooses any of the queues that have one. If c is nil, the
// bell has rung.
func (p *processor) take(q *queue, c *chunk) {
	if c != nil {
		q.openChunk(c)
	}
	if c == nil || p.comesBefore(q) {
		return
	}
	p.queue = q
	for _, other := range p.queues {
		if other != q {
			other.setState(away)
		}
	}
	p.run()
}
