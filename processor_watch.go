package eventbus

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/latency"
	"github.com/eventbus-go/eventbus/internal/lockrank"
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

func (p *processor) setReporting() { store(&p.position.handler, p.position.handler|reportingBit) }

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

func (c *callInfo) logEnd(ctx context.Context, l *slog.Logger) {
	c.log(ctx, l, "eventbus: slow handler has ended")
}

func (c *callInfo) log(ctx context.Context, l *slog.Logger, msg string) {
	l.WarnContext(ctx, msg, "handler", c.handler, "queue", c.queue.id, "type", c.eventType,
		"elapsed", time.Since(c.since), "depth", c.depth)
}

// A pulse is the one timer of a bus that runs. It beats often while events flow,
// and once a poll while none do. At each beat it wakes idle processors and looks
// whether a busy one has been at the same handler for too long: the processors
// read no clock for that. On a machine with few cores each timer that fires can
// stall the others for milliseconds; so there is one.
type pulse struct {
	bus      *Bus
	limit    time.Duration // of a slow handler without a limit of its own; 0 for none
	idleBeat atomic.Bool   // it beats once a poll; written under mu

	telling atomic.Int32 // beats that may be telling a logger

	mu    lockrank.Mutex
	busy  time.Duration // between beats while events flow
	own   bool          // a subscription has, or had, a limit of its own
	timer *time.Timer   // runs beat; nil until the bus first starts
	on    bool
	polls time.Time // when the idle processors were last woken
	ages  [numQueues]latency.Ages
	seen  []sample // by processor
}

// A sample is a snapshot of a processor, and since when the pulse has seen it unchanged.
type sample struct {
	snapshot
	at   time.Time
	told bool // the call was reported as slow
}

// beatWhileBusy is the longest time between beats while events flow. A handler is
// reported at most so long after its limit is over.
const beatWhileBusy = 25 * time.Millisecond

// newPulse makes the pulse of b. A call begins up to one beat before it is first
// seen and is reported at the first beat that is at least limit later; busy is
// chosen so that the two are at most limit + beatWhileBusy.
func newPulse(b *Bus, limit time.Duration) *pulse {
	u := &pulse{bus: b, limit: limit, busy: beatWhileBusy}
	u.mu.SetRank(lockrank.Pulse)
	if limit > 0 && limit <= beatWhileBusy {
		u.busy = (limit + beatWhileBusy) / 2
	} else if limit > beatWhileBusy && limit < time.Hour {
		beats := (limit + beatWhileBusy - 1) / beatWhileBusy
		u.busy = (limit + beats - 1) / beats
	}
	u.busy = min(u.busy, b.poll)
	u.seen = make([]sample, len(b.processors))
	return u
}

// allow makes the pulse quick enough to report a call with a limit of its own, at most
// limit + beatWhileBusy after it began. A pulse of half that is, whatever the limit: a
// call is seen up to one beat late, and reported up to one beat late.
func (u *pulse) allow(limit time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.own = true
	if late := (u.busy - limit%u.busy) % u.busy; u.busy+late <= beatWhileBusy {
		return
	}
	u.busy = min(u.busy, beatWhileBusy/2)
	if u.on {
		u.setLocked(u.busy)
	}
}

// limitOf returns how long the call c may take before it is reported, 0 if it never is.
// An error handler that is told of a failure is not the handler that failed.
func (u *pulse) limitOf(c *callInfo) time.Duration {
	if c.sub != nil && c.sub.slowAfter > 0 && c.snapshot.handler&reportingBit == 0 {
		return c.sub.slowAfter
	}
	return u.limit
}

// start begins to beat.
func (u *pulse) start() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.on = true
	u.setLocked(u.busy)
}

// stop ends it. A beat that runs by then does nothing more but log.
func (u *pulse) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.on = false
	if u.timer != nil {
		u.timer.Stop()
	}
}

func (u *pulse) setLocked(d time.Duration) {
	u.idleBeat.Store(d > u.busy)
	if u.timer == nil {
		u.timer = time.AfterFunc(d, u.beat)
		return
	}
	u.timer.Reset(d)
}

// quicken is called by a processor that has begun the first event of a run: after that,
// since the pulse looks whether it has before it beats less often.
func (u *pulse) quicken() {
	if !u.idleBeat.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.on && u.idleBeat.Load() {
		u.setLocked(u.busy)
	}
}

// beat runs on a goroutine of its own. It sets the next beat before it logs, so
// that a logger that blocks holds up nothing, and may stop the bus.
func (u *pulse) beat() {
	slow, ctx := u.sample(time.Now())
	u.telling.Add(1)
	defer u.telling.Add(-1)
	for _, c := range slow {
		u.tell(ctx, c)
	}
}

// sample looks at the processors, sets the next beat, and returns the calls that
// have become slow.
func (u *pulse) sample(now time.Time) (slow []*callInfo, ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.on {
		return nil, nil
	}
	flows := false
	poll := now.Sub(u.polls) >= u.bus.poll-u.busy/2
	if poll {
		u.polls = now
	}
	for i, q := range u.bus.queues {
		accepted := q.buffer.Accepted()
		u.ages[i].Note(time.Now(), accepted, q.buffer.Left())
	}
	for i, p := range u.bus.processors {
		c, moves := u.lookAtLocked(p, &u.seen[i], now)
		flows = flows || moves
		switch {
		case c != nil:
			slow = append(slow, c)
		case poll && !moves && p.callAt(u.seen[i].snapshot) == nil:
			p.nudge()
		}
	}
	next := u.bus.poll
	if flows || u.telling.Load() > 0 { // while a logger is told, the call may have ended, and another begun
		next = u.busy
	}
	u.setLocked(next)
	if next != u.busy && u.haveMovedLocked() {
		u.setLocked(u.busy)
	}
	return slow, u.bus.logs.context()
}

// haveMovedLocked reports whether a processor has moved since it was looked at. A processor
// that has begun an event asks whether the pulse beats often; one that asked before the
// pulse slowed down is seen here.
func (u *pulse) haveMovedLocked() bool {
	for i, p := range u.bus.processors {
		if p.look() != u.seen[i].snapshot {
			return true
		}
	}
	return false
}

// lookAtLocked looks where p is, which was seen at s before. It returns the call that has
// become slow, if p is at one, and whether p moves or is at a call that may become slow.
func (u *pulse) lookAtLocked(p *processor, s *sample, now time.Time) (slow *callInfo, moves bool) {
	if at := p.look(); at != s.snapshot {
		*s = sample{snapshot: at, at: now}
		return nil, true
	}
	c := p.callAt(s.snapshot)
	if c == nil || s.told {
		return nil, false
	}
	limit := u.limitOf(c)
	if limit == 0 { // one that has its own may follow without a wake-up
		return nil, u.own
	}
	if now.Sub(s.at) < limit {
		return nil, true
	}
	s.told = true
	c.since = s.at
	return c, true
}

// tell logs a slow call, and then asks its processor to tell when it has ended: one
// that is asked before would wait for a logger that blocks. If the logger panics, the
// other calls are told all the same.
func (u *pulse) tell(ctx context.Context, c *callInfo) {
	defer func() { _ = recover() }()
	p := c.queue.proc
	defer func() {
		if p.look() == c.snapshot {
			p.slowCall.Store(c)
			p.requests.Or(reqSlow)
			if p.look() == c.snapshot || !p.slowCall.CompareAndSwap(c, nil) {
				return
			}
		}
		c.logEnd(ctx, u.bus.logger)
	}()
	c.log(ctx, u.bus.logger, "eventbus: slow handler is still running")
}

// tellSlowEnded logs that the slow call that was reported has ended.
func (p *processor) tellSlowEnded() {
	p.requests.And(^reqSlow)
	p.bus.pulse.quicken()
	if c := p.slowCall.Swap(nil); c != nil {
		p.protect(recalling, func() { c.logEnd(p.context, p.bus.logger) })
	}
}

// oldest returns how long an event of q has waited at least, if so many have left; 0 if
// that is unknown, and while the pulse does not beat.
func (u *pulse) oldest(q Queue, left uint64) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.on {
		return 0
	}
	return u.ages[q].Oldest(time.Now(), left)
}
