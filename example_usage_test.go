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

func ExampleBus_TryPublish() {
	bus := idle(eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 1}))
	signal := eventbus.NewEvent(eventbus.SignalGenerated, "BUY", "strategy")
	fmt.Println(bus.TryPublish(context.Background(), eventbus.SignalQueue, signal))
	err := bus.TryPublish(context.Background(), eventbus.SignalQueue, signal)
	fmt.Println(errors.Is(err, eventbus.ErrQueueFull), err)
	// Output:
	// <nil>
	// true publish "signal_generated" to the signal queue: eventbus: queue is full
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

func ExampleParseQueue() {
	fmt.Println(eventbus.ParseQueue("order"))
	_, err := eventbus.ParseQueue("orders")
	fmt.Println(err)
	// Output:
	// order <nil>
	// eventbus: unknown queue: "orders"; want "data", "signal" or "order"
}

// idle returns a bus that logs nothing and is not started.
func idle(opts ...eventbus.Option) *eventbus.Bus {
	bus, err := eventbus.New(append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		log.Fatal(err)
	}
	return bus
}

func running(opts ...eventbus.Option) *eventbus.Bus {
	bus := idle(opts...)
	if err := bus.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return bus
}

func publish1(bus *eventbus.Bus, q eventbus.Queue, t eventbus.EventType, data any) {
	if err := bus.Publish(context.Background(), q, eventbus.NewEvent(t, data, "example")); err != nil {
		log.Fatal(err)
	}
}

// A handler's context tells what is being delivered, so that a helper deep in
// the call tree can log it or drop what it has seen before.
func ExampleDeliveryFrom() {
	bus := quietly()
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

// With a single thread what only handlers touch needs no lock.
func ExampleWithSingleThread() {
	bus := quietly(eventbus.WithSingleThread())
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

// Signals stand still while orders go through.
func ExampleBus_Pause() {
	bus := quietly()
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
