package main

import (
	"context"
	"sync"

	tailscalebus "tailscale.com/util/eventbus"

	"github.com/eventbus-go/eventbus"
)

var tailscale = peer{
	name: "tailscale/util/eventbus", module: "tailscale.com", events: 20_000, open: openTailscale,
	use:       "a `Publisher` a publisher, a `Client` with a `Subscriber` a handler; events boxed",
	order:     "total: one goroutine carries everything; a goroutine for each handler",
	bound:     "16 on the way to the subscribers, each of which has an unbounded list",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program; a slow one is logged",
	cycle:     "never full: memory grows",
	source:    "`pump` in bus.go, `pump`, `dispatch` in subscribe.go",
}

func openTailscale(hs []handler) (*carrier, error) {
	ctx := context.Background()
	b := tailscalebus.New()
	var wg sync.WaitGroup
	for _, h := range hs {
		sub := tailscalebus.Subscribe[eventbus.Event](b.Client("handler"))
		wg.Go(func() {
			for {
				select {
				case e := <-sub.Events():
					_ = h(ctx, e)
				case <-sub.Done():
					return
				}
			}
		})
	}
	publishers := b.Client("publishers")
	return &carrier{
		publish: func(n int) error {
			p := tailscalebus.Publish[eventbus.Event](publishers)
			defer p.Close()
			e := template
			for range n {
				p.Publish(e)
			}
			return nil
		},
		close: func() error { b.Close(); wg.Wait(); return nil },
	}, nil
}
