package eventbus

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/race"
)

// A position is what others may look at of a processor's turn: which handler it is
// about to call, or calls, or whose failure it reports.
type position struct {
	queue   atomic.Pointer[queue]
	list    atomic.Pointer[handlerList]
	event   uint32 // how many events of the queue were begun when list and handler were set
	handler uint32 // index in list, with one of the bits below or none
}

// The bits of position.handler. With none of them set no user code runs: the processor
// is about to look whether it may call the handler.
const (
	tellingBit   = 1 << 29 // the logger, or the clock, runs before that
	callingBit   = 1 << 30 // the processor calls the handler, or is about to
	reportingBit = 1 << 31 // the failure of the handler is being reported

	indexBits = tellingBit - 1
)

// begin says that the processor is at the handlers of the event that it has begun
// last.
func (pos *position) begin(begun uint64) {
	store(&pos.event, uint32(begun))
	store(&pos.handler, 0)
}

// store stores v where others look. An atomic store before each call would cost
// half as much as the call, so only the race detector gets one: what depends on it
// looks twice, and the memory model gives a racing read of a word some value that
// was written to it.
func store(word *uint32, v uint32) {
	if race.Enabled {
		atomic.StoreUint32(word, v)
		return
	}
	*word = v
}

// at returns the index of the handler at hand. Only for the processor.
func (pos *position) at() int { return int(pos.handler & indexBits) }

func (p *processor) setHandler(i int) { store(&p.position.handler, uint32(i)) }

func (p *processor) setCalling(i int) { store(&p.position.handler, uint32(i)|callingBit) }

// setTelling says that user code runs before the handler at hand.
func (p *processor) setTelling() { store(&p.position.handler, p.position.handler&indexBits|tellingBit) }

// endTelling says that the user code has returned. The store is atomic and so comes
// before the processor reads its requests. A Shutdown that sees tellingBit after it has
// set reqKill may so rely on it that the handler is not called.
func (p *processor) endTelling() { atomic.AndUint32(&p.position.handler, indexBits) }

func (p *processor) setReporting() {
	store(&p.position.handler, p.position.handler|reportingBit)
	p.quickenPulse()
}

// A snapshot is a processor's position as another goroutine has read it.
type snapshot struct {
	site    uint64
	event   uint32
	handler uint32
}

func (p *processor) look() snapshot {
	return snapshot{p.site(), atomic.LoadUint32(&p.position.event), atomic.LoadUint32(&p.position.handler)}
}

// A callInfo describes a handler call for people.
type callInfo struct {
	sub       *Subscription
	handler   string
	eventType EventType
	queue     *queue
	index     int
	list      *handlerList
	depth     int
	snapshot  snapshot
	since     time.Time // when the pulse first saw it
}

// callAt describes the call at s, nil if there is none, or the processor has moved
// on or is about to.
func (p *processor) callAt(s snapshot) *callInfo {
	if s.handler&(callingBit|reportingBit) == 0 {
		return nil
	}
	return p.handlerAt(s)
}

// handlerAt describes the handler at s, nil if the processor has moved on, or has
// begun an event and is not yet at its handlers.
func (p *processor) handlerAt(s snapshot) *callInfo {
	q, list, i := p.position.queue.Load(), p.position.list.Load(), int(s.handler&indexBits)
	site := q.buffer.Site()
	if !site.Busy() || s.event != uint32(site.Begun()) || list == nil || p.look() != s {
		return nil
	}
	c := &callInfo{eventType: list.eventType, queue: q, index: i, list: list, depth: q.buffer.Counts().Depth, snapshot: s}
	switch {
	case list.expired && s.handler&reportingBit != 0:
		c.handler = "error handler, told of an event that has expired"
	case i >= len(list.subs):
		return nil
	case s.handler&reportingBit != 0:
		c.handler = "error handler, told of a failure of " + list.subs[i].name
	default:
		c.handler = list.subs[i].name
	}
	if i < len(list.subs) {
		c.sub = list.subs[i]
	}
	return c
}

// clockPatience is how long atHandLocked waits at most for a logger or the user's clock,
// after which an event gets its handlers or expires: long for a clock, short beside the
// time that an operator gives. In a synctest bubble no time passes meanwhile, so there is
// a number of rounds, too.
const (
	clockPatience = 10 * time.Millisecond
	clockRounds   = 10_000
)

// atHandLocked describes what the kill switch leaves of the event that p is at. p and
// whoever gives up agree by these rules, which firstCut states for both:
//
//	p's position         handler i           the handlers that are not called
//	calling, reporting   runs, or has run    those after i
//	telling              is not called yet   i and those after it
//	none of these        p is about to know  wait until p is at one of the lines above
//
// The first handler of an event is called in any case, since an event that has begun is
// not handed back. Bus.mu is held; where p is at none of them only the bus's own code
// runs, which takes no Bus.mu, so the wait ends.
func (p *processor) atHandLocked() callAtHand {
	began := time.Now()
	for round := 0; p.isUndecided(); round++ {
		s := p.look()
		if c := p.callAt(s); c != nil {
			return p.leftOf(c, true)
		}
		if s.handler&tellingBit != 0 {
			if c := p.handlerAt(s); c != nil {
				return p.leftOf(c, false)
			}
			if round > clockRounds || time.Since(began) > clockPatience {
				return callAtHand{unknown: true}
			}
		}
		runtime.Gosched()
	}
	return callAtHand{interrupted: p.cut.Load()}
}

// isUndecided reports whether p has begun an event and does not know that it is
// killed: it is at a handler, or about to be.
func (p *processor) isUndecided() bool {
	return p.position.queue.Load().buffer.Site().Busy() && p.cut.Load() == nil
}

// leftOf describes the handler c, which has been called or not, for whoever gives up:
// the call that runs or will, and the handlers after it.
func (p *processor) leftOf(c *callInfo, called bool) (at callAtHand) {
	cut := c.list.firstCut(c.index, called)
	switch last := cut - 1; {
	case last == c.index:
		at.running = c
	case last > c.index && last < len(c.list.subs): // c is what Retain needs
		at.running = &callInfo{handler: c.list.subs[last].name, eventType: c.eventType, queue: c.queue}
	}
	if cut < len(c.list.subs) {
		at.interrupted = c.list.interrupted(c.queue.id, p.turn.entry.Event, cut)
	}
	return at
}
