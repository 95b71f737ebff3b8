package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	mobypubsub "github.com/moby/pubsub"

	"github.com/eventbus-go/eventbus"
)

var moby = peer{
	name: "moby/pubsub", module: "github.com/moby/pubsub", events: 20_000, open: openMoby,
	use:       "`NewPublisher(100ms, 1000)`, the timeout that Docker's daemon sets; events boxed",
	order:     "of each publisher; subscribers in no order",
	bound:     "1000 a subscriber; full for the timeout: the event is dropped without a word and not counted",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program",
	cycle:     "waits for the timeout, then the event is lost",
	source:    "`Publish`, `sendTopic` in publisher.go",
}

// A mobyMark follows the last event through each subscriber's channel.
type mobyMark struct{ passed chan<- struct{} }

func openMoby(hs []handler) (*carrier, error) {
	ctx := context.Background()
	p := mobypubsub.NewPublisher(100*time.Millisecond, dataCapacity)
	var wg sync.WaitGroup
	for _, h := range hs {
		events := p.Subscribe()
		wg.Go(func() {
			for v := range events {
				switch v := v.(type) {
				case eventbus.Event:
					_ = h(ctx, v)
				case mobyMark:
					v.passed <- struct{}{}
				}
			}
		})
	}
	return &carrier{
		publish: func(n int) error {
			e := template
			for range n {
				p.Publish(e)
			}
			return nil
		},
		settle: func() error { return settleMoby(p, len(hs)) },
		close:  func() error { p.Close(); wg.Wait(); return nil },
	}, nil
}

// settleMoby returns when every subscriber has met the mark, and so has handled all it will get.
func settleMoby(p *mobypubsub.Publisher, subscribers int) error {
	passed := make(chan struct{}, subscribers)
	p.Publish(mobyMark{passed})
	for range subscribers {
		select {
		case <-passed:
		case <-time.After(patience):
			return fmt.Errorf("the mark behind the last event was lost or is stuck")
		}
	}
	return nil
}
