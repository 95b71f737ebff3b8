package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// PaperBroker is a Broker without a venue: it fills an order at the open of the candle that follows it, without fees or slippage.
type PaperBroker struct {
	lot decimal.Decimal

	// Orders come on the order queue and candles on the data queue: mu keeps their processors apart.
	mu   sync.Mutex
	open []Order
}

// NewPaperBroker fills multiples of lot.
func NewPaperBroker(lot decimal.Decimal) *PaperBroker { return &PaperBroker{lot: lot} }

// OnOrder keeps the order until the next candle opens.
func (b *PaperBroker) OnOrder(_ context.Context, _ *eventbus.Bus, o Order) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = append(b.open, o)
	return nil
}

// OnOpening is told a candle's opening price before anything else about that candle, so it cannot look ahead.
func (b *PaperBroker) OnOpening(ctx context.Context, bus *eventbus.Bus, o Opening) error {
	for _, order := range b.take(o.Symbol) {
		if err := b.execute(ctx, bus, order, o); err != nil {
			return err
		}
	}
	return nil
}

func (b *PaperBroker) take(symbol string) (taken []Order) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = slices.DeleteFunc(b.open, func(o Order) bool {
		if o.Symbol == symbol {
			taken = append(taken, o)
		}
		return o.Symbol == symbol
	})
	return taken
}

// execute fills a sell whole, and a buy with as many lots as its budget covers at this price; with none the order is cancelled.
func (b *PaperBroker) execute(ctx context.Context, bus *eventbus.Bus, order Order, o Opening) error {
	quantity := order.Quantity
	if order.Side == Buy {
		quantity = decimal.Min(quantity, affordable(order.Budget, o.Price, b.lot))
	}
	if quantity.IsZero() {
		return OrderUpdate.Publish(ctx, bus, Cancellation{Order: order, Time: o.Time, Reason: "the cash does not cover a lot at the open"})
	}
	return OrderFilled.Publish(ctx, bus, Fill{Order: order, Time: o.Time, Price: o.Price, Quantity: quantity})
}
