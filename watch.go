package eventbus

import (
	"log/slog"
	"sync"
	"time"
)

// A watch looks for handlers that run for longer than limit. The processors
// read no clock for it: it samples their positions and times how long each
// stays the same. While nothing is to be seen it is not armed, and the bits of
// attention make the next call arm it again.
type watch struct {
	bus   *Bus
	limit time.Duration // 0: nobody watches
	tick  time.Duration

	mu     sync.Mutex
	timer  *time.Timer // runs look; nil until first armed
	armed  bool
	active bool // look runs
	seen   [numQueues]sighting
}

// A sighting is a queue's position and since when it has been there.
type sighting struct {
	mark mark
	at   time.Time
	told bool // it was reported as slow
}

// A slowCall is a handler call that has been reported.
type slowCall struct {
	handler   string
	eventType EventType
	queue     Queue
	depth     int
	mark      mark
	since     time.Time
}

// ticksPerLimit makes a report at most a quarter of the limit late.
const ticksPerLimit = 4

func newWatch(b *Bus, limit time.Duration) *watch {
	w := &watch{bus: b, limit: limit, tick: max(limit/ticksPerLimit, time.Microsecond)}
	if limit > 0 {
		w.tellAll(unwatched)
	}
	return w
}

func (w *watch) tellAll(bit uint32) {
	for _, p := range w.bus.processors {
		p.attention.Or(bit)
	}
}

// arm is called by a processor that is about to call a handler.
func (w *watch) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed {
		w.armLocked(time.Now())
	}
}

func (w *watch) armLocked(now time.Time) {
	w.armed = true
	for i := range w.seen {
		w.bus.processors[i].attention.And(^unwatched)
		if m := w.bus.queues[i].mark(); m != w.seen[i].mark {
			w.seen[i] = sighting{mark: m, at: now}
		}
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(w.tick, w.look)
	} else {
		w.timer.Reset(w.tick)
	}
}

// look runs on a goroutine of its own, so that a logger that blocks holds up
// nothing but the watch.
func (w *watch) look() {
	slow := w.sample(time.Now())
	defer func() {
		_ = recover() // the logger's
		w.rest()
	}()
	for _, c := range slow {
		w.tell(c)
	}
}

// sample returns the calls that have become slow.
func (w *watch) sample(now time.Time) (slow []*slowCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = true
	for i := range w.seen {
		q, s := w.bus.queues[i], &w.seen[i]
		m := q.mark()
		if m != s.mark {
			*s = sighting{mark: m, at: now}
			continue
		}
		if s.told || now.Sub(s.at) < w.limit {
			continue
		}
		if c := q.callAt(m); c != nil {
			s.told = true
			c.since = s.at
			slow = append(slow, c)
		}
	}
	return slow
}

// callAt describes the call at m, nil if there is none or the processor has
// moved on.
func (q *queue) callAt(m mark) *slowCall {
	if !m.isCalling() {
		return nil
	}
	list, i := q.serving.Load(), int(m.state()-calling)
	if q.mark() != m || list == nil || i >= len(list.subs) {
		return nil
	}
	return &slowCall{handler: list.subs[i].name, eventType: list.eventType, queue: q.id, depth: len(q.ch), mark: m}
}

func (w *watch) tell(c *slowCall) {
	c.log(w.bus.logger, "eventbus: slow handler is still running")
	q := w.bus.queues[c.queue]
	q.slow.Store(c)
	q.proc.attention.Or(reported)
	if q.mark() != c.mark && q.slow.CompareAndSwap(c, nil) {
		c.logEnd(w.bus.logger)
	}
}

// rest goes on watching if there is something to see. If not, the processors
// are told first and looked at again afterwards: a call that began in between
// either sees that nobody watches, or is seen.
func (w *watch) rest() {
	w.mu.Lock()
	if w.somethingToSee() {
		w.timer.Reset(w.tick)
	} else {
		w.armed = false
		w.tellAll(unwatched)
		if w.somethingToSee() {
			w.armLocked(time.Now())
		}
	}
	w.active = false
	w.mu.Unlock()
	w.bus.changed()
}

// somethingToSee reports whether a handler runs that has not been reported, or
// has begun since the last sample.
func (w *watch) somethingToSee() bool {
	for i := range w.seen {
		m := w.bus.queues[i].mark()
		if m != w.seen[i].mark || m.isCalling() && !w.seen[i].told {
			return true
		}
	}
	return false
}

// stop disarms the watch of a bus whose processors have left, and reports
// whether it is at rest.
func (w *watch) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && w.armed && !w.active && w.timer.Stop() {
		w.armed = false
		w.tellAll(unwatched)
	}
	return !w.armed && !w.active
}

func (c *slowCall) logEnd(l *slog.Logger) { c.log(l, "eventbus: slow handler has ended") }

func (c *slowCall) log(l *slog.Logger, msg string) {
	l.Warn(msg, "handler", c.handler, "queue", c.queue, "type", c.eventType, "elapsed", time.Since(c.since), "depth", c.depth)
}
