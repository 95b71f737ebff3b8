package chaos

import (
	"math/rand/v2"
	"time"

	"github.com/eventbus-go/eventbus"
)

// bytesOf returns the bytes that a seed stands for.
func bytesOf(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 100+r.IntN(maxBytes-100))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// maxBytes is more than any schedule uses in full.
const maxBytes = 9000

// decodeSchedule makes a schedule of any bytes, without the features in off.
// Where the bytes end, the schedule goes on as if zeros followed.
func decodeSchedule(data []byte, off feature) schedule {
	d := &decoder{data: data}
	s := &d.schedule
	for i := range numFeatures {
		if d.below(2) == 1 && !off.has(1<<i) {
			s.features |= 1 << i
		}
	}
	s.answers, s.subscribers = maxAnswers, maxSubscribers
	s.patience = []int{1, 1, 8}[d.below(3)]
	s.buses = make([]busPlan, 1)
	if s.features.has(peers) {
		s.buses = make([]busPlan, 2+d.below(maxBuses-1))
	}
	for i := range s.buses {
		d.frame(&s.buses[i])
	}
	for i := range s.buses {
		d.fill(&s.buses[i], i)
	}
	for range 1 + d.below(3) {
		s.rounds = append(s.rounds, d.round())
	}
	d.ends()
	return *s
}

// maxAnswers bounds the events that handlers publish. Many handlers that answer
// each event with two could publish millions in a few generations.
const maxAnswers = 800

type decoder struct {
	data     []byte
	schedule schedule // as far as it is decoded
}

// below returns a number from 0 to n-1.
func (d *decoder) below(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

// has reports whether the schedule has a feature.
func (d *decoder) has(f feature) bool { return d.schedule.features.has(f) }

// frame decides how a bus is configured.
func (d *decoder) frame(p *busPlan) {
	p.poll = []time.Duration{time.Hour, time.Hour, 100 * time.Millisecond}[d.below(3)]
	p.slow = []time.Duration{0, time.Millisecond, 10 * time.Millisecond}[d.below(3)]
	p.spin = []time.Duration{0, 0, 50 * time.Microsecond}[d.below(3)]
	p.mode = []mode{live, live, live, live, single, single, stepped}[d.below(7)]
	if d.has(meddling) && d.below(3) == 2 { // what handlers can step
		p.mode = stepped
	}
	p.ear, p.layers = d.below(2) == 1, []int{0, 0, 1, 3}[d.below(4)]
	p.clocked = d.below(3) == 2
	for i := range p.queues {
		p.queues[i] = d.queue()
		p.ear = p.ear || p.queues[i].keys
	}
	for i := range p.retained {
		p.retained[i] = []int{-1, -1, -1, -1, -1, 0, 1, 2}[d.below(8)]
		p.ear = p.ear || p.retained[i] >= 0
	}
}

// fill decides what the handlers of bus number i do, when all buses have their
// frames.
func (d *decoder) fill(p *busPlan, i int) {
	p.trouble = d.trouble(p.mode)
	for range 1 + d.below(8) {
		p.handlers = append(p.handlers, d.handler())
	}
	for range d.below(3) {
		last := d.publication()
		last.bus, last.queue = i, eventbus.Queue(d.below(3))
		last.way, last.key, last.context, last.limit = byTry, 0, plainContext, 0
		p.last = append(p.last, last)
	}
	p.end = control{call: callShutdown, bus: i, limit: d.limit(), pause: d.pause()}
}

func (d *decoder) bus() int { return d.below(len(d.schedule.buses)) }

func (d *decoder) handler() handlerPlan {
	h := handlerPlan{shape: d.shape(topics - 1)}
	for range 1 + d.below(6) {
		s := step{do: actions[d.below(len(actions))], pause: d.pause()}
		switch {
		case s.do == doNothing && d.has(crowds), s.do == doPublishLater && !d.has(outliving):
			s.do = doPublish
		case s.do == doPublishSlowly && d.has(outliving):
			s.do = doPublishLater
		}
		switch {
		case s.do == doNothing && d.below(20) == 19:
			s.do, s.control = doControl, control{call: callShutdown, bus: d.meddled()}
		case s.do == doControl:
			s.control = control{call: d.call(handlerCalls), bus: d.meddled(), queue: d.below(3)}
			if s.control.call == callStart || s.control.call == callRestart {
				s.control.limit = d.limit()
			}
		case s.do == doSubscribe:
			s.shape = d.shape(topics)
		case s.do.publishes():
			s.publish = d.publication()
			if p := &s.publish; s.do == doReturnWait && d.schedule.buses[p.bus].queues[p.queue].tellsDrops() {
				p.way = byWait
			}
		}
		h.script = append(h.script, s)
	}
	return h
}

// meddled returns the bus that a handler calls; sameBus for its own.
func (d *decoder) meddled() int {
	n := d.below(maxBuses + 1)
	if !d.has(meddling) || n >= len(d.schedule.buses) {
		return sameBus
	}
	return n
}

const sameBus = -1

func (d *decoder) limit() time.Duration {
	return []time.Duration{0, 0, 0, time.Millisecond, 20 * time.Millisecond, time.Second, -1}[d.below(7)]
}

func (d *decoder) pause() time.Duration {
	return []time.Duration{0, time.Microsecond, 100 * time.Microsecond, time.Millisecond, 20 * time.Millisecond}[d.below(5)]
}

func (d *decoder) round() round {
	var r round
	for range 1 + d.below(6) {
		var list []publication
		for range d.below(100) {
			list = append(list, d.publication())
		}
		r.publishers = append(r.publishers, list)
	}
	for range d.below(5) {
		var list []control
		for range d.below(9) {
			list = append(list, d.control())
		}
		r.controllers = append(r.controllers, list)
	}
	return r
}

func (d *decoder) control() control {
	c := control{call: d.call(calls), bus: d.bus(), limit: d.limit(), pause: d.pause()}
	switch c.call {
	case callSubscribe:
		c.shape = d.shape(topics)
	case callPause, callResume:
		c.queue = d.below(3)
	case callStats:
		if d.below(3) == 2 {
			c.call = callShutdown
		}
	}
	return c
}

// call returns one of list.
func (d *decoder) call(list []call) call {
	c := list[d.below(len(list))]
	if c == callRestart && !d.has(restarts) {
		return callStart
	}
	return c
}

// ends lets some buses shut down not at rest, but in the last round.
func (d *decoder) ends() {
	last := &d.schedule.rounds[len(d.schedule.rounds)-1]
	for _, b := range d.schedule.buses {
		if d.below(2) == 1 {
			last.controllers = append(last.controllers, []control{b.end})
		}
	}
}
