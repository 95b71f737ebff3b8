package chaos

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// A line program is a schedule in which handlers answer each event for a long
// time, around full queues that block, and some leave goroutines behind that do. Nobody
// stops, pauses or shuts down a bus, so that only the order in line, the bound of deferral
// and who waits for whom are at stake.

// decodeLine makes a line program of any bytes, without the features in off.
func decodeLine(data []byte, off feature) schedule {
	d := &decoder{data: data}
	s := &d.schedule
	s.patience, s.answers, s.subscribers = 8, 4000, 300
	s.buses = make([]busPlan, 1+d.below(2))
	for i := range s.buses {
		p := &s.buses[i]
		p.poll, p.mode, p.ear = time.Hour, []mode{live, live, live, single}[d.below(4)], true
		p.retained = [topics]int{-1, -1, -1, -1}
		for q := range p.queues {
			p.queues[q] = queuePlan{QueueConfig: eventbus.QueueConfig{Capacity: 1 + d.below(5)}}
		}
		p.end = control{call: callShutdown, bus: i}
	}
	if d.below(2) == 1 && !off.has(outliving) {
		s.features |= outliving
	}
	if d.below(3) == 2 { // late joiners come and go
		s.features |= passing
		s.buses[0].retained[0] = d.below(3)
		s.buses[0].handlers = append(s.buses[0].handlers, d.crowd()...)
	}
	for i := range s.buses {
		for range 2 + d.below(4) {
			s.buses[i].handlers = append(s.buses[i].handlers, d.lineHandler())
		}
	}
	s.rounds = []round{d.lineRound()}
	return *s
}

// lineHandler returns a handler that answers most of its events.
func (d *decoder) lineHandler() handlerPlan {
	h := handlerPlan{shape: shape{topic: d.below(topics - 1), queue: d.below(4)}}
	for range 1 + d.below(3) {
		do := []action{doPublish, doPublish, doPublish, doPublishTwice, doSleep}[d.below(5)]
		if do == doPublishTwice && d.has(outliving) {
			do = doPublishLater
		}
		h.script = append(h.script, step{do: do, publish: d.linePublication(), pause: d.linePause()})
	}
	return h
}

// crowd returns handlers of one topic at which late joiners come, and leave
// again, before the last of them publishes.
func (d *decoder) crowd() (list []handlerPlan) {
	for range 2 + d.below(5) {
		do := []action{doSubscribe, doSubscribe, doSubscribe, doUnsubscribe}[d.below(4)]
		list = append(list, handlerPlan{script: []step{{do: do, shape: shape{last: true}}}})
	}
	last := step{do: doPublishTwice, publish: d.linePublication()}
	last.publish.topic, last.publish.way = 0, byPublish
	return append(list, handlerPlan{script: []step{last, last, {}}})
}

func (d *decoder) linePublication() publication {
	way := []way{byPublish, byPublish, byPublish, byPublish, byPublish, byBatch, byWait}[d.below(7)]
	p := publication{bus: d.bus(), queue: eventbus.Queue(d.below(3)), topic: d.below(topics - 1), way: way, generations: 200, pause: d.linePause()}
	if way == byBatch {
		p.size = 1 + d.below(3)
	}
	return p
}

func (d *decoder) linePause() time.Duration {
	return []time.Duration{0, 0, time.Microsecond, time.Millisecond, 3 * time.Millisecond}[d.below(5)]
}

// lineRound returns what sets the handlers going.
func (d *decoder) lineRound() (r round) {
	for range 2 + d.below(4) {
		var list []publication
		for range 1 + d.below(8) {
			list = append(list, d.linePublication())
		}
		r.publishers = append(r.publishers, list)
	}
	r.controllers = [][]control{nil}
	for i := range d.schedule.buses {
		r.controllers[0] = append(r.controllers[0], control{call: callStart, bus: i})
	}
	for i := range 60 {
		r.controllers[0] = append(r.controllers[0], control{call: callStats, bus: i % len(d.schedule.buses), pause: time.Millisecond})
	}
	return r
}
