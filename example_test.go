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

// Options replace defaults, and New says which one is wrong.
func ExampleNew() {
	bus, err := eventbus.New(
		eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 10_000, Overflow: eventbus.DropOldest}),
		eventbus.WithSlowHandler(50*time.Millisecond),
	)
	if err != nil {
		log.Fatal(err)
	}
	data := bus.Stats().Queues[eventbus.DataQueue]
	fmt.Println(data.Capacity, data.Overflow)

	_, err = eventbus.New(eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{}))
	fmt.Println(err)
	// Output:
	// 10000 drop oldest
	// eventbus: New: WithQueue: order queue: the capacity is 0, want 1 to 16777216
}

func ExampleParseQueue() {
	fmt.Println(eventbus.ParseQueue("order"))
	_, err := eventbus.ParseQueue("orders")
	fmt.Println(err)
	// Output:
	// order <nil>
	// eventbus: unknown queue: "orders"; want "data", "signal" or "order"
}

func ExampleStats() {
	bus := running()
	bus.SubscribeFunc(eventbus.OrderFilled, func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("portfolio"))
	publish1(bus, eventbus.OrderQueue, eventbus.OrderFilled, 7)
	publish1(bus, eventbus.OrderQueue, eventbus.OrderUpdate, 8)
	_ = bus.Shutdown(context.Background())
	stats := bus.Stats()
	orders := stats.Queues[eventbus.OrderQueue]
	fmt.Println(orders.Accepted, "accepted,", orders.Handled, "handled,", orders.Unhandled, "of them by nobody")
	fmt.Println(stats.Handlers[0].Name, stats.Handlers[0].Calls)
	// Output:
	// 2 accepted, 2 handled, 1 of them by nobody
	// portfolio 1
}

// With a single thread what only handlers touch needs no lock.
func ExampleWithSingleThread() {
	bus := running(printFailures, eventbus.WithSingleThread())
	position := 0
	bus.SubscribeFunc(eventbus.OrderFilled, func(_ context.Context, e eventbus.Event) error {
		position += e.Data.(int)
		return nil
	})
	bus.SubscribeFunc(eventbus.CandleClosed, func(_ context.Context, e eventbus.Event) error {
		fmt.Println("position at the close:", position)
		return nil
	})
	ctx := context.Background()
	send(bus, eventbus.OrderFilled, 100, -30)
	if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent(eventbus.CandleClosed, 101.5, "feed")); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: position at the close: 70
}

// A program that has a core to spare for each queue looks for events for 50 µs
// before it sleeps.
func ExampleWithSpin() {
	bus, err := eventbus.New(eventbus.WithSpin(50 * time.Microsecond))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
		fmt.Println("tick", e.Data)
		return nil
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", 1, "feed")); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: tick 1
}

// Flush waits for cascades too: when it returns, the signal is handled.
func ExampleBus_Flush() {
	bus := running()
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent(eventbus.SignalGenerated, e.Data, "strategy"))
	})
	signals := 0
	bus.SubscribeFunc(eventbus.SignalGenerated, func(context.Context, eventbus.Event) error {
		signals++
		return nil
	})
	for _, price := range []float64{101.5, 102, 99} {
		publish1(bus, eventbus.DataQueue, eventbus.CandleClosed, price)
	}
	fmt.Println(bus.Flush(context.Background()), signals)
	// Output: <nil> 3
}

// Signals stand still while orders go through.
func ExampleBus_Pause() {
	bus := running(printFailures)
	bus.SubscribeFunc(eventbus.SignalGenerated, show("signal:"))
	bus.SubscribeFunc(eventbus.OrderPlaced, show("order:"))
	if err := bus.Pause(eventbus.SignalQueue); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent(eventbus.SignalGenerated, "buy", "strategy")); err != nil {
		log.Fatal(err)
	}
	if err := bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, "sell 100", "desk")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(bus.Flush(ctx))
	if err := bus.Resume(eventbus.SignalQueue); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order: order_placed sell 100
	// flush: eventbus: queue is paused: the signal queue, which holds 1 events
	// signal: signal_generated buy
}

// A backtest drives the bus itself: what the candle causes is done when
// RunUntilIdle returns, and every run makes the same calls.
func ExampleBus_RunUntilIdle() {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, e eventbus.Event) error {
		fmt.Println("close at", e.Data)
		if e.Data.(float64) < 100 {
			return nil
		}
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, "sell", "strategy"))
	})
	bus.SubscribeFunc(eventbus.OrderPlaced, show("placed:"))
	ctx := context.Background()
	for _, price := range []float64{99, 101} {
		if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent(eventbus.CandleClosed, price, "file")); err != nil {
			log.Fatal(err)
		}
	}
	handled, err := bus.RunUntilIdle(ctx)
	fmt.Println(handled, "events handled,", err)
	// Output:
	// close at 99
	// close at 101
	// placed: order_placed sell
	// 3 events handled, <nil>
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

// With a context that has ended, Shutdown is the kill switch: no order that is
// still queued goes out.
func ExampleBus_Shutdown_killSwitch() {
	bus := running()
	busy := make(chan struct{})
	bus.SubscribeFunc(eventbus.OrderPlaced, func(ctx context.Context, e eventbus.Event) error {
		fmt.Println("sending", e.Data)
		close(busy)
		<-ctx.Done() // the exchange does not answer
		return ctx.Err()
	}, eventbus.WithName("exchange"))
	publish1(bus, eventbus.OrderQueue, eventbus.OrderPlaced, "buy 1")
	publish1(bus, eventbus.OrderQueue, eventbus.OrderPlaced, "buy 2")
	<-busy
	kill, cancel := context.WithCancel(context.Background())
	cancel()
	var left *eventbus.ShutdownError
	if errors.As(bus.Shutdown(kill), &left) {
		fmt.Println("not sent:", left.Remaining[eventbus.OrderQueue][0].Data)
		fmt.Println(left.Cause)
	}
	// Output:
	// sending buy 1
	// not sent: buy 2
	// handler exchange still runs on order_placed of the order queue: context canceled
}

// idle returns a bus that logs nothing and is not started.
func idle(opts ...eventbus.Option) *eventbus.Bus {
	bus, err := eventbus.New(append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		log.Fatal(err)
	}
	return bus
}

// running returns a bus that logs nothing and is started.
func running(opts ...eventbus.Option) *eventbus.Bus {
	bus := idle(opts...)
	if err := bus.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return bus
}

// printFailures is the option that prints the failures of handlers.
var printFailures = eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
	fmt.Println(err.Handler, "failed:", err.Err)
})

// publish1 publishes one event.
func publish1(bus *eventbus.Bus, q eventbus.Queue, t eventbus.EventType, data any) {
	if err := bus.Publish(context.Background(), q, eventbus.NewEvent(t, data, "example")); err != nil {
		log.Fatal(err)
	}
}

// send publishes an event on the order queue for each of data, and waits for
// the handlers.
func send(bus *eventbus.Bus, t eventbus.EventType, data ...any) {
	for _, d := range data {
		publish1(bus, eventbus.OrderQueue, t, d)
	}
	if err := bus.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// show returns a handler that prints its events.
func show(prefix string) func(context.Context, eventbus.Event) error {
	return func(_ context.Context, e eventbus.Event) error {
		fmt.Println(prefix, e.Type, e.Data)
		return nil
	}
}
