package main

import (
	"context"
	"sync"

	"github.com/ethereum/go-ethereum/event"

	"github.com/eventbus-go/eventbus"
)

var ethereum = peer{
	name: "go-ethereum/event", module: "github.com/ethereum/go-ethereum", events: 50_000, open: openEthereum,
	use:       "`FeedOf`, subscriptions on channels of 1000",
	order:     "total: `Send` holds a lock until each subscriber has the event; subscribers in no order",
	bound:     "the subscriber's channel; when one is full every sender waits",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program",
	cycle:     "hangs",
	source:    "`Subscribe`, `Send` in event/feedof.go",
}

func openEthereum(hs []handler) (*carrier, error) {
	ctx := context.Background()
	var feed event.FeedOf[eventbus.Event]
	var wg sync.WaitGroup
	var ends []func()
	for _, h := range hs {
		events := make(chan eventbus.Event, dataCapacity)
		sub := feed.Subscribe(events)
		ends = append(ends, func() { sub.Unsubscribe(); close(events) })
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
				feed.Send(e)
			}
			return nil
		},
		close: func() error {
			for _, end := range ends {
				end()
			}
			wg.Wait()
			return nil
		},
	}, nil
}
