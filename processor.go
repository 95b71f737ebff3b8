package eventbus

import (
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/buffer"
)

// A processor drains its queues: it begins one event after another and calls the
// handlers of its type, one after another. One goroutine runs it at a time; one
// that a handler ends with runtime.Goexit hands it to a successor.
//
// Whoever wants something of it sets a request, and then holds the queues: from
// then on it begins no event before it has served the requests. So a request needs
// no answer, and Stop, Pause and the kill switch wait for nobody.
type processor struct {
	// What is read between a wake-up and a handler comes first, on few cache lines.
	bus    *Bus
	env    processorEnv
	queues []*queue // that it drains, the first before the others

	requests atomic.Uint32
	asleep   uint32 // 1 while no goroutine runs it, or it looks for events or waits for one; see store
	position position

	// Only the goroutine that runs the processor uses these.
	context     *handlerContext // of its handlers; replaced under Bus.mu
	unpaused    [numQueues]bool // by index in queues: it was not paused when the requests were last served
	served      bool            // serveRequests ran to its end and told the processor to go on
	startLogged bool            // its start has been logged
	endLogged   bool            // its end has been logged
	mute        bool            // the logger failed to tell its level; do not ask again
	stillLimit  int             // how many rounds it spins while no time passes
	turn        turn

	drainer                                   // in the wait-for graph
	cut      atomic.Pointer[InterruptedEvent] // an event that the kill switch ended, once the processor knows of it
	slowCall atomic.Pointer[callInfo]         // reported and not yet said to have ended

	life struct { // guarded by Bus.mu
		alive   bool     // a goroutine runs it
		session *session // it runs in
	}
}

// A processorEnv is what a processor needs of its bus.
type processorEnv interface {
	handlersOf(EventType) *handlerList
	arrive(*Subscription) (last *retained, list *handlerList)
	now() time.Time
	expires() bool // events may be too old

	sessionOf(*processor) // puts the processor into the session that began since
	release(*processor) bool
	changed()
}

// The requests of a processor. Those that must be served before another event
// begins come with a hold.
const (
	reqStop    uint32 = 1 << iota // begin no further event, and leave
	reqKill                       // and call no further handler
	reqPauses                     // a queue was paused or resumed
	reqSession                    // there is a new session
	reqSlow                       // a slow handler was reported: tell when it has ended; comes without a hold
	reqPulse                      // the pulse beats slowly: quicken it before the next call; comes without a hold
	logCalls                      // no request but a mode: log handler calls; the processor alone writes it
)

func newProcessor(b *Bus, queues ...*queue) *processor {
	p := &processor{bus: b, env: b, queues: queues, stillLimit: maxStill}
	p.drainer = drainer{bus: b, site: p.siteAwake}
	p.turn.queue = queues[0]
	p.position.queue.Store(queues[0])
	for _, q := range queues {
		q.proc = p
	}
	return p
}

// site changes whenever the processor begins an event or ends one.
func (p *processor) site() (sum uint64) {
	for _, q := range p.queues {
		sum += uint64(q.buffer.Site())
	}
	return sum
}

// siteAwake tells the sites of a processor apart that runs user code, that of a logger
// between two events included. It is 0 while the processor sleeps.
func (p *processor) siteAwake() uint64 {
	if atomic.LoadUint32(&p.asleep) == 1 {
		return 0
	}
	return p.site() + 1
}

// request sets bits, holds the queues and wakes the processor.
func (p *processor) request(bits uint32) {
	p.hold(bits)
	p.nudge()
}

// hold sets bits and holds the queues. A processor that is idle stays so.
func (p *processor) hold(bits uint32) {
	p.requests.Or(bits)
	for _, q := range p.queues {
		q.buffer.Hold()
	}
}

// clear takes bits off. It only looks where there are none, which costs less than to write.
func (p *processor) clear(bits uint32) {
	if p.requests.Load()&bits != 0 {
		p.requests.And(^bits)
	}
}

// nudge wakes the processor if it is idle.
func (p *processor) nudge() { p.queues[0].buffer.Ring() }

// isHeld reports whether there are requests to serve before the next event.
func (p *processor) isHeld() bool {
	for _, q := range p.queues {
		if q.buffer.Held() {
			return true
		}
	}
	return false
}

// hasRequests reports whether serveRequests is due before the next event. The kill switch
// counts before the hold that comes with it: an event was cut short for it.
func (p *processor) hasRequests() bool {
	return !p.served || p.requests.Load()&reqKill != 0 || p.isHeld()
}

// serveRequests does what the processor was asked to and reports whether to go on.
// The hold comes off before the requests are read: what is requested later comes
// with a hold of its own. User code runs here, while no event is begun.
func (p *processor) serveRequests() (goOn bool) {
	p.served = false
	for _, q := range p.queues {
		q.buffer.Release()
	}
	if p.requests.Load()&reqSession != 0 {
		p.requests.And(^reqSession)
		p.env.sessionOf(p)
		p.makeSpare()
	}
	if !p.startLogged {
		p.startLogged = true
		p.protect(telling, func() {
			p.bus.logger.InfoContext(p.context, "eventbus: processor started", "queue", p.name())
		})
	}
	if p.requests.Load()&reqSlow != 0 {
		p.tellSlowEnded()
	}
	p.askForLevel()
	p.clear(reqPauses)
	for i, q := range p.queues {
		p.unpaused[i] = !q.paused.Load()
	}
	p.served = p.requests.Load()&reqStop == 0
	return p.served
}

// makeSpare makes the publication that handlers of this session wait with.
func (p *processor) makeSpare() {
	if c := p.context; c.session.base == nil { // RunUntilIdle may be called in a synctest bubble, and later outside with the same session
		c.spare.Store(newSpare(c))
	}
}

// quickenPulse quickens the pulse if that has asked for it. The processor calls it once its
// position tells where it is: the pulse asks, and then looks whether it has moved.
func (p *processor) quickenPulse() {
	if p.requests.Load()&reqPulse != 0 {
		p.clear(reqPulse)
		p.bus.pulse.quicken()
	}
}

// askForLevel asks the logger whether handler calls are to be logged.
func (p *processor) askForLevel() {
	if p.mute {
		return
	}
	p.turn.stage = asking
	on := p.bus.logger.Enabled(p.context, slog.LevelDebug)
	p.turn.stage = handling
	p.setLogCalls(on)
}

func (p *processor) setLogCalls(on bool) {
	switch {
	case !on:
		p.clear(logCalls)
	case p.requests.Load()&logCalls == 0:
		p.requests.Or(logCalls)
	}
}

// name returns the names of the processor's queues.
func (p *processor) name() string {
	var names []string
	for _, q := range p.queues {
		names = append(names, q.id.String())
	}
	return strings.Join(names, ", ")
}

// deliver fills d with the delivery of the handler at hand, and reports whether there is
// one. It returns no Delivery, because to copy one takes half as long again.
func (p *processor) deliver(d *Delivery) bool {
	t, i := &p.turn, p.position.at()
	if !p.isBusy() || t.stage == recalling || t.list == nil || i >= len(t.list.subs) {
		return false
	}
	d.Event, d.Queue, d.Handler = t.entry.Event, t.queue.id, t.list.subs[i].name
	d.Seq = t.queue.buffer.Begun() - t.queue.unnumbered
	d.Draining, d.More = p.bus.draining.Load(), t.queue.buffer.Ready()
	if l := p.luggage(); l != nil {
		d.Cause = l.cause
	}
	return true
}

// A visit is the event that a processor was at when a subscription ended: the last one
// that may call its handler. For an event that is begun later the processor looks for
// the handlers anew, since the list that held the subscription is no route's any more.
type visit struct {
	queue *queue
	site  buffer.Site
	since time.Time // when a handler of the event was first seen called; zero until then
}

// visits returns the events that the processors are at.
func (b *Bus) visits() (vs []*visit) {
	for _, q := range b.queues {
		if site := q.buffer.Site(); site.Busy() {
			vs = append(vs, &visit{queue: q, site: site})
		}
	}
	return vs
}

// visitPatience is how long a processor must have been at the handlers of an event before
// the list that its position tells is believed. It stores the position without a barrier,
// which other cores may see out of order, but not for as long as that.
const visitPatience = time.Millisecond

// isOver reports whether v calls s no more: the event has ended, or was not for s.
func (v *visit) isOver(s *Subscription) bool {
	if v.queue.buffer.Site() != v.site {
		return true
	}
	p := v.queue.proc
	c := p.callAt(p.look())
	if c == nil || c.queue != v.queue {
		v.since = time.Time{}
		return false
	}
	if v.since.IsZero() {
		v.since = time.Now()
	}
	return time.Since(v.since) >= visitPatience && !slices.Contains(c.list.subs, s)
}
