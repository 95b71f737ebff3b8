package eventbus_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

type Order struct {
	ID  int
	Qty int
}

// Orders is checked by the compiler on both sides.
var Orders = eventbus.NewTopic[*Order](eventbus.OrderPlaced, eventbus.OrderQueue)

func ExampleTopic() {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)), eventbus.WithErrorHandler(
		func(_ context.Context, err *eventbus.HandlerError) { fmt.Println(err.Err) }))
	if err != nil {
		log.Fatal(err)
	}
	Orders.Subscribe(bus, func(_ context.Context, o *Order) error {
		fmt.Println("order", o.ID, "over", o.Qty)
		return nil
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	_ = Orders.Publish(ctx, bus, &Order{ID: 1, Qty: 100})
	_ = bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, "buy 100", "a script"))
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order 1 over 100
	// eventbus: wrong payload type: the event carries a string, the topic order_placed takes a *eventbus_test.Order
}

// A strategy that starts in the middle of the day first gets the last price.
func ExampleRetain() {
	price := eventbus.NewTopic[float64]("price", eventbus.DataQueue, eventbus.Retain())
	bus := quietly()
	defer bus.Shutdown(context.Background())
	ctx := context.Background()
	for _, p := range []float64{99.5, 100.25} {
		if err := price.Publish(ctx, bus, p); err != nil {
			log.Fatal(err)
		}
	}
	price.Subscribe(bus, func(_ context.Context, p float64) error {
		fmt.Println("price:", p)
		return nil
	}, eventbus.WithLast())
	if err := bus.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: price: 100.25
}

// Of each symbol the last price is enough, and it must not be old. Candles on the
// same queue are all kept.
func ExampleWithConflateBy() {
	type price struct {
		symbol string
		value  float64
	}
	prices := eventbus.NewTopic[price]("price", eventbus.DataQueue,
		eventbus.WithConflateBy(func(p price) string { return p.symbol }),
		eventbus.WithMaxAge(time.Second))
	candles := eventbus.NewTopic[string]("candle", eventbus.DataQueue)

	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	prices.Subscribe(bus, func(_ context.Context, p price) error { fmt.Println(p.symbol, p.value); return nil })
	candles.Subscribe(bus, func(_ context.Context, c string) error { fmt.Println(c); return nil })

	ctx := context.Background()
	for i, value := range []float64{64000, 64001, 64002} {
		if err := prices.Publish(ctx, bus, price{"BTC", value}); err != nil {
			log.Fatal(err)
		}
		if err := candles.Publish(ctx, bus, fmt.Sprint("candle ", i)); err != nil {
			log.Fatal(err)
		}
	}
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// BTC 64002
	// candle 0
	// candle 1
	// candle 2
}
