package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

// publish publishes what e stands for, as p says.
func (c *chaos) publish(ctx context.Context, p publication, e *entry, inHandler bool) {
	e.queue, e.topic, e.generations, e.outside = p.queue, p.topic, p.generations, !inHandler
	p.limit = c.scaled(p.limit)
	if p.limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.limit)
		defer cancel()
	}
	c.enter(e)
	method := c.bus.Publish
	if p.try {
		method = c.bus.TryPublish
	}
	e.at = time.Now()
	err := method(ctx, p.queue, eventbus.Event{Type: topic(p.topic), Data: e})
	took := time.Since(e.at)
	e.err, e.settled = err, c.now()
	ok, within := permitted(c.schedule.queues[p.queue], p, inHandler, c.closing.Load(), err)
	if !ok {
		c.violated("%+v, in a handler: %v, returned %v", p, inHandler, err)
	}
	if within >= 0 && took > within && !c.realTime {
		c.violated("%+v, in a handler: %v, returned %v after %v", p, inHandler, err, took)
	}
}

// handle is the handler of s.
func (c *chaos) handle(s *subscriber) func(context.Context, eventbus.Event) error {
	return func(ctx context.Context, event eventbus.Event) error {
		e := event.Data.(*entry)
		defer c.begin(s, e)()
		n := int(s.calls.Add(1)) - 1
		if s.plan == nil {
			return nil
		}
		return c.act(ctx, s, e, s.plan.script[n%len(s.plan.script)])
	}
}

func (c *chaos) act(ctx context.Context, s *subscriber, e *entry, step step) error {
	switch step.do {
	case doFail:
		c.fails(s, e, false)
		return errHandler
	case doPanic:
		c.fails(s, e, true)
		panic(errHandler)
	case doPanicNil:
		c.fails(s, e, true)
		panic(nil)
	case doExit:
		c.fails(s, e, false)
		runtime.Goexit()
	case doSleep:
		time.Sleep(c.scaled(step.pause))
	case doPublish, doPublishTwice, doPublishAsStranger:
		c.respond(ctx, e, step)
	case doFlush:
		if err := c.bus.Flush(ctx); !errors.Is(err, eventbus.ErrWouldDeadlock) {
			c.violated("in a handler, Flush returned %v", err)
		}
	case doShutdown:
		c.closing.Store(true)
		if err := c.bus.Shutdown(ctx); !errors.Is(err, eventbus.ErrWouldDeadlock) {
			c.violated("in a handler, Shutdown returned %v", err)
		}
	case doSubscribe:
		c.control(control{call: callSubscribe, topic: e.topic})
	case doUnsubscribe:
		c.control(control{call: callUnsubscribe})
	case doStop:
		c.control(control{call: callStop})
	case doStart:
		c.control(control{call: callStart})
	}
	return nil
}

// respond publishes in answer to e.
func (c *chaos) respond(ctx context.Context, e *entry, step step) {
	p := step.publish
	if p.generations = e.generations - 1; p.generations < 0 {
		return
	}
	time.Sleep(c.scaled(p.pause))
	stranger := step.do == doPublishAsStranger
	if stranger {
		ctx = context.Background()
		if p.limit == 0 { // without one it might wait for itself
			p.limit = time.Millisecond
		}
	}
	for range 1 + int(step.do-doPublish)%2 {
		c.numbers[e.queue]++
		answer := &entry{source: int(e.queue), number: c.numbers[e.queue]}
		c.publish(ctx, p, answer, !stranger)
		if stranger || p.try {
			continue
		}
		e.answers++
		full := errors.Is(answer.err, eventbus.ErrQueueFull)
		if full && e.answers == 1 && c.schedule.queues[p.queue].Timeout == 0 {
			c.violated("the first answer to an event was refused with %v", answer.err)
		}
	}
}

func (c *chaos) fails(s *subscriber, e *entry, panics bool) {
	c.queues[e.queue].failures.Add(1)
	s.failures.Add(1)
	if panics {
		c.queues[e.queue].panics.Add(1)
		s.panics.Add(1)
	}
	e.calls[len(e.calls)-1].failed = true
}

func (c *chaos) onError(_ context.Context, err *eventbus.HandlerError) {
	e := err.Event.Data.(*entry)
	last := e.calls[len(e.calls)-1]
	if err.Queue != e.queue || err.Handler != last.by.name || !last.failed {
		c.violated("reported: %v", err)
	}
	c.queues[e.queue].reports.Add(1)
	c.mishap(true)
}

// control makes a call and sees to it that its result is in order.
func (c *chaos) control(do control) {
	ctx, limit := context.Background(), c.scaled(do.limit)
	if limit != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		c.subMu.Lock()
		c.contexts = append(c.contexts, cancel)
		c.subMu.Unlock()
	}
	began := time.Now()
	var err error
	switch do.call {
	case callStart:
		err, limit = c.bus.Start(ctx), 0
	case callStop:
		c.bus.Stop()
	case callFlush:
		err = c.flush(ctx)
	case callStats:
		c.look()
	case callSubscribe:
		c.subscribe(do.topic, nil)
	case callUnsubscribe:
		c.unsubscribe()
	case callShutdown:
		c.shutdown(ctx)
	}
	waits := do.call == callFlush || do.call == callShutdown
	if took := time.Since(began); !c.realTime && (took > max(limit, 0) && (limit != 0 || !waits)) {
		c.violated("%+v took %v", do, took)
	}
	switch {
	case err == nil:
	case errors.Is(err, eventbus.ErrRunning) && do.call == callStart:
	case errors.Is(err, eventbus.ErrNotRunning) && do.call == callFlush:
	case errors.Is(err, eventbus.ErrClosed) && c.closing.Load():
	case errors.Is(err, context.DeadlineExceeded) && do.limit != 0:
	default:
		c.violated("%+v returned %v", do, err)
	}
}

func (c *chaos) flush(ctx context.Context) error {
	f := flushed{began: c.now()}
	err := c.bus.Flush(ctx)
	f.ended = c.now()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flushes = append(c.flushes, f)
	}
	return err
}

func (c *chaos) shutdown(ctx context.Context) {
	c.closing.Store(true)
	call := &shutdownCall{began: c.now()}
	call.err = c.bus.Shutdown(ctx)
	call.ended = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutdowns = append(c.shutdowns, call)
}

// look sees to it that what Stats says of a busy bus is possible.
func (c *chaos) look() {
	for _, q := range c.bus.Stats().Queues {
		if q.Depth > q.Capacity && !c.closing.Load() || q.HighWater > q.Capacity || q.Handled+q.Evicted > q.Accepted {
			c.violated("%+v", q)
		}
	}
}

func (c *chaos) subscribe(topicNumber int, plan *handlerPlan) {
	c.subMu.Lock()
	defer c.subMu.Unlock()
	s := &subscriber{topic: topicNumber, plan: plan, order: len(c.subscribers)}
	s.name = fmt.Sprint("handler ", s.order)
	s.sub = c.bus.SubscribeFunc(topic(topicNumber), c.handle(s), eventbus.WithName(s.name))
	s.subscribed = c.now()
	c.subscribers = append(c.subscribers, s)
	if plan == nil {
		c.passing = append(c.passing, s)
	}
}

func (c *chaos) unsubscribe() {
	c.subMu.Lock()
	defer c.subMu.Unlock()
	if len(c.passing) == 0 {
		return
	}
	s := c.passing[0]
	c.passing = c.passing[1:]
	s.left.Store(c.now())
	s.sub.Unsubscribe()
	s.gone.Store(c.now())
	s.sub.Unsubscribe()
}

// mishap fails at every so many-th call, as the schedule says.
func (c *chaos) mishap(mayExit bool) {
	m := c.schedule.trouble
	if m.n == 0 || c.mishaps.Add(1)%m.n != 0 {
		return
	}
	if m.exits && mayExit {
		runtime.Goexit()
	}
	panic("mishap")
}

// A troubledLogger has mishaps. It leaves goroutines of publishers alone: those
// log what is dropped, at WARN, and who ends his own goroutine in a logger has
// himself to blame.
type troubledLogger struct {
	slog.Handler
	chaos *chaos
}

func (l *troubledLogger) Enabled(_ context.Context, level slog.Level) bool {
	return l.chaos.schedule.trouble.debug || level > slog.LevelDebug
}

func (l *troubledLogger) Handle(_ context.Context, r slog.Record) error {
	l.chaos.mishap(r.Level != slog.LevelWarn)
	return nil
}
