package chaos

import (
	"context"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// handle does the next step of a handler's script.
func (b *subject) handle(ctx context.Context) error {
	call := callOf(ctx)
	s := call.by
	var step step
	if s.script != nil {
		step = s.script[call.number%len(s.script)]
	}
	if s.async == 2 {
		return b.actAside(ctx, call, step)
	}
	if d, ok := eventbus.DeliveryFrom(ctx); !ok || d.Seq != call.seq || d.Handler != s.name {
		b.violated("%s, at event %d, finds the delivery %+v", s.name, call.seq, d)
	}
	return b.act(ctx, call, step)
}

func (b *subject) act(ctx context.Context, call *handlerCall, step step) error {
	switch step.do {
	case doFail:
		return bustest.ErrHandler
	case doPanic:
		call.how = doPanic
		panic(bustest.ErrHandler)
	case doPanicNil:
		call.how = doPanicNil
		panic(nil)
	case doExit:
		runtime.Goexit()
	case doSleep:
		time.Sleep(b.m.scaled(step.pause))
	case doPublish, doPublishTwice, doPublishSlowly, doPublishAsStranger, doPublishLater, doPublishStorm, doReturnWait:
		return b.respond(ctx, call, step)
	case doSubscribe:
		b.subscribe(step.shape, nil)
	case doUnsubscribe:
		b.unsubscribe()
	case doControl:
		b.meddle(ctx, call, step.control)
	}
	return nil
}

// respond publishes in answer to the event of a call.
func (b *subject) respond(ctx context.Context, call *handlerCall, step step) error {
	p, n := step.publish, b.m.answers.Add(1)
	if p.generations = call.entry.generations - 1; p.generations < 0 || n > b.m.plan.answers {
		return nil
	}
	to := b.m.subjects[p.bus]
	if n%8 == 0 {
		to.look()
	}
	time.Sleep(b.m.scaled(p.pause))
	switch step.do {
	case doPublishAsStranger:
		b.respondAsStranger(p, call.entry)
		return nil
	case doPublishLater:
		b.respondLater(ctx, call, p, step.pause)
		return nil
	}
	if step.do == doPublishSlowly {
		time.Sleep(b.m.scaled(step.pause))
	}
	e := b.answer(ctx, call, p)
	switch step.do {
	case doReturnWait:
		return e.err
	case doPublishSlowly:
		time.Sleep(b.m.scaled(step.pause))
		b.answer(ctx, call, p)
	case doPublishTwice:
		b.answer(ctx, call, p)
	case doPublishStorm:
		for n := 0; e.err == nil && n < stormSize; n++ {
			e = b.answer(ctx, call, p)
		}
	}
	return nil
}

// stormSize is how many events a handler publishes that goes on until it is
// refused.
const stormSize = 60

// answer publishes one event, as the handler of a call.
func (b *subject) answer(ctx context.Context, call *handlerCall, p publication) *entry {
	to, q := b.m.subjects[p.bus], call.entry.queue
	b.numbers[q]++
	e := &entry{source: b.source(q), number: b.numbers[q] * numbersPerPublish, by: call}
	to.publish(ctx, p, e, call.stanceAt(to))
	return e
}

// respondAsStranger publishes in answer to e with a context that is not the
// handler's.
func (b *subject) respondAsStranger(p publication, e *entry) {
	if p.limit == 0 { // without one it might wait for itself
		p.limit = time.Millisecond
	}
	to := b.m.subjects[p.bus]
	b.strangers[e.queue]++
	source := firstStranger + 3*b.index + int(e.queue)
	to.publish(context.Background(), p, &entry{source: source, number: b.strangers[e.queue] * numbersPerPublish}, outside)
}

// The numbers of sources: the publishers, the handlers of each queue of each
// bus, the same with a context that is not theirs, and all others.
const (
	firstPublisher = 0
	firstHandler   = 20
	firstStranger  = firstHandler + 3*maxBuses
	firstOther     = firstStranger + 3*maxBuses
)

// source returns the number of the handlers of queue q of b.
func (b *subject) source(q eventbus.Queue) int { return firstHandler + 3*b.index + int(q) }

// otherSource returns a number that nobody else has.
func (m *machine) otherSource() int { return firstOther + int(m.sources.Add(1)) }
