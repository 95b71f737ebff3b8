package eventbus_test

import (
	"context"
	"runtime"
	"time"
)

// An Async handler with a timeout does less than others: once it is abandoned,
// it runs beside the handlers that come after it.

// actAside does a step of such a handler.
func (c *chaos) actAside(ctx context.Context, call *handlerCall, step step) error {
	began := time.Now()
	stray := &handlerCall{by: call.by, entry: call.entry}
	defer c.endAside(stray)
	switch step.do {
	case doFail:
		return errHandler
	case doPanic, doPanicNil:
		call.how = step.do
		panic(errHandler)
	case doExit:
		runtime.Goexit()
	case doSleep:
		time.Sleep(c.scaled(step.pause))
		return ctx.Err()
	case doPublish, doPublishTwice, doPublishAsStranger:
		time.Sleep(c.scaled(step.pause))
		c.respondAside(ctx, call, step.publish, time.Since(began))
	}
	return nil
}

func (c *chaos) endAside(stray *handlerCall) {
	stray.ended = c.now()
	c.mu.Lock()
	c.strays = append(c.strays, stray)
	c.mu.Unlock()
	c.aside.Add(-1)
}

// respondAside publishes p, after the call has run for some time. In a bubble,
// what comes after the timeout comes from somebody who is not the handler any
// more; what comes before it may turn out to be his before it is done.
func (c *chaos) respondAside(ctx context.Context, call *handlerCall, p publication, ran time.Duration) {
	if p.generations = call.entry.generations - 1; p.generations < 0 {
		return
	}
	from := either
	if c.inBubble && ran > call.by.timeout {
		from = outside
		ctx = context.WithoutCancel(ctx)
		if p.limit == 0 {
			p.limit = time.Second
		}
	}
	source := firstAside + int(c.sources.Add(1))
	c.publish(ctx, p, &entry{source: source}, from)
}

// The numbers of sources: three queues' handlers, the publishers, then the
// handlers of three queues with a context that is not theirs, and these.
const (
	firstPublisher = 3
	firstStranger  = 20
	firstAside     = 30
)
