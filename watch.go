package eventbus

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/race"
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

// A place is where a processor is: in the call of a handler, or not in any.
type place struct {
	mark    mark
	handler uint32
}

// setHandler says which handler is being called. An atomic store before each
// call would cost half as much as the call, so only the race detector gets one:
// nothing but the names of slow and stuck handlers depends on it, and the memory
// model gives a racing read of a word some value that was written to it.
func (q *queue) setHandler(i int) {
	if race.Enabled {
		atomic.StoreUint32(&q.handler, uint32(i))
		return
	}
	q.handler = uint32(i)
}

func (q *queue) place() place { return place{q.mark(), atomic.LoadUint32(&q.handler)} }

// A sighting is a processor's place and since when it has been there.
type sighting struct {
	place
	at   time.Time
	told bool // it was reported as slow
}

// A callInfo describes a handler call for people.
type callInfo struct {
	sub       *Subscription
	handler   string
	eventType EventType
	queue     Queue
	depth     int
	place     place
	since     time.Time // when the watch first saw it
}

func (l *handlerList) describe(q *queue, i int) *callInfo {
	return &callInfo{sub: l.subs[i], handler: l.subs[i].name, eventType: l.eventType, queue: q.id, depth: q.depth()}
}

// ticksPerLimit makes a report at most a quarter of the limit late.
const ticksPerLimit = 4

func newWatch(b *Bus, limit time.Duration) *watch {
	w := &watch{bus: b, limit: limit, tick: max((limit+ticksPerLimit-1)/ticksPerLimit, time.Microsecond)}
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
		w.bus.queues[i].proc.attention.And(^unwatched)
		if at := w.bus.queues[i].place(); at != w.seen[i].place {
			w.seen[i] = sighting{place: at, at: now}
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
func (w *watch) sample(now time.Time) (slow []*callInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = true
	for i := range w.seen {
		q, s := w.bus.queues[i], &w.seen[i]
		if at := q.place(); at != s.place {
			*s = sighting{place: at, at: now}
			continue
		}
		if s.told || now.Sub(s.at) < w.limit {
			continue
		}
		if c := q.callAt(s.place); c != nil {
			s.told = true
			c.since = s.at
			slow = append(slow, c)
		}
	}
	return slow
}

// callAt describes the call at a place, nil if there is none or the processor
// has moved on.
func (q *queue) callAt(at place) *callInfo {
	list, i := q.serving.Load(), int(at.handler)
	if !at.mark.isCalling() || q.place() != at || list == nil || i >= len(list.subs) {
		return nil
	}
	c := list.describe(q, i)
	c.place = at
	return c
}

func (w *watch) tell(c *callInfo) {
	c.log(w.bus.logger, "eventbus: slow handler is still running")
	q := w.bus.queues[c.queue]
	q.slow.Store(c)
	q.proc.attention.Or(reported)
	if q.place() != c.place && q.slow.CompareAndSwap(c, nil) {
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
		at := w.bus.queues[i].place()
		if at != w.seen[i].place || at.mark.isCalling() && !w.seen[i].told {
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

func (c *callInfo) logEnd(l *slog.Logger) { c.log(l, "eventbus: slow handler has ended") }

func (c *callInfo) log(l *slog.Logger, msg string) {
	l.Warn(msg, "handler", c.handler, "queue", c.queue, "type", c.eventType, "elapsed", time.Since(c.since), "depth", c.depth)
}
