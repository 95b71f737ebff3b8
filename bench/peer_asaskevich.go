package main

import (
	"context"
	"errors"

	asaskevichbus "github.com/asaskevich/EventBus"

	"github.com/eventbus-go/eventbus"
)

var asaskevichSync = peer{
	name: "asaskevich/EventBus", module: "github.com/asaskevich/EventBus", events: 100_000,
	open:      openAsaskevich(func(b asaskevichbus.Bus, topic string, f any) error { return b.Subscribe(topic, f) }),
	use:       "`Subscribe`: handlers run in `Publish`, by reflection",
	order:     "total: one mutex is held while the handlers run; subscription order",
	bound:     "no queue: `Publish` returns when the handlers have",
	isolation: "none: a panic reaches the publisher, a slow handler holds up every topic, errors are ignored",
	cycle:     "hangs always: the mutex is held",
	source:    "`Publish`, `doPublish` in event_bus.go",
}

var asaskevichAsync = peer{
	name: "asaskevich/EventBus, async", module: "github.com/asaskevich/EventBus", events: 100_000,
	open: openAsaskevich(func(b asaskevichbus.Bus, topic string, f any) error {
		return b.SubscribeAsync(topic, f, true)
	}),
	use:       "`SubscribeAsync` with transactional set: a goroutine for each event and handler",
	order:     "of one publisher, for each handler; the handlers of an event run at once",
	bound:     "one event in flight a handler; the publisher waits for it",
	isolation: "none: a panic ends the program, errors are ignored",
	cycle:     "hangs always: the handler's mutex is held until it returns",
	source:    "`Publish`, `doPublishAsync` in event_bus.go",
}

func openAsaskevich(subscribe func(b asaskevichbus.Bus, topic string, f any) error) opener {
	return func(hs []handler) (*carrier, error) {
		ctx := context.Background()
		b := asaskevichbus.New()
		topic := string(template.Type)
		var failed error
		for _, h := range hs {
			failed = errors.Join(failed, subscribe(b, topic, func(e eventbus.Event) { _ = h(ctx, e) }))
		}
		return &carrier{
			publish: func(n int) error {
				e := template
				for range n {
					b.Publish(topic, e)
				}
				return nil
			},
			close: func() error { b.WaitAsync(); return nil },
		}, failed
	}
}
