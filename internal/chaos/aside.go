package chaos

import (
	"context"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// An Async handler with a timeout does less than others: once it is abandoned,
// it runs beside the handlers that come after it.

// actAside does a step of such a handler.
func (b *subject) actAside(ctx context.Context, call *handlerCall, step step) error {
	stray := &handlerCall{by: call.by, entry: call.entry}
	defer b.endAside(stray)
	switch step.do {
	case doFail:
		return bustest.ErrHandler
	case doPanic, doPanicNil:
		call.how = step.do
		panic(bustest.ErrHandler)
	case doExit:
		runtime.Goexit()
	case doSleep:
		time.Sleep(b.m.scaled(step.pause))
		return ctx.Err()
	case doPublish, doPublishTwice, doPublishSlowly, doPublishAsStranger, doPublishLater, doPublishStorm, doReturnWait:
		time.Sleep(b.m.scaled(step.pause))
		if step.do == doPublishAsStranger {
			ctx = context.WithoutCancel(ctx) // and so anybody's
		}
		b.respondAside(ctx, call, step.publish, step.do == doPublishAsStranger)
	case doControl:
		b.retryAside(ctx, call, step.pause)
	}
	return nil
}

// retryAside makes an Async call inside the call, as a retry does. It may outlive
// the call, or begin when that was given up, and belongs to the bus all the same.
func (b *subject) retryAside(ctx context.Context, call *handlerCall, pause time.Duration) {
	b.m.asides.Add(1)
	b.m.aside.Add(1)
	limit := b.m.scaled(time.Millisecond)
	inner := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
		defer b.endAside(&handlerCall{by: call.by, entry: call.entry})
		began := time.Now()
		time.Sleep(b.m.scaled(pause))
		if b.inBubble && time.Since(began) > limit && b.bus.Stats().Abandoned == 0 {
			b.violated("a call that Async has given up on runs, and is not counted")
		}
		return nil
	})
	time.Sleep(b.m.scaled(pause))
	event := eventbus.Event{Type: bustest.Topic(call.entry.topic), Data: call.entry}
	_ = eventbus.Async(inner, limit).Handle(ctx, event)
}

func (b *subject) endAside(stray *handlerCall) {
	stray.ended = b.now()
	b.mu.Lock()
	b.strays = append(b.strays, stray)
	b.mu.Unlock()
	b.m.aside.Add(-1)
}

// respondAside publishes p, after the call has run for some time. A publish that
// begins after the call's failure was reported comes from nobody; one that begins
// before may turn out to be that of a handler.
func (b *subject) respondAside(ctx context.Context, call *handlerCall, p publication, cutOff bool) {
	if p.generations = call.entry.generations - 1; p.generations < 0 {
		return
	}
	from := either
	switch over := call.reported.Load() != 0; {
	case over && p.context == brokenContext: // it does not say that it has ended, and so is cut off
		from = outside
	case over && !cutOff:
		from = abandoned
	}
	if p.limit == 0 {
		p.limit = time.Second // the call is not one that a bus helps for ever
	}
	b.m.subjects[p.bus].publish(ctx, p, &entry{source: b.m.otherSource(), by: call}, from)
}

// respondLater publishes p on a goroutine, with the context of a handler that
// may have returned by then. Law: a handler is whoever publishes with its context.
func (b *subject) respondLater(ctx context.Context, call *handlerCall, p publication, pause time.Duration) {
	if p.limit == 0 {
		p.limit = time.Second
	}
	b.m.asides.Add(1)
	b.m.aside.Add(1)
	go func() {
		defer b.m.aside.Add(-1)
		time.Sleep(b.m.scaled(pause))
		// The context of an Async call ends when it has returned.
		e, to := &entry{source: b.m.otherSource(), by: call, later: true, bounded: call.by.async != 0}, b.m.subjects[p.bus]
		to.publish(ctx, p, e, call.stanceAt(to))
	}()
}
