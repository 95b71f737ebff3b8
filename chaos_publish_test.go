package eventbus_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A publication is one publish.
type publication struct {
	queue       eventbus.Queue
	topic       int
	way         way
	rule        int           // of the queue's, for byTopic
	size        int           // for byBatch
	key         int           // to conflate by: none if 0, and poisonous if negative
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

func (d *decoder) publication() publication {
	p := publication{
		queue:       eventbus.Queue(d.below(3)),
		topic:       d.below(topics),
		way:         []way{byPublish, byPublish, byPublish, byPublish, byTopic, byTopic, byTopic, byTry, byTry, byWait, byBatch}[d.below(11)],
		limit:       d.limit(),
		generations: d.below(6),
		pause:       []time.Duration{0, 0, 0, 0, 0, 0, d.pause()}[d.below(7)],
	}
	plan := d.schedule.queues[p.queue]
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

// A stance is where a publish comes from.
type stance uint8

const (
	outside stance = iota
	inside         // a handler that publishes with its context
	either         // a call of an Async handler, which may have been abandoned
)

// publish publishes what e stands for, as p says.
func (c *chaos) publish(ctx context.Context, p publication, e *entry, from stance) {
	p.limit = c.scaled(p.limit)
	e.publication, e.from = p, from
	if p.limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.limit)
		defer cancel()
	}
	event := eventbus.Event{Type: topic(p.topic), Data: e}
	c.enter(e)
	e.at = time.Now()
	if p.age != 0 && p.way != byTopic { // whose events are from now
		event.Time = e.at.Add(-c.scaled(p.age))
	}
	e.stamp = event.Time
	closed := c.isClosed()
	var err error
	if p.way == byBatch {
		err = c.publishBatch(ctx, e, event)
	} else {
		err = c.send(ctx, event, p)
		e.err, e.settled = err, c.now()
	}
	took := time.Since(e.at)
	if closed && from == outside && !errors.Is(err, eventbus.ErrClosed) && !e.isPoison(c.plan) {
		c.violated("%+v returned %v after Shutdown had begun", p, err)
	}
	if !c.permitted(e, err) {
		c.violated("%+v, from %v, returned %v", p, from, err)
	}
	if limit := c.within(p); limit >= 0 && took > limit && !c.realTime {
		c.violated("%+v, from %v, returned %v after %v", p, from, err, took)
	}
}

func (c *chaos) send(ctx context.Context, e eventbus.Event, p publication) error {
	switch p.way {
	case byTry:
		return c.bus.TryPublish(ctx, p.queue, e)
	case byWait:
		return c.bus.PublishWait(ctx, p.queue, e)
	case byTopic:
		r := c.plan.queues[p.queue].rules[p.rule]
		t := eventbus.NewTopic[*entry](e.Type, p.queue, eventbus.WithOverflow(r.overflow, c.scaled(r.timeout)))
		return t.Publish(ctx, c.bus, e.Data.(*entry))
	}
	return c.bus.Publish(ctx, p.queue, e)
}

// waits reports whether a publish may wait for room.
func (p queuePlan) waits(by publication) bool {
	r := p.ruleOf(by)
	return by.way != byTry && (r.overflow == eventbus.Block || r.overflow == eventbus.DropNewest && r.timeout > 0)
}

// within returns how long a publish may take; negative is any time.
func (c *chaos) within(p publication) time.Duration {
	r := c.plan.queues[p.queue].ruleOf(p)
	timeout := c.scaled(r.timeout) * time.Duration(max(p.size, 1)) // one by one, if it conflates
	switch {
	case p.way == byWait && p.limit == 0:
		return -1
	case p.way == byWait:
		return max(p.limit, 0)
	case !c.plan.queues[p.queue].waits(p):
		return 0
	case p.limit != 0 && (timeout == 0 || p.limit < timeout):
		return max(p.limit, 0)
	case timeout > 0:
		return timeout
	}
	return -1
}

// isPoison reports whether ConflateBy panics on e.
func (e *entry) isPoison(s *schedule) bool { return e.key < 0 && s.queues[e.queue].keys }

// permitted reports whether the publish of e may have ended with err.
func (c *chaos) permitted(e *entry, err error) bool {
	plan := c.plan.queues[e.queue]
	r, waits, waited := plan.ruleOf(e.publication), plan.waits(e.publication), e.way == byWait
	switch {
	case e.isPoison(c.plan):
		return errors.Is(err, eventbus.ErrInvalidEvent) || waited && c.stepping.Load() && errors.Is(err, eventbus.ErrNotRunning)
	case err == nil:
		return true
	case isOutcome(err):
		return waited
	case errors.Is(err, eventbus.ErrClosed):
		return c.closing.Load()
	case errors.Is(err, eventbus.ErrDropped):
		return waited || e.way != byTry && (r.overflow == eventbus.DropNewest || plan.mayDetach(e.publication))
	case errors.Is(err, eventbus.ErrQueueFull):
		return e.way == byTry || e.size > plan.Capacity || r.overflow == eventbus.Block && r.timeout > 0 || waits && (e.from != outside || c.stepping.Load())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return (waits || waited) && (e.limit != 0 || e.from != outside)
	case errors.Is(err, eventbus.ErrNotRunning):
		return waited && (e.from != outside || c.stepping.Load())
	case errors.Is(err, eventbus.ErrWouldDeadlock):
		return waited && e.from != outside
	}
	return false
}

// isOutcome reports whether err is what handlers have returned to PublishWait.
func isOutcome(err error) bool {
	var h *eventbus.HandlerError
	return errors.As(err, &h)
}

// accepted reports whether the event of e was accepted, which the error of
// PublishWait does not always say by itself.
func (e *entry) accepted(plan queuePlan, back bool) bool {
	switch {
	case e.err == nil:
		return true
	case e.way != byWait:
		return false
	case isOutcome(e.err), strings.Contains(e.err.Error(), "it is accepted"):
		return true
	case errors.Is(e.err, eventbus.ErrDropped):
		return plan.Overflow != eventbus.DropNewest
	case errors.Is(e.err, eventbus.ErrClosed):
		return back || len(e.calls) > 0 || strings.Contains(e.err.Error(), "were not called")
	}
	return false
}
