package eventbus

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// Retain keeps the last event of the topic's type for those who subscribe
// [WithLast]. A bus keeps what its processor has begun to handle, of the topic's
// queue, from the first Publish or Subscribe of the topic on; publishes that are
// not the topic's count too. Of several topics of one type the first on a bus
// says which queue. [Topic.Forget] lets go of the event.
func Retain() TopicOption {
	return func(c *topicConfig) error {
		c.retain = true
		return nil
	}
}

// WithLast gives the subscription the last event of its type before any that
// follows, if a topic with [Retain] keeps one: the handler is called with it on
// the processor of the topic's queue, and the subscription begins there. It gets
// none that is older than the queue's or the topic's maximum age by then.
//
// To get there the subscription travels through the queue, beyond its capacity if
// need be, and is counted in its accounts like an event; until it has arrived,
// [Stats] does not list it. It evicts nothing. If it is evicted itself, by
// [DropOldest], the subscription begins without the last event. For a type that
// nothing keeps, WithLast changes nothing. With [Bus.SubscribeAll] and
// [Bus.SubscribeMatch] it panics.
func WithLast() SubscribeOption {
	return func(s *Subscription) error {
		switch {
		case s.isTap():
			return errors.New("WithLast: SubscribeAll has no last event; subscribe to a type")
		case s.isWide():
			return errors.New("WithLast: a pattern has no last event; subscribe to a type")
		}
		s.wantsLast = true
		return nil
	}
}

// A retention keeps the last event of a type. Its retainer is the first handler of
// the type, so that the processor stores the event in order with all others.
type retention struct {
	queue  *queue
	maxAge time.Duration            // 0 if the event never gets too old
	last   atomic.Pointer[retained] // nil if there is none
}

// A retained event is the last one of its type, with what travelled with it.
type retained struct {
	Event
	luggage *luggage
}

// lastInTime returns the last event, nil if there is none or it is too old. If the
// clock panics, it is.
func (r *retention) lastInTime(b *Bus) *retained {
	last := r.last.Load()
	if last == nil || r.maxAge == 0 || !b.expires() {
		return last
	}
	var age time.Duration
	err := contain("the clock", func() { age = b.now().Sub(last.Time) })
	if err != nil || age > r.maxAge {
		return nil
	}
	return last
}

// retentionOf returns the retention of t, nil if nothing keeps its last event.
func (b *Bus) retentionOf(t EventType) *retention {
	if r, ok := b.table.kept.Load(t); ok {
		return r.(*retention)
	}
	return nil
}

// keep makes b keep the last event of t, of queue q.
func (b *Bus) keep(t EventType, q Queue, rule *rule) {
	if b.retentionOf(t) != nil {
		return
	}
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	if b.retentionOf(t) != nil {
		return
	}
	r := &retention{queue: b.queues[q], maxAge: b.queues[q].cfg.MaxAge}
	if rule != nil && rule.maxAge > 0 {
		r.maxAge = rule.maxAge
	}
	b.table.kept.Store(t, r)
	retainer := &Subscription{bus: b, eventType: t, retainer: true, name: "Retain", priority: math.MaxInt}
	retainer.call = func(ctx context.Context, e Event) error {
		if p := ctx.(*handlerContext).proc; p.turn.queue == r.queue {
			r.last.Store(&retained{e, p.luggage()})
		}
		return nil
	}
	b.table.addLocked(retainer) // with the id 0 and the highest priority, so that it is the first
}

// forget lets go of the last event of t.
func (b *Bus) forget(t EventType) {
	if r := b.retentionOf(t); r != nil {
		r.last.Store(nil)
	}
}

// subscribeWithLast sends s to the processor of the queue that its type is kept
// of. If nothing keeps it, s begins at once. After Shutdown it never begins.
func (b *Bus) subscribeWithLast(s *Subscription) {
	r := b.retentionOf(s.eventType)
	if r == nil {
		b.subscribe(s)
		return
	}
	b.table.mu.Lock()
	b.table.lastID++
	s.id, s.joins = b.table.lastID, &joiner{sub: s, queue: r.queue}
	b.table.mu.Unlock()
	if !r.queue.admitJoiner(s.joins) {
		b.table.drop(s)
		b.logLate(s)
	}
}

// arrive puts s, which has its id, into the table, unless it has been unsubscribed
// on its way. It returns the first event of s, if there is one that is not too old,
// and who gets that: s alone.
func (b *Bus) arrive(s *Subscription) (last *retained, list *handlerList) {
	if r := b.retentionOf(s.eventType); r != nil {
		last = r.lastInTime(b)
	}
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	if s.call == nil {
		return nil, nil
	}
	b.table.addLocked(s)
	if last == nil {
		return nil, &handlerList{eventType: s.eventType}
	}
	return last, newHandlerList(s.eventType, []*Subscription{s})
}
