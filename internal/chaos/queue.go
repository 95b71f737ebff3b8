package chaos

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// A queuePlan is how a queue is configured, and the rules of its topics.
type queuePlan struct {
	eventbus.QueueConfig
	keys  bool // it conflates
	rules []rule
}

// A rule is what a publish does that finds the queue full.
type rule struct {
	overflow eventbus.Overflow
	timeout  time.Duration
}

func (d *decoder) queue() queuePlan {
	own := d.rule()
	if own.overflow != eventbus.DropOldest && d.has(crowds) {
		own = rule{}
	}
	p := queuePlan{QueueConfig: eventbus.QueueConfig{Capacity: 1 + d.below(64), Overflow: own.overflow, Timeout: own.timeout}}
	if d.below(2) == 0 || d.has(crowds) { // small ones fill up
		p.Capacity = 1 + p.Capacity%4
	}
	p.keys = d.below(2) == 1 && d.has(keyed)
	if age := []time.Duration{0, time.Millisecond, 10 * time.Millisecond}[d.below(3)]; d.has(aging) {
		p.MaxAge = age
	}
	for range []int{0, 0, 0, 1, 2}[d.below(5)] {
		p.rules = append(p.rules, d.topicRule(p))
	}
	if p.evicts() && !lawful { // there the rules of topics change what the queue does
		p.rules = nil
	}
	return p
}

func (d *decoder) rule() rule {
	r := rule{overflow: eventbus.Overflow(d.below(3))}
	timeout := []time.Duration{0, 0, time.Millisecond, 5 * time.Millisecond, time.Second}[d.below(5)]
	if r.overflow != eventbus.DropOldest {
		r.timeout = timeout
	}
	return r
}

// topicRule returns a rule that a topic of queue p may have. DropOldest belongs
// to a queue.
func (d *decoder) topicRule(p queuePlan) rule {
	if r := d.rule(); r.overflow != eventbus.DropOldest {
		return r
	}
	return rule{}
}

// config returns the configuration in the time of the run.
func (p queuePlan) config(scaled func(time.Duration) time.Duration) eventbus.QueueConfig {
	c := p.QueueConfig
	c.Timeout, c.MaxAge = scaled(c.Timeout), scaled(c.MaxAge)
	if p.keys {
		c.ConflateBy = func(e eventbus.Event) string { return e.Data.(*entry).conflateBy() }
	}
	return c
}

func (p queuePlan) own() rule { return rule{p.Overflow, p.Timeout} }

// ruleOf returns the rule of a publish.
func (p queuePlan) ruleOf(by publication) rule {
	if by.way == byTopic {
		return p.rules[by.rule]
	}
	return p.own()
}

// evicts reports whether the queue drops its oldest event when it is full.
func (p queuePlan) evicts() bool { return p.Overflow == eventbus.DropOldest }

// forbids reports whether the queue refuses a publish because it drops the
// oldest and the publish is that of a topic with another rule.
func (p queuePlan) forbids(by publication) bool { return p.evicts() && by.way == byTopic }

// waits reports whether a publish may wait for room.
func (p queuePlan) waits(by publication) bool {
	r := p.ruleOf(by)
	return by.way != byTry && (r.overflow == eventbus.Block || r.overflow == eventbus.DropNewest && r.timeout > 0)
}

// tellsDrops reports whether ErrDropped from PublishWait tells whether the event
// was accepted before it was dropped.
func (p queuePlan) tellsDrops() bool {
	return p.Overflow == eventbus.Block || p.Overflow == eventbus.DropNewest && !p.keys || p.evicts()
}
