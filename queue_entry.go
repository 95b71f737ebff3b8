package eventbus

import (
	"fmt"
	"sync"
	"time"
)

// An entry is an event in a queue, with what the queue must know beside it. Meta is nil
// for a plain event, which so costs nothing more. It is set for an event with a key or
// a maximum age of its topic, for that of a PublishWait, and for a late joiner.
type entry struct {
	Event
	meta *meta
}

// A meta is what an entry carries. Its fields do not change while the entry
// waits, but for those that a later event with the same key replaces: the buffer's
// lock guards those of an entry with a key.
type meta struct {
	key        conflationKey
	maxAge     time.Duration // 0 for the queue's
	completion *completion   // nil if nobody waits until the event is handled
	luggage    *luggage      // what travels with the event; nil if nothing
	joins      *joiner       // the late joiner that the entry stands for, if any
	place      uint64        // in its queue's buffer
	latest     Event         // of an entry with a key: the event itself, so that one that is replaced is let go of
}

// A conflationKey tells which events replace each other. Those of a topic with
// a key of its own replace none of another type.
type conflationKey struct {
	eventType EventType // "" if the key is of the queue's ConflateBy
	key       string    // "" for an event that replaces none
}

var metas = sync.Pool{New: func() any { return new(meta) }}

// recycle takes m back, which nobody refers to any more.
func (m *meta) recycle() {
	*m = meta{}
	metas.Put(m)
}

// key returns the entry's key for its buffer.
func (e entry) key() conflationKey {
	if e.meta == nil || e.meta.key.key == "" {
		return conflationKey{}
	}
	return e.meta.key
}

// isSame reports whether e and v, which have a key, are one entry.
func (e entry) isSame(v entry) bool { return e.meta == v.meta }

// setPlace notes e's place in the buffer.
func (e entry) setPlace(place uint64) {
	if e.meta != nil {
		e.meta.place = place
		e.meta.completion.setPlace(place)
		e.meta.joins.setPlace(place)
	}
}

// replaceWith gives e's place in the queue to v. Who waited for the event before
// learns that it was dropped.
func (e entry) replaceWith(v entry) {
	e.meta.completion.refuse(ErrDropped)
	e.meta.latest = v.meta.latest
	e.meta.maxAge, e.meta.completion, e.meta.luggage = v.meta.maxAge, v.meta.completion, v.meta.luggage
	e.meta.completion.setPlace(e.meta.place)
	v.meta.recycle()
}

// wasEvicted tells who waits for e.
func (e entry) wasEvicted() {
	if e.meta != nil {
		e.meta.completion.refuse(ErrDropped)
		e.meta.joins.leave()
	}
}

// isDead reports whether e was withdrawn: no handler will be called for it.
func (e entry) isDead() bool {
	return e.meta != nil && (e.meta.completion.isOver() || e.meta.joins != nil && !e.meta.joins.travels)
}

// wasUnloaded is called when Shutdown takes e out. It withdraws e, and reports that, if
// a PublishWait waits for e or e stands for a late joiner: those are not handed back.
func (e entry) wasUnloaded() (withdrawn bool) {
	return e.meta != nil && (e.meta.completion.refuse(ErrClosed) || e.meta.joins.leave())
}

// A joiner is a late joiner on its way through a queue. The buffer's lock guards it.
// The methods take nil.
type joiner struct {
	sub     *Subscription
	queue   *queue
	travels bool // it is in the buffer
	place   uint64
}

func (j *joiner) setPlace(place uint64) {
	if j != nil {
		j.place = place
	}
}

// leave takes j off its way, and reports whether it was there.
func (j *joiner) leave() bool {
	if j == nil || !j.travels {
		return false
	}
	j.travels = false
	return true
}

// event returns what the handlers get.
func (e entry) event() Event {
	if e.meta != nil && e.meta.key.key != "" {
		return e.meta.latest
	}
	return e.Event
}

// A rule says what a publish does when its queue is full, and what makes its
// events conflate and expire. The queue has one; a topic may have another.
type rule struct {
	overflow Overflow
	timeout  time.Duration
	atOnce   bool  // TryPublish: it neither waits nor drops, evicts or defers
	inherits bool  // a topic's rule that leaves overflow and timeout to the queue
	try      *rule // of a topic's rule: that of its TryPublish

	key    func(Event) string // of conflation; nil for the queue's
	maxAge time.Duration      // 0 for the queue's
}

// tryRule is the rule of TryPublish.
var tryRule = &rule{atOnce: true}

// forTry returns the rule of TryPublish for a topic with rule r, nil for none.
func (r *rule) forTry() *rule {
	if r == nil {
		return tryRule
	}
	return r.try
}

// waits reports whether a publish may wait for room.
func (r *rule) waits() bool {
	return !r.atOnce && (r.overflow == Block || r.overflow == DropNewest && r.timeout > 0)
}

// reject is the error of a publish that finds no room.
func (r *rule) reject() error {
	if r.overflow == DropNewest {
		return ErrDropped
	}
	return ErrQueueFull
}

// isPlain reports whether r asks nothing of an event before it is published.
func (r *rule) isPlain() bool { return r == nil || r.key == nil && r.maxAge == 0 }

// label gives e the meta that rule r and the queue want of it, with the luggage l, and the
// time that it must have. It runs user code.
func (q *queue) label(e *entry, r *rule, l *luggage, now func() time.Time) error {
	if l != nil {
		e.needMeta().luggage = l
	}
	key, maxAge := q.cfg.ConflateBy, q.cfg.MaxAge
	var k conflationKey
	if r != nil && r.key != nil {
		key, k.eventType = r.key, e.Type
	}
	if r != nil && r.maxAge > 0 {
		maxAge = r.maxAge
		e.needMeta().maxAge = maxAge
	}
	if maxAge > 0 && e.Time.IsZero() {
		if err := contain("the clock", func() { e.Time = now() }); err != nil {
			return err
		}
	}
	if key == nil {
		return nil
	}
	if err := contain("ConflateBy", func() { k.key = key(e.Event) }); err != nil {
		return err
	}
	if k.key != "" {
		m := e.needMeta()
		m.key, m.latest = k, e.Event
		e.Event = Event{Type: e.Type}
	}
	return nil
}

// contain runs f, user code that a publish needs of its event, and returns an error
// if it panics.
func contain(what string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %s panicked on it: %v", ErrInvalidEvent, what, v)
		}
	}()
	f()
	return nil
}

func (e *entry) needMeta() *meta {
	if e.meta == nil {
		e.meta = metas.Get().(*meta)
	}
	return e.meta
}
