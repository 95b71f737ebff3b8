package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/eventbus-go/eventbus"
)

// typedEvents returns n events, each of a type of its own.
func typedEvents(n int) []eventbus.Event {
	events := make([]eventbus.Event, n)
	for i := range events {
		events[i] = typed(eventbus.EventType(fmt.Sprintf("tick_%05d", i)))
	}
	return events
}

// openBusTypes gives every handler a type of its own and publishes the types in turn.
func openBusTypes(hs []handler) (*carrier, error) {
	events := typedEvents(len(hs))
	return busCarrier(func(b *eventbus.Bus) {
		for i, h := range hs {
			b.SubscribeFunc(events[i].Type, h)
		}
	}, func(ctx context.Context, b *eventbus.Bus, n int) error {
		next := 0
		for range n {
			if err := b.Publish(ctx, eventbus.DataQueue, events[next]); err != nil {
				return err
			}
			if next++; next == len(events) {
				next = 0
			}
		}
		return nil
	})
}

// openHandTypes is the cheapest loop for many types: a map from type to handlers that nobody changes.
func openHandTypes(hs []handler) (*carrier, error) {
	events := typedEvents(len(hs))
	routes := make(map[eventbus.EventType][]handler, len(hs))
	for i, h := range hs {
		routes[events[i].Type] = []handler{h}
	}
	return handCarrier(func(ctx context.Context, ch <-chan eventbus.Event) {
		for e := range ch {
			for _, h := range routes[e.Type] {
				if err := h(ctx, e); err != nil {
					slog.Error("handler failed", "error", err)
				}
			}
		}
	}, func(ch chan<- eventbus.Event, n int) {
		next := 0
		for range n {
			ch <- events[next]
			if next++; next == len(events) {
				next = 0
			}
		}
	}), nil
}
