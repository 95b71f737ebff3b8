package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
)

func ExampleSubscription_Unsubscribe() {
	bus := running()
	var once *eventbus.Subscription
	once = bus.SubscribeFunc(eventbus.OrderFilled, func(_ context.Context, e eventbus.Event) error {
		fmt.Println("first fill:", e.Data)
		once.Unsubscribe()
		return nil
	})
	for _, id := range []int{7, 8} {
		publish1(bus, eventbus.OrderQueue, eventbus.OrderFilled, id)
	}
	fmt.Println(bus.Shutdown(context.Background()))
	// Output:
	// first fill: 7
	// <nil>
}

func ExampleBus_SubscribeAll() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeAll(eventbus.HandlerFunc(show("audit:")))
	send(bus, eventbus.OrderPlaced, "buy 100")
	send(bus, "halt", nil)
	// Output:
	// audit: order_placed buy 100
	// audit: halt <nil>
}

// A pattern gets all that happens to orders, whatever types there will be.
func ExampleBus_SubscribeMatch() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeMatch("order_*", eventbus.HandlerFunc(show("desk:")), eventbus.WithName("desk"))
	send(bus, eventbus.OrderPlaced, "buy 100")
	send(bus, "halt", nil)
	send(bus, "order_amended", "buy 80")
	desk := bus.Stats().Handlers[0]
	fmt.Println(desk.Name, desk.Pattern, desk.Calls)
	// Output:
	// desk: order_placed buy 100
	// desk: order_amended buy 80
	// desk order_* 2
}

// Risk sees an order before the broker does, whichever subscribes first.
func ExampleWithPriority() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderPlaced, show("broker:"))
	bus.SubscribeFunc(eventbus.OrderPlaced, show("risk:"), eventbus.WithPriority(10))
	send(bus, eventbus.OrderPlaced, "buy 100")
	// Output:
	// risk: order_placed buy 100
	// broker: order_placed buy 100
}

// Done says when what a handler keeps may be read without a lock.
func ExampleSubscription_Done() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	position := 0
	fills := bus.SubscribeFunc(eventbus.OrderFilled, func(_ context.Context, e eventbus.Event) error {
		position += e.Data.(int)
		return nil
	})
	send(bus, eventbus.OrderFilled, 100, -40)
	fills.Unsubscribe()
	<-fills.Done()
	fmt.Println("position:", position)
	// Output: position: 60
}

func ExampleAsync() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	risk := func(ctx context.Context, e eventbus.Event) error {
		<-ctx.Done() // a service that does not answer
		return ctx.Err()
	}
	bus.Subscribe(eventbus.OrderPlaced, eventbus.Async(eventbus.HandlerFunc(risk), 20*time.Millisecond), eventbus.WithName("risk"))
	bus.SubscribeFunc(eventbus.OrderPlaced, show("journal:"))
	send(bus, eventbus.OrderPlaced, "buy 100")
	// Output:
	// risk failed: eventbus: handler timed out after 20ms
	// journal: order_placed buy 100
}

func ExampleOnce() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderFilled, show("first fill:"), eventbus.Once())
	send(bus, eventbus.OrderFilled, 1, 2, 3)
	// Output: first fill: order_filled 1
}

func ExampleWhere() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	large := func(e eventbus.Event) bool { return e.Data.(int) >= 1000 }
	bus.SubscribeFunc(eventbus.OrderPlaced, show("large:"), eventbus.Where(large), eventbus.OnQueue(eventbus.OrderQueue))
	send(bus, eventbus.OrderPlaced, 100, 5000, 20)
	// Output: large: order_placed 5000
}

// A tap that picks one payload out of all that travels through the bus.
func ExampleWhereData() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	type price float64
	bus.SubscribeAll(eventbus.HandlerFunc(show("high:")), eventbus.WhereData(func(p price) bool { return p > 100 }))
	send(bus, "quote", price(99), price(101), "halted")
	send(bus, "trade", price(102))
	// Output:
	// high: quote 101
	// high: trade 102
}

func ExampleDisableAfter() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		return errors.New("no connection")
	}, eventbus.WithName("mirror"), eventbus.DisableAfter(2))
	send(bus, eventbus.OrderPlaced, 1, 2, 3)
	fmt.Println("disabled:", bus.Stats().Handlers[0].Disabled)
	// Output:
	// mirror failed: no connection
	// mirror failed: no connection
	// disabled: true
}

func ExampleWithMiddleware() {
	trace := func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			fmt.Println("begin", e.Type)
			err := next.Handle(ctx, e)
			fmt.Println("end", e.Type)
			return err
		})
	}
	bus := running(printFailures, eventbus.WithMiddleware(trace))
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderPlaced, show("journal:"))
	send(bus, eventbus.OrderPlaced, "buy 100")
	// Output:
	// begin order_placed
	// journal: order_placed buy 100
	// end order_placed
}

// A middleware that counts by handler looks once for whom it is.
func ExampleHandlerInfo() {
	calls := make(map[string]int)
	count := func(next eventbus.Handler) eventbus.Handler {
		name, _ := eventbus.HandlerInfo(next)
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			calls[name]++ // the handlers of one queue run one at a time
			return next.Handle(ctx, e)
		})
	}
	bus := running(printFailures, eventbus.WithMiddleware(count))
	defer bus.Shutdown(context.Background())
	quiet := func(context.Context, eventbus.Event) error { return nil }
	bus.SubscribeFunc(eventbus.OrderPlaced, quiet, eventbus.WithName("risk"))
	bus.SubscribeAll(eventbus.HandlerFunc(quiet), eventbus.WithName("audit"))
	send(bus, eventbus.OrderPlaced, 1, 2)
	send(bus, eventbus.OrderFilled, 1)
	fmt.Println(calls)
	// Output: map[audit:3 risk:2]
}

func ExampleWithErrorHandler() {
	bus := running(eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
		fmt.Println(err.Handler, "on", err.Event.Data, "panicked:", err.Panicked)
		fmt.Println(err)
	}))
	bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		panic("no price")
	}, eventbus.WithName("risk"))
	publish1(bus, eventbus.OrderQueue, eventbus.OrderPlaced, "buy 1")
	fmt.Println(bus.Shutdown(context.Background()))
	// Output:
	// risk on buy 1 panicked: true
	// eventbus: handler risk failed on order_placed of the order queue: panic: no price
	// <nil>
}

// A handler's context tells what is being delivered, so that a helper deep in
// the call tree can log it or drop what it has seen before.
func ExampleDeliveryFrom() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderPlaced, func(ctx context.Context, e eventbus.Event) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		fmt.Printf("%d. %s on the %v queue, for %s\n", d.Seq, d.Event.Data, d.Queue, d.Handler)
		return nil
	}, eventbus.WithName("journal"))
	send(bus, eventbus.OrderPlaced, "buy 100", "sell 50")
	// Output:
	// 1. buy 100 on the order queue, for journal
	// 2. sell 50 on the order queue, for journal
}
