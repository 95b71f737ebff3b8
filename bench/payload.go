package main

import (
	"context"

	"github.com/eventbus-go/eventbus"
)

// A payload is something for Event.Data to hold, and the two ways to send it.
type payload struct {
	name      string
	bus, hand opener
}

var payloads = []payload{
	payloadOf("pointer", &candle{Close: 1}),
	payloadOf("64 B value", candle{Close: 1}),
	payloadOf("1 KiB value", [16]candle{{Close: 1}}),
}

// payloadOf sends data by assigning it to Event.Data for every event, which allocates unless T is a pointer.
func payloadOf[T any](name string, data T) payload {
	return payload{
		name: name,
		bus: func(hs []handler) (*carrier, error) {
			return busCarrier(subscribeAll(hs), func(ctx context.Context, b *eventbus.Bus, n int) error {
				e := template
				for range n {
					e.Data = data
					if err := b.Publish(ctx, eventbus.DataQueue, e); err != nil {
						return err
					}
				}
				return nil
			})
		},
		hand: func(hs []handler) (*carrier, error) {
			return handCarrier(func(ctx context.Context, ch <-chan eventbus.Event) {
				consume(ctx, ch, hs)
			}, func(ch chan<- eventbus.Event, n int) {
				e := template
				for range n {
					e.Data = data
					ch <- e
				}
			}), nil
		},
	}
}
