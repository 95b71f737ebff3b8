package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

// quietly returns a started bus that logs nothing and prints handlers' failures.
func quietly(opts ...eventbus.Option) *eventbus.Bus {
	bus, err := eventbus.New(append(opts,
		eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { fmt.Println(err.Handler, "failed:", err.Err) }))...)
	if err != nil {
		log.Fatal(err)
	}
	if err := bus.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return bus
}

// send publishes an event on the order queue for each of data, and waits for
// the handlers.
func send(bus *eventbus.Bus, t eventbus.EventType, data ...any) {
	ctx := context.Background()
	for _, d := range data {
		if err := bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(t, d, "example")); err != nil {
			log.Fatal(err)
		}
	}
	if err := bus.Flush(ctx); err != nil {
		log.Fatal(err)
	}
}

func show(prefix string) func(context.Context, eventbus.Event) error {
	return func(_ context.Context, e eventbus.Event) error {
		fmt.Println(prefix, e.Type, e.Data)
		return nil
	}
}

func ExampleAsync() {
	bus := quietly()
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
	bus := quietly()
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderFilled, show("first fill:"), eventbus.Once())
	send(bus, eventbus.OrderFilled, 1, 2, 3)
	// Output: first fill: order_filled 1
}

func ExampleWhere() {
	bus := quietly()
	defer bus.Shutdown(context.Background())
	large := func(e eventbus.Event) bool { return e.Data.(int) >= 1000 }
	bus.SubscribeFunc(eventbus.OrderPlaced, show("large:"), eventbus.Where(large), eventbus.OnQueue(eventbus.OrderQueue))
	send(bus, eventbus.OrderPlaced, 100, 5000, 20)
	// Output: large: order_placed 5000
}

func ExampleBus_SubscribeAll() {
	bus := quietly()
	defer bus.Shutdown(context.Background())
	bus.SubscribeAll(eventbus.HandlerFunc(show("audit:")))
	send(bus, eventbus.OrderPlaced, "buy 100")
	send(bus, "halt", nil)
	// Output:
	// audit: order_placed buy 100
	// audit: halt <nil>
}

func ExampleDisableAfter() {
	bus := quietly()
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
	bus := quietly(eventbus.WithMiddleware(trace))
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.OrderPlaced, show("journal:"))
	send(bus, eventbus.OrderPlaced, "buy 100")
	// Output:
	// begin order_placed
	// journal: order_placed buy 100
	// end order_placed
}
