package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

// handle does the next step of a handler's script.
func (c *chaos) handle(ctx context.Context) error {
	call := ctx.Value(callKey{}).(*handlerCall)
	s := call.by
	var step step
	if s.script != nil {
		step = s.script[call.number%len(s.script)]
	}
	if s.async == 2 {
		return c.actAside(ctx, call, step)
	}
	if d, ok := eventbus.DeliveryFrom(ctx); !ok || d.Seq != call.seq || d.Handler != s.name {
		c.violated("%s, at event %d, finds the delivery %+v", s.name, call.seq, d)
	}
	return c.act(ctx, call, step)
}

func (c *chaos) act(ctx context.Context, call *handlerCall, step step) error {
	switch step.do {
	case doFail:
		return errHandler
	case doPanic:
		call.how = doPanic
		panic(errHandler)
	case doPanicNil:
		call.how = doPanicNil
		panic(nil)
	case doExit:
		runtime.Goexit()
	case doSleep:
		time.Sleep(c.scaled(step.pause))
	case doPublish, doPublishTwice, doPublishAsStranger:
		c.respond(ctx, call.entry, step)
	case doSubscribe:
		c.subscribe(step.shape, nil)
	case doUnsubscribe:
		c.unsubscribe()
	case doStop:
		c.control(control{call: callStop})
	case doStart:
		c.control(control{call: callStart})
	case doPause:
		c.control(control{call: callPause, queue: int(call.entry.queue)})
	case doResume:
		c.control(control{call: callResume, queue: int(call.entry.queue)})
	case doFlush, doStep, doShutdown:
		c.waitForMyself(ctx, step.do)
	}
	return nil
}

// waitForMyself makes calls that a handler cannot wait for.
func (c *chaos) waitForMyself(ctx context.Context, do action) {
	var err error
	switch do {
	case doFlush:
		err = c.bus.Flush(ctx)
	case doStep:
		_, err = c.bus.RunUntilIdle(ctx)
	case doShutdown:
		c.close()
		err = c.bus.Shutdown(ctx)
	}
	if !errors.Is(err, eventbus.ErrWouldDeadlock) {
		c.violated("in a handler, action %d returned %v", do, err)
	}
}

// maxAnswers bounds the events that handlers publish. Many handlers that answer
// each event with two could publish millions in a few generations.
const maxAnswers = 800

// respond publishes in answer to e.
func (c *chaos) respond(ctx context.Context, e *entry, step step) {
	p := step.publish
	if p.generations = e.generations - 1; p.generations < 0 || c.answers.Add(1) > maxAnswers {
		return
	}
	time.Sleep(c.scaled(p.pause))
	for range 1 + int(step.do-doPublish)%2 {
		if step.do == doPublishAsStranger {
			c.respondAsStranger(p, e)
			continue
		}
		c.numbers[e.queue]++
		answer := &entry{source: int(e.queue), number: c.numbers[e.queue] * numbersPerPublish}
		c.publish(ctx, p, answer, inside)
		if p.way == byTry || p.way == byWait {
			continue
		}
		e.answers++
		if p.way == byBatch {
			continue
		}
		full := errors.Is(answer.err, eventbus.ErrQueueFull)
		alone := c.plan.mode != live || c.stepping.Load() // one goroutine serves all queues, and e has freed no slot in others
		freed := !alone || p.queue == e.queue
		if full && freed && e.answers == 1 && c.plan.queues[p.queue].ruleOf(p).timeout == 0 {
			c.violated("the first answer to an event was refused with %v", answer.err)
		}
	}
}

// respondAsStranger publishes in answer to e with a context that is not the
// handler's.
func (c *chaos) respondAsStranger(p publication, e *entry) {
	if p.limit == 0 { // without one it might wait for itself
		p.limit = time.Millisecond
	}
	c.strangers[e.queue]++
	c.publish(context.Background(), p, &entry{source: firstStranger + int(e.queue), number: c.strangers[e.queue] * numbersPerPublish}, outside)
}

func (c *chaos) onError(_ context.Context, err *eventbus.HandlerError) {
	c.reported(err)
	c.mishap(true)
}

// mishap fails at every so many-th call, as the schedule says.
func (c *chaos) mishap(mayExit bool) {
	m := c.plan.trouble
	if m.n == 0 || c.mishaps.Add(1)%m.n != 0 {
		return
	}
	if m.exits && mayExit && !c.stepping.Load() {
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
	return l.chaos.plan.trouble.debug || level > slog.LevelDebug
}

func (l *troubledLogger) Handle(_ context.Context, r slog.Record) error {
	l.chaos.mishap(r.Level != slog.LevelWarn)
	return nil
}
