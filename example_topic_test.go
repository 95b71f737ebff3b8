package eventbus_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

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
