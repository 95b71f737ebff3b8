package chaos

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// A halt program is a schedule in which a bus is stopped, or its queue paused, at any
// moment of handlers that wait for room at that queue, with batches of all sizes: so
// what the waits get then, the room and after that the places of deferred events, is at
// stake.

// decodeHalt makes a halt program of any bytes.
func decodeHalt(data []byte) schedule {
	d := &decoder{data: data}
	s := &d.schedule
	s.patience, s.answers = 8, maxAnswers
	p := busPlan{poll: time.Hour, mode: []mode{live, live, live, single}[d.below(4)], ear: true, retained: [topics]int{-1, -1, -1, -1}}
	for q := range p.queues {
		p.queues[q] = queuePlan{QueueConfig: eventbus.QueueConfig{Capacity: 1 + d.below(9)}}
	}
	to := d.below(3)
	for range 2 {
		p.handlers = append(p.handlers, handlerPlan{script: []step{{do: doPublish, publish: d.haltPublication(to, p.queues[to].Capacity)}}})
	}
	p.handlers = append(p.handlers, handlerPlan{shape: shape{topic: 1}, script: []step{{do: doSleep, pause: d.pause()}, {do: doSleep, pause: d.pause()}}})
	p.end = control{call: callShutdown, limit: d.limit()}
	s.buses = []busPlan{p}
	r := round{controllers: [][]control{d.halts(to)}}
	for i := range 2 {
		var list []publication
		for range 1 + d.below(30) {
			list = append(list, publication{queue: eventbus.Queue((to + 1 + i) % 3), way: byTry, generations: 1, pause: d.linePause()},
				publication{queue: eventbus.Queue(to), topic: 1, way: byTry})
		}
		r.publishers = append(r.publishers, list)
	}
	s.rounds = []round{r}
	return *s
}

// haltPublication returns what a handler publishes to queue to.
func (d *decoder) haltPublication(to, capacity int) publication {
	p := publication{queue: eventbus.Queue(to), topic: 1, way: []way{byPublish, byWait, byBatch, byBatch}[d.below(4)]}
	if p.way == byBatch {
		p.size = 1 + d.below(3*capacity+6)
	}
	return p
}

// halts returns what stops the bus and pauses queue q, and the opposite.
func (d *decoder) halts(q int) []control {
	list := []control{{call: callStart}}
	for range 2 + d.below(20) {
		do := []call{callStop, callStop, callPause, callStart, callStart, callResume}[d.below(6)]
		list = append(list, control{call: do, queue: q, pause: d.pause()})
	}
	return list
}
