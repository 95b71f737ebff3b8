package main

import (
	"context"
	"fmt"
	"sync"

	watermilllib "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/eventbus-go/eventbus"
)

var watermill = peer{
	name: "ThreeDotsLabs/watermill", module: "github.com/ThreeDotsLabs/watermill", events: 20_000, open: openWatermill,
	use:       "gochannel, `BlockPublishUntilSubscriberAck`; a new message with a shared 72-byte payload and no UUID for each event, no encoding",
	order:     "total on a topic with that setting; none without: each message is sent by a goroutine of its own",
	bound:     "one message in flight a topic with that setting; unbounded goroutines without",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program unless the Router's Recoverer is added; Nack sends again at once, for ever",
	cycle:     "hangs always: the topic's mutex is held until the ack",
	source:    "`Publish`, `sendMessage`, `sendMessageToSubscriber` in pubsub/gochannel/pubsub.go",
}

func openWatermill(hs []handler) (*carrier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	ps := gochannel.NewGoChannel(gochannel.Config{
		OutputChannelBuffer:            dataCapacity,
		BlockPublishUntilSubscriberAck: true,
	}, watermilllib.NopLogger{})
	topic := string(template.Type)
	var wg sync.WaitGroup
	for _, h := range hs {
		messages, err := ps.Subscribe(ctx, topic)
		if err != nil {
			cancel()
			return nil, err
		}
		wg.Go(func() {
			for m := range messages {
				_ = h(ctx, eventbus.Event{Type: template.Type, Data: m})
				m.Ack()
			}
		})
	}
	return &carrier{
		publish: func(n int) error {
			payload := fmt.Appendf(nil, "%-72.72s", template.Source)
			for range n {
				if err := ps.Publish(topic, message.NewMessage("", payload)); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() error { err := ps.Close(); wg.Wait(); cancel(); return err },
	}, nil
}
