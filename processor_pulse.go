package eventbus

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/latency"
	"github.com/eventbus-go/eventbus/internal/lockrank"
)

// A pulse is the one timer of a bus that runs. It beats often while events flow,
// and once a poll while none do. At each beat it wakes idle processors and looks
// whether a busy one has been at the same handler for too long: the processors
// read no clock for that. On a machine with few cores each timer that fires can
// stall the others for milliseconds; so there is one.
type pulse struct {
	bus   *Bus
	limit time.Duration // of a slow handler without a limit of its own; 0 for none

	telling atomic.Int32 // beats that may be telling a logger

	mu    lockrank.Mutex
	busy  time.Duration // between beats while events flow
	slow  bool          // it beats once a poll, and the processors have reqPulse but for one that is in quicken
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
	if slow := d > u.busy; slow != u.slow {
		u.slow = slow
		for _, p := range u.bus.processors {
			if slow {
				p.requests.Or(reqPulse)
			} else {
				p.clear(reqPulse)
			}
		}
	}
	if u.timer == nil {
		u.timer = time.AfterFunc(d, u.beat)
		return
	}
	u.timer.Reset(d)
}

// quicken makes a pulse that beats slowly beat often.
func (u *pulse) quicken() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.on && u.slow {
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
	u.noteAgesLocked()
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

func (u *pulse) noteAgesLocked() {
	for i, q := range u.bus.queues {
		accepted := q.buffer.Accepted()
		u.ages[i].Note(time.Now(), accepted, q.buffer.Left())
	}
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
// become slow, if p is at one, and whether p moves, or is at or before a call that may become
// slow.
func (u *pulse) lookAtLocked(p *processor, s *sample, now time.Time) (slow *callInfo, moves bool) {
	if at := p.look(); at != s.snapshot {
		*s = sample{snapshot: at, at: now}
		return nil, true
	}
	c := p.callAt(s.snapshot)
	if c == nil { // at an event, it is about to call a handler, and a logger may keep it from that
		return nil, p.position.queue.Load().buffer.Site().Busy()
	}
	if s.told {
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

func (c *callInfo) logEnd(ctx context.Context, l *slog.Logger) {
	c.log(ctx, l, "eventbus: slow handler has ended")
}

func (c *callInfo) log(ctx context.Context, l *slog.Logger, msg string) {
	l.WarnContext(ctx, msg, "handler", c.handler, "queue", c.queue.id, "type", c.eventType,
		"elapsed", time.Since(c.since), "depth", c.depth)
}
