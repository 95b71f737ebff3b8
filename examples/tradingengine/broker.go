package main

import (
	"context"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// broker is the exchange on paper: it fills an order at the open of the candle that follows it, without fees or slippage.
type broker struct {
	bus *eventbus.Bus
	lot decimal.Decimal

	// Orders come on the order queue and candles on the data queue: mu keeps their processors apart.
	mu        sync.Mutex
	open      []Order
	cancelled int
}

func newBroker(bus *eventbus.Bus, lot decimal.Decimal) *broker {
	return &broker{bus: bus, lot: lot}
}

func (b *broker) onOrder(_ context.Context, o Order) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = append(b.open, o)
	return nil
}

// onOpen is told a candle's opening price before anything else about that candle, so it cannot look ahead.
func (b *broker) onOpen(ctx context.Context, o Opening) error {
	for _, order := range b.take() {
		if err := b.execute(ctx, order, o); err != nil {
			return err
		}
	}
	return nil
}

func (b *broker) take() []Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.open
	b.open = nil
	return open
}

// execute fills a sell whole, and a buy with as many lots as its budget covers at this price; with none the order is cancelled.
func (b *broker) execute(ctx context.Context, order Order, o Opening) error {
	quantity := order.Quantity
	if order.Side == Buy {
		quantity = decimal.Min(quantity, affordable(order.Budget, o.Price, b.lot))
	}
	if quantity.IsZero() {
		b.mu.Lock()
		b.cancelled++
		b.mu.Unlock()
		return orderUpdate.Publish(ctx, b.bus, Cancellation{Order: order, Time: o.Time, Reason: "the cash does not cover a lot at the open"})
	}
	return orderFilled.Publish(ctx, b.bus, Fill{Order: order, Time: o.Time, Price: o.Price, Quantity: quantity})
}
