package eventbus_test

import (
	"math/rand/v2"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A schedule is all that chance decides about a run of the property test: how
// the bus is configured, who publishes what, and what the handlers do. The run
// itself is concurrent, so two runs of one schedule need not be the same.
type schedule struct {
	poll, slow time.Duration
	trouble    trouble
	queues     [3]eventbus.QueueConfig
	handlers   []handlerPlan
	rounds     []round
	end        control // the Shutdown at the end, if there was none before
}

// Trouble is how the logger and the error handler fail: at every n-th call, if
// n is not 0.
type trouble struct {
	n     int64
	exits bool // they call runtime.Goexit and do not panic
	debug bool // DEBUG is on
}

// A handlerPlan is a handler that is subscribed all the time. In its n-th call
// it does the n-th step of its script, which begins anew at its end.
type handlerPlan struct {
	topic  int
	script []step
}

type step struct {
	do      action
	publish publication // for those that publish
	pause   time.Duration
}

type action uint8

const (
	doNothing action = iota
	doFail
	doPanic
	doPanicNil
	doExit
	doSleep
	doPublish
	doPublishTwice
	doPublishAsStranger // with a context that is not the handler's, and a deadline
	doSubscribe
	doUnsubscribe
	doStop
	doStart
	doFlush
	doShutdown
)

// actions holds each action as often as it is to be likely.
var actions = []action{
	doNothing, doNothing, doNothing, doNothing, doNothing,
	doPublish, doPublish, doPublish, doPublish, doPublish, doPublishTwice, doPublishTwice, doPublishAsStranger,
	doFail, doPanic, doPanicNil, doExit, doSleep, doSleep,
	doSubscribe, doUnsubscribe, doStop, doStart, doFlush,
}

// A publication is one publish.
type publication struct {
	queue       eventbus.Queue
	topic       int
	try         bool
	limit       time.Duration // of the context: none if 0, ended if negative
	generations int           // of events that handlers publish in return
	pause       time.Duration // before it
}

// A round is what goes on at the same time. After it the accounts are compared.
type round struct {
	publishers  [][]publication
	controllers [][]control
}

// A control is a call of the bus that publishes nothing.
type control struct {
	call  call
	topic int
	limit time.Duration // as in publication
	pause time.Duration // before it
}

type call uint8

const (
	callStart call = iota
	callStop
	callFlush
	callStats
	callSubscribe
	callUnsubscribe
	callShutdown
)

// calls holds each call as often as it is to be likely.
var calls = []call{
	callStart, callStart, callStart, callStop, callStop, callFlush, callFlush, callStats,
	callSubscribe, callSubscribe, callUnsubscribe, callUnsubscribe,
}

// topics is how many event types there are. Nobody is subscribed to the last
// one all the time, nor to others if chance wills it.
const topics = 4

// bytesOf returns the bytes that a seed stands for.
func bytesOf(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 100+r.IntN(5000))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// decodeSchedule makes a schedule of any bytes. Where they end, the schedule
// goes on as if zeros followed.
func decodeSchedule(data []byte) schedule {
	d := &decoder{data}
	s := schedule{
		poll:    []time.Duration{time.Hour, time.Hour, 100 * time.Millisecond}[d.below(3)],
		slow:    []time.Duration{0, time.Millisecond, 10 * time.Millisecond}[d.below(3)],
		trouble: trouble{n: []int64{0, 0, 0, 1, 3, 20}[d.below(6)], exits: d.below(2) == 1, debug: d.below(4) == 1},
	}
	for i := range s.queues {
		s.queues[i] = d.queue()
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
	return s
}

type decoder struct{ data []byte }

// below returns a number from 0 to n-1.
func (d *decoder) below(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % n
}

func (d *decoder) queue() eventbus.QueueConfig {
	c := eventbus.QueueConfig{Capacity: 1 + d.below(64), Overflow: eventbus.Overflow(d.below(3))}
	if d.below(2) == 0 { // small ones fill up
		c.Capacity = 1 + c.Capacity%4
	}
	timeout := []time.Duration{0, 0, time.Millisecond, 5 * time.Millisecond, time.Second}[d.below(5)]
	if c.Overflow != eventbus.DropOldest {
		c.Timeout = timeout
	}
	return c
}

func (d *decoder) handler() handlerPlan {
	h := handlerPlan{topic: d.below(topics - 1)}
	for range 1 + d.below(6) {
		s := step{do: actions[d.below(len(actions))], pause: d.pause()}
		if s.do == doNothing && d.below(20) == 19 {
			s.do = doShutdown
		}
		if s.do == doPublish || s.do == doPublishTwice || s.do == doPublishAsStranger {
			s.publish = d.publication()
		}
		h.script = append(h.script, s)
	}
	return h
}

func (d *decoder) publication() publication {
	return publication{
		queue:       eventbus.Queue(d.below(3)),
		topic:       d.below(topics),
		try:         d.below(5) == 4,
		limit:       d.limit(),
		generations: d.below(6),
		pause:       []time.Duration{0, 0, 0, 0, 0, 0, d.pause()}[d.below(7)],
	}
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
			c := control{call: calls[d.below(len(calls))], topic: d.below(topics), limit: d.limit(), pause: d.pause()}
			if c.call == callStats && d.below(3) == 2 {
				c.call = callShutdown
			}
			list = append(list, c)
		}
		r.controllers = append(r.controllers, list)
	}
	return r
}
