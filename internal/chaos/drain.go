package chaos

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// A drain program is a schedule in which Shutdown gives up at any moment of a
// handler that publishes many events, one after another, while other processors
// handle them at once. So the moment between two publishes, and the one between
// two handlers, is met often.

// decodeDrain makes a drain program of any bytes.
func decodeDrain(data []byte) schedule {
	d := &decoder{data: data}
	s := &d.schedule
	s.patience, s.answers = 1, maxAnswers
	p := busPlan{poll: time.Hour, ear: d.below(2) == 1, retained: [topics]int{-1, -1, -1, -1}}
	for q := range p.queues {
		p.queues[q] = queuePlan{QueueConfig: eventbus.QueueConfig{Capacity: 1 + d.below(64)}}
	}
	s.buses = []busPlan{p}
	for range 1 + d.below(2) {
		s.buses[0].handlers = append(s.buses[0].handlers, d.drainHandler())
	}
	s.rounds = []round{{controllers: [][]control{{{call: callStart}}}}}
	for range 1 + d.below(2) {
		last := publication{queue: eventbus.Queue(d.below(3)), way: byTry, generations: 1}
		s.buses[0].last = append(s.buses[0].last, last)
	}
	limit := time.Duration(1+d.below(250)) * time.Duration(1+d.below(40)) * time.Microsecond
	s.buses[0].end = control{call: callShutdown, limit: limit}
	return *s
}

// drainHandler returns a handler of the first topic, which publishes a storm of
// events that nobody but a tap hears.
func (d *decoder) drainHandler() handlerPlan {
	p := publication{queue: eventbus.Queue(d.below(3)), topic: topics - 1, way: []way{byPublish, byPublish, byTry, byWait}[d.below(4)]}
	return handlerPlan{script: []step{{do: doPublishStorm, publish: p}}}
}
