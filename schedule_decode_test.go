package eventbus_test

import (
	"math/rand/v2"
	"time"
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
const maxBytes = 7000

// decodeSchedule makes a schedule of any bytes. Where they end, the schedule
// goes on as if zeros followed.
func decodeSchedule(data []byte) schedule {
	d := &decoder{data: data}
	s := &d.schedule
	s.poll = []time.Duration{time.Hour, time.Hour, 100 * time.Millisecond}[d.below(3)]
	s.slow = []time.Duration{0, time.Millisecond, 10 * time.Millisecond}[d.below(3)]
	s.spin = []time.Duration{0, 0, 50 * time.Microsecond}[d.below(3)]
	s.mode = []mode{live, live, live, live, single, single, stepped}[d.below(7)]
	s.ear, s.layers = d.below(2) == 1, []int{0, 0, 1, 3}[d.below(4)]
	s.trouble = trouble{n: []int64{0, 0, 0, 1, 3, 20}[d.below(6)], exits: d.below(2) == 1, debug: d.below(4) == 1}
	if s.mode == stepped { // what ends the caller's goroutine is the handlers' business
		s.trouble.exits = false
	}
	for i := range s.queues {
		s.queues[i] = d.queue()
		s.ear = s.ear || s.queues[i].keys
	}
	for i := range s.retained {
		s.retained[i] = []int{-1, -1, -1, -1, -1, 0, 1, 2}[d.below(8)]
		s.ear = s.ear || s.retained[i] >= 0
	}
	for range 1 + d.below(8) {
		s.handlers = append(s.handlers, d.handler())
	}
	for range 1 + d.below(3) {
		s.rounds = append(s.rounds, d.round())
	}
	s.end = control{call: callShutdown, limit: d.limit(), pause: d.pause()}
	if d.below(2) == 1 { // not at rest, but in the last round
		last := &s.rounds[len(s.rounds)-1]
		last.controllers = append(last.controllers, []control{s.end})
	}
	return *s
}

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

func (d *decoder) handler() handlerPlan {
	h := handlerPlan{shape: d.shape(topics - 1)}
	for range 1 + d.below(6) {
		s := step{do: actions[d.below(len(actions))], pause: d.pause()}
		switch {
		case s.do == doNothing && d.below(20) == 19:
			s.do = doShutdown
		case s.do == doSubscribe:
			s.shape = d.shape(topics)
		case s.do.publishes():
			s.publish = d.publication()
		}
		h.script = append(h.script, s)
	}
	return h
}

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
		for range d.below(120) {
			list = append(list, d.publication())
		}
		r.publishers = append(r.publishers, list)
	}
	for range d.below(4) {
		var list []control
		for range d.below(9) {
			list = append(list, d.control())
		}
		r.controllers = append(r.controllers, list)
	}
	return r
}

func (d *decoder) control() control {
	c := control{call: calls[d.below(len(calls))], limit: d.limit(), pause: d.pause()}
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
