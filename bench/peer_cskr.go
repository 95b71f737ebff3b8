package main

import (
	"context"
	"sync"

	"github.com/cskr/pubsub/v2"

	"github.com/eventbus-go/eventbus"
)

var cskr = peer{
	name: "cskr/pubsub", module: "github.com/cskr/pubsub/v2", events: 50_000, open: openCskr,
	use:       "`Pub`, `Sub`, generic, events by value",
	order:     "total: one goroutine carries everything",
	bound:     "1000 a subscriber; when one is full every publisher of every topic waits (`TryPub` drops without a word)",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program",
	cycle:     "hangs",
	source:    "`start`, `send` in pubsub.go",
}

func openCskr(hs []handler) (*carrier, error) {
	ctx := context.Background()
	ps := pubsub.New[eventbus.EventType, eventbus.Event](dataCapacity)
	var wg sync.WaitGroup
	for _, h := range hs {
		events := ps.Sub(template.Type)
		wg.Go(func() {
			for e := range events {
				_ = h(ctx, e)
			}
		})
	}
	return &carrier{
		publish: func(n int) error {
			e := template
			for range n {
				ps.Pub(e, e.Type)
			}
			return nil
		},
		close: func() error { ps.Shutdown(); wg.Wait(); return nil },
	}, nil
}
