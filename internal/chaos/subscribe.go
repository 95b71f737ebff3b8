package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A shape is what kind of subscription one is.
type shape struct {
	topic   int
	all     bool          // a tap
	once    bool          // Once
	last    bool          // WithLast
	typed   bool          // through a Topic
	queue   int           // OnQueue, one more than that; 0 for any
	where   int           // Where: the numbers that it divides pass; 0 for all
	faulty  bool          // and the filter panics on some
	limit   int           // DisableAfter; 0 for none
	async   int           // 1: Async; 2: with a timeout
	timeout time.Duration // of that
	forgive bool          // middleware turns errors into success
}

// shape returns one for one of the first n topics. Zeros make a plain one.
func (d *decoder) shape(n int) shape {
	s := shape{topic: d.below(n)}
	switch d.below(16) {
	case 8:
		s.all = true
	case 9, 10:
		s.once = true
	case 11:
		s.where = 2 + d.below(2)
	case 12:
		s.where, s.faulty = 2+d.below(2), true
	case 13:
		s.queue = 1 + d.below(3)
	case 14:
		s.queue, s.limit = 1+d.below(3), 1+d.below(3) // the failures in a row of two queues have no order
	case 7, 15:
		s.last = true
	}
	s.async = []int{0, 0, 0, 0, 1, 2}[d.below(6)]
	if s.async == 2 {
		s.timeout = []time.Duration{time.Millisecond, 5 * time.Millisecond}[d.below(2)]
	}
	s.forgive, s.typed = d.below(8) == 7, d.below(6) == 5 && !s.all
	return s
}

// A subscriber is the record of a subscription.
type subscriber struct {
	shape
	name       string
	script     []step // empty for one that comes and goes
	order      int    // of subscribing
	home       int    // the queue of which it gets the last event; -1 if it does not
	began      int64  // when Subscribe was called
	subscribed int64  // when it had returned
	barred     bool   // Shutdown may have begun by then, and the bus lets no late joiner in
	sub        *eventbus.Subscription

	cameAt, goneAt time.Time // as began and gone

	left atomic.Int64 // when Unsubscribe was called, 0 if it was not
	gone atomic.Int64 // when it had returned

	calls, failures, panics atomic.Int64
	only                    atomic.Pointer[handlerCall] // the first call of one that wants Once
	arrived                 atomic.Int64                // when one that wants WithLast was first called

	replays int // how often it was called with the last event; its home queue's

	// Of one with DisableAfter, whose calls come one after another.
	streak   int
	disabled int64 // when it must have been taken out
}

func (s *subscriber) String() string {
	return fmt.Sprintf("[%s: %+v; subscribed %d, left %d, gone %d]", s.name, s.shape, s.subscribed, s.left.Load(), s.gone.Load())
}

// gated reports whether s may miss events of its topic.
func (s *subscriber) gated() bool {
	return s.once || s.where > 0 || s.queue > 0 || s.limit > 0 || s.home >= 0
}

// takes reports whether e is one of those that s wants.
func (s *subscriber) takes(e *entry) bool {
	return (s.all || s.topic == e.topic) && (s.queue == 0 || s.queue-1 == int(e.queue)) &&
		(s.where == 0 || e.number%s.where == 0 && !s.fails(e))
}

// fails reports whether the filter of s panics on e.
func (s *subscriber) fails(e *entry) bool { return s.faulty && e.number%5 == 3 }

// maxSubscribers bounds how many come and go. A tap that subscribes another tap
// at each event would soon leave no time for anything else.
const maxSubscribers = 30

func (b *subject) subscribe(sh shape, script []step) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if script == nil && len(b.subscribers) >= b.m.plan.subscribers {
		return
	}
	if sh.last && script == nil {
		sh.topic = b.plan.keptNear(sh.topic)
	}
	s := &subscriber{shape: sh, script: script, order: len(b.subscribers), home: -1}
	s.name = fmt.Sprint("handler ", s.order, b.suffix())
	if sh.last {
		s.home = b.plan.retained[s.topic]
	}
	s.began, s.cameAt = b.now(), time.Now()
	s.sub = b.subscribeTo(s)
	s.barred = b.closing.Load() && !law
	s.subscribed = b.now()
	b.subscribers = append(b.subscribers, s)
	if script == nil && (s.home < 0 || b.m.plan.features.has(passing)) {
		b.passing = append(b.passing, s)
	}
}

// suffix is the end of the names of the bus's handlers.
func (b *subject) suffix() string { return fmt.Sprint(" of bus ", b.index) }

// names reports whether name is that of a handler of the bus. What RunUntilIdle tells of
// earlier events has the context that it was called with: perhaps that of another bus's
// handler.
func (b *subject) names(name string) bool { return strings.HasSuffix(name, b.suffix()) }

func (b *subject) subscribeTo(s *subscriber) *eventbus.Subscription {
	options := append(b.optionsOf(s), eventbus.WithName(s.name))
	t := bustest.Topic(s.topic)
	switch {
	case s.typed:
		topic := eventbus.NewTopic[*entry](t, eventbus.Queue(max(b.plan.retained[s.topic], 0)), b.retainsOf(s.topic)...)
		return topic.Subscribe(b.bus, func(ctx context.Context, e *entry) error { return b.handle(ctx) }, options...)
	case s.all:
		return b.bus.SubscribeAll(b.handlerOf(s), options...)
	}
	return b.bus.Subscribe(t, b.handlerOf(s), options...)
}

// keptNear returns the first topic from t on whose last event is kept, or t if there is
// none, so that those who come late have something to come late for.
func (s *busPlan) keptNear(t int) int {
	for i := range topics {
		if n := (t + i) % topics; s.retained[n] >= 0 {
			return n
		}
	}
	return t
}

// retainsOf returns the options of the topic of type t.
func (b *subject) retainsOf(t int) (options []eventbus.TopicOption) {
	if b.plan.retained[t] >= 0 {
		options = append(options, eventbus.Retain())
	}
	return options
}

func (b *subject) optionsOf(s *subscriber) (options []eventbus.SubscribeOption) {
	if s.typed {
		options = append(options, eventbus.Use(b.record(s)), eventbus.Use(b.layersOf(s)...))
		if s.async == 2 {
			options = append(options, eventbus.WithHandlerTimeout(b.m.scaled(s.timeout)))
		}
	}
	if s.once {
		options = append(options, eventbus.Once())
	}
	if s.queue > 0 {
		options = append(options, eventbus.OnQueue(eventbus.Queue(s.queue-1)))
	}
	if s.where > 0 {
		options = append(options, eventbus.Where(b.filterOf(s)))
	}
	if s.limit > 0 {
		options = append(options, eventbus.DisableAfter(s.limit))
	}
	if s.last {
		options = append(options, eventbus.WithLast())
	}
	return options
}

// handlerOf returns the handler of s inside all that is around it, for those who
// subscribe without middleware.
func (b *subject) handlerOf(s *subscriber) eventbus.Handler {
	h := eventbus.Handler(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error { return b.handle(ctx) }))
	layers := b.layersOf(s)
	for i := range layers {
		h = layers[len(layers)-1-i](h)
	}
	return b.record(s)(h)
}

// layersOf returns what is between the record of a call and the handler of s.
func (b *subject) layersOf(s *subscriber) (layers []eventbus.Middleware) {
	if s.forgive {
		layers = append(layers, func(next eventbus.Handler) eventbus.Handler {
			return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
				_ = next.Handle(ctx, e)
				return nil
			})
		})
	}
	if s.async == 1 || s.async == 2 && !s.typed {
		layers = append(layers, func(next eventbus.Handler) eventbus.Handler {
			return eventbus.Async(next, b.m.scaled(s.timeout))
		})
	}
	return layers
}

func (b *subject) filterOf(s *subscriber) func(eventbus.Event) bool {
	return func(event eventbus.Event) bool {
		e := event.Data.(*entry)
		if s.fails(e) {
			b.fails(&failure{by: s, entry: e, panicked: true})
			s.calls.Add(1) // to be asked in vain counts as a call
			panic(bustest.ErrHandler)
		}
		return s.takes(e)
	}
}

func (b *subject) unsubscribe() {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if len(b.passing) == 0 {
		return
	}
	s := b.passing[0]
	b.passing = b.passing[1:]
	s.left.Store(b.now())
	s.sub.Unsubscribe()
	s.goneAt = time.Now()
	s.gone.Store(b.now())
	s.sub.Unsubscribe()
}
