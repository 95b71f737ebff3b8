package eventbus

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// Retain keeps the last event of the topic's type for those who subscribe
// [WithLast]. A bus keeps what its processor has begun to handle, of the topic's
// queue, from the first Publish or Subscribe of the topic on; publishes that are
// not the topic's count too. Of several topics of one type the first on a bus
// says which queue.
func Retain() TopicOption {
	return func(c *topicConfig) error {
		c.retain = true
		return nil
	}
}

// WithLast gives the subscription the last event of its type before any that
// follows, if a topic with [Retain] keeps one: the handler is called with it on
// the processor of the topic's queue, and the subscription begins there. To get
// there the subscription travels through the queue, beyond its capacity if need
// be, and is counted in its accounts like an event; until it has arrived,
// [Stats] does not list it. On a bus that drops it on the way, with [DropOldest],
// the subscription begins without the last event. For a type that nothing keeps,
// WithLast changes nothing.
func WithLast() SubscribeOption {
	return func(s *Subscription) error {
		if s.eventType == "" {
			return errors.New("WithLast: SubscribeAll has no last event; subscribe to a type")
		}
		s.wantsLast = true
		return nil
	}
}

// A retention keeps the last event of a type. Its keeper is the first handler of
// the type, so that the processor stores the event in order with all others.
type retention struct {
	queue *queue
	last  Event // its type is empty if there is none; the processor's of the queue
}

// keep makes b keep the last event of t, of queue q.
func (b *Bus) keep(t EventType, q Queue) {
	if _, ok := b.retentions.Load(t); ok {
		return
	}
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if _, ok := b.retentions.Load(t); ok {
		return
	}
	r := &retention{queue: b.queues[q]}
	b.retentions.Store(t, r)
	keeper := &Subscription{bus: b, eventType: t, keeper: true, name: "Retain"}
	keeper.call = func(ctx context.Context, e Event) error {
		if p := processorOf(ctx); p.queue == r.queue {
			r.last = e
		}
		return nil
	}
	b.addLocked(keeper) // with the id 0, so that it is the first
}

// subscribeWithLast sends s to the processor of the queue that its type is kept
// of, and reports whether it is.
func (b *Bus) subscribeWithLast(s *Subscription) bool {
	v, ok := b.retentions.Load(s.eventType)
	if !ok {
		return false
	}
	b.subMu.Lock()
	b.lastID++
	s.id = b.lastID
	b.subMu.Unlock()
	v.(*retention).queue.admitJoin(s)
	return true
}

// admitJoin accepts the event that stands for s, whether there is room or not.
func (q *queue) admitJoin(s *Subscription) {
	lineMu.Lock()
	defer lineMu.Unlock()
	if q.state.Load()&(closing|closed) != 0 {
		return
	}
	e := (&parcel{event: Event{Type: s.eventType}, receipt: &receipt{join: s, done: make(chan error, 1)}}).carrier()
	if q.line.empty() && q.offer(e) {
		return
	}
	q.count(1)
	q.line.deferred.push(e)
	q.admitLocked(false)
	q.noteLocked()
}

// join puts s into the table and returns its first event and who gets that: s,
// or nobody if there is none.
func (p *processor) join(s *Subscription) (Event, *handlerList) {
	b := p.bus
	v, _ := b.retentions.Load(s.eventType)
	last := v.(*retention).last
	if !b.arrive(s) || last.Type == "" {
		return Event{Type: s.eventType}, newHandlerList(nil, s.eventType, nil)
	}
	return last, newHandlerList(nil, s.eventType, []*Subscription{s})
}

// arrive puts s, which has its id, into the table, unless it has been
// unsubscribed on its way.
func (b *Bus) arrive(s *Subscription) bool {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if s.gone {
		return false
	}
	b.addLocked(s)
	return true
}

// byID sorts subs in the order of subscription.
func byID(subs []*Subscription) []*Subscription {
	slices.SortFunc(subs, func(a, b *Subscription) int { return cmp.Compare(a.id, b.id) })
	return subs
}
