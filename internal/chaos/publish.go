package chaos

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A publication is one publish.
type publication struct {
	bus         int
	queue       eventbus.Queue
	topic       int
	way         way
	rule        int // of the queue's, for byTopic
	size        int // for byBatch
	key         int // to conflate by: none if 0, and poisonous if negative
	context     contextKind
	age         time.Duration // of the event, which has no time if it is 0
	limit       time.Duration // of the context: none if 0, ended if negative
	generations int           // of events that handlers publish in return
	pause       time.Duration // before it
}

type way uint8

const (
	byPublish way = iota
	byTry
	byTopic
	byWait
	byBatch
)

var ways = []way{
	byPublish, byPublish, byPublish, byPublish, byTopic, byTopic, byTopic, byTry, byTry, byWait, byWait, byBatch,
}

func (d *decoder) publication() publication {
	p := publication{
		bus:         d.bus(),
		queue:       eventbus.Queue(d.below(3)),
		topic:       d.below(topics),
		way:         ways[d.below(len(ways))],
		context:     d.contextKind(),
		limit:       d.limit(),
		generations: d.below(6),
		pause:       []time.Duration{0, 0, 0, 0, 0, 0, d.pause()}[d.below(7)],
	}
	plan := d.schedule.buses[p.bus].queues[p.queue]
	switch n := len(plan.rules); {
	case p.way == byTopic && n == 0, p.way == byWait && !plan.tellsDrops():
		p.way = byPublish
	case p.way == byTopic:
		p.rule = d.below(n)
	}
	if p.way == byBatch {
		p.size = d.batch(plan.Capacity)
	}
	if plan.keys {
		p.key = []int{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, -1}[d.below(16)]
	}
	if plan.MaxAge > 0 {
		p.age = []time.Duration{0, 0, 0, plan.MaxAge / 2, plan.MaxAge, plan.MaxAge + 1, time.Hour, -time.Hour}[d.below(8)]
	}
	return p
}

func (p publication) conflateBy() string {
	if p.key < 0 {
		panic("poison")
	}
	return []string{"", "a", "b", "c", "d", "e", "f"}[p.key]
}

// A stance is where a publish comes from, as the bus sees it.
type stance uint8

const (
	outside   stance = iota
	inside           // a handler of the bus, which publishes with its context
	guest            // a handler of another bus
	abandoned        // a call of an Async handler, after its failure was reported
	either           // nobody can tell: the call may be abandoned
)

func (s stance) String() string {
	return []string{"outside", "inside", "guest", "abandoned", "either"}[s]
}

// handler reports whether a handler publishes for certain.
func (s stance) handler() bool { return s == inside || s == guest }

// entryKey is the key of the entry in the context of its publish.
type entryKey struct{}

// publish publishes what e stands for, as p says.
func (b *subject) publish(ctx context.Context, p publication, e *entry, from stance) {
	p.limit = b.m.scaled(p.limit)
	e.publication, e.from = p, from
	ctx, cancel := b.m.contextOf(context.WithValue(ctx, entryKey{}, e), p)
	defer cancel()
	e.over = ctx.Err() != nil // not so with a limit below 0 if an earlier deadline has passed and nobody has noticed yet
	event := eventbus.Event{Type: bustest.Topic(p.topic), Data: e}
	b.enter(e)
	e.at = time.Now()
	if p.age != 0 {
		event.Time = e.at.Add(-b.m.scaled(p.age))
	}
	e.stamp = event.Time
	e.closed, e.stepped = b.isClosed(), b.stepping.Load()
	var err error
	if p.way == byBatch {
		err = b.publishBatch(ctx, e, event)
	} else {
		err = b.send(ctx, event, p)
		e.err = err
		b.settled(e)
	}
	b.judge(e, err)
}

func (b *subject) send(ctx context.Context, e eventbus.Event, p publication) error {
	switch p.way {
	case byTry:
		return b.bus.TryPublish(ctx, p.queue, e)
	case byWait:
		return b.bus.PublishWait(ctx, p.queue, e)
	case byTopic:
		r := b.plan.queues[p.queue].rules[p.rule]
		t := eventbus.NewTopic[*entry](e.Type, p.queue, eventbus.WithOverflow(r.overflow, b.m.scaled(r.timeout)))
		if p.age != 0 {
			return t.PublishEvent(ctx, b.bus, e)
		}
		return t.Publish(ctx, b.bus, e.Data.(*entry))
	}
	return b.bus.Publish(ctx, p.queue, e)
}

// settled notes that the publish of e has returned.
func (l *ledger) settled(e *entry) {
	e.settledAt = time.Now()
	e.settled = l.now()
}
