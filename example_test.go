package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/eventbus-go/eventbus"
)

func Example() {
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, e eventbus.Event) error {
		fmt.Println("close at", e.Data)
		return bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent(eventbus.SignalGenerated, "BUY", "strategy"))
	})
	bus.SubscribeFunc(eventbus.SignalGenerated, func(_ context.Context, e eventbus.Event) error {
		fmt.Println(e.Data, "from", e.Source)
		return nil
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent(eventbus.CandleClosed, 101.5, "feed")); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil { // handles what is queued, and what that publishes
		log.Fatal(err)
	}
	// Output:
	// close at 101.5
	// BUY from strategy
}

func ExampleBus_Shutdown_handBack() {
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	order := eventbus.NewEvent(eventbus.OrderPlaced, "buy 1", "orders")
	if err := bus.Publish(context.Background(), eventbus.OrderQueue, order); err != nil {
		log.Fatal(err)
	}
	var left *eventbus.ShutdownError
	if errors.As(bus.Shutdown(context.Background()), &left) {
		fmt.Println(left)
		fmt.Println(left.Remaining[eventbus.OrderQueue][0].Data)
	}
	// Output:
	// eventbus: shutdown: events left: 1 on the order queue: eventbus: bus is not running
	// buy 1
}
