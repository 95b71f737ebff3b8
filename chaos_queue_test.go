package eventbus_test

import (
	"slices"
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
	p := queuePlan{QueueConfig: eventbus.QueueConfig{Capacity: 1 + d.below(64), Overflow: own.overflow, Timeout: own.timeout}}
	if d.below(2) == 0 { // small ones fill up
		p.Capacity = 1 + p.Capacity%4
	}
	p.keys = d.below(4) == 3
	p.MaxAge = []time.Duration{0, 0, 0, 0, time.Millisecond, 10 * time.Millisecond}[d.below(6)]
	for range []int{0, 0, 0, 1, 2}[d.below(5)] {
		p.rules = append(p.rules, d.rule())
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

func dropsOldest(r rule) bool { return r.overflow == eventbus.DropOldest }

// evicts reports whether the queue may evict an event at all.
func (p queuePlan) evicts() bool {
	return dropsOldest(p.own()) || slices.ContainsFunc(p.rules, dropsOldest)
}

// mixes reports whether DropOldest meets other rules in the queue.
func (p queuePlan) mixes() bool {
	return p.evicts() && !(dropsOldest(p.own()) && !slices.ContainsFunc(p.rules, func(r rule) bool { return !dropsOldest(r) }))
}

// mayEvict reports whether the queue may evict an event that was published so.
// In a queue whose own rule is DropOldest, anything may go until somebody has
// published with another rule, and TryPublish does not count as one.
func (p queuePlan) mayEvict(by publication) bool {
	return p.evicts() && (!p.mixes() || dropsOldest(p.ruleOf(by)) || by.way == byTry && dropsOldest(p.own()))
}

// mayDetach reports whether such an event may be accepted and wait beyond the
// queue.
func (p queuePlan) mayDetach(by publication) bool { return p.mixes() && dropsOldest(p.ruleOf(by)) }

// mayHaveDetached reports whether e may have waited there, in line with the
// publishes from outside: as itself, or in the place of another event.
func (p queuePlan) mayHaveDetached(e *entry) bool {
	return p.mixes() && (e.place.shared || e.from != inside && p.mayDetach(e.publication))
}

// tellsDrops reports whether ErrDropped from PublishWait tells whether the event
// was accepted before it was dropped.
func (p queuePlan) tellsDrops() bool {
	return p.Overflow == eventbus.Block || p.Overflow == eventbus.DropNewest && !p.keys || dropsOldest(p.own()) && !p.mixes()
}
