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

// A strategy that falls behind wants the latest price of each symbol.
func ExampleQueueConfig_conflateBy() {
	type tick struct {
		symbol string
		price  float64
	}
	bus, err := eventbus.New(eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{
		Capacity:   1000,
		ConflateBy: func(e eventbus.Event) string { return e.Data.(tick).symbol },
	}))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
		fmt.Println(e.Data)
		return nil
	})
	ctx := context.Background()
	for _, t := range []tick{{"BTC", 64000}, {"ETH", 3100}, {"BTC", 64001}, {"BTC", 64002}} {
		if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", t, "feed")); err != nil {
			log.Fatal(err)
		}
	}
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("conflated:", bus.Stats().Queues[eventbus.DataQueue].Conflated)
	// Output:
	// {BTC 64002}
	// {ETH 3100}
	// conflated: 2
}

// An order that has waited for too long must not be sent.
func ExampleQueueConfig_maxAge() {
	bus, err := eventbus.New(
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 50, MaxAge: time.Second}),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
			fmt.Println("not sent:", err.Event.Data, errors.Is(err, eventbus.ErrExpired))
		}))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc(eventbus.OrderPlaced, func(_ context.Context, e eventbus.Event) error {
		fmt.Println("sent:", e.Data)
		return nil
	})
	old := eventbus.NewEvent(eventbus.OrderPlaced, "buy 1", "strategy")
	old.Time = old.Time.Add(-time.Minute)
	fresh := eventbus.NewEvent(eventbus.OrderPlaced, "buy 2", "strategy")
	ctx := context.Background()
	for _, e := range []eventbus.Event{old, fresh} {
		if err := bus.Publish(ctx, eventbus.OrderQueue, e); err != nil {
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
	// not sent: buy 1 true
	// sent: buy 2
}

// An order entry that must know whether the risk check let the order pass.
func ExampleBus_PublishWait() {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	errTooLarge := errors.New("order is too large")
	bus.SubscribeFunc(eventbus.OrderPlaced, func(_ context.Context, e eventbus.Event) error {
		if e.Data.(int) > 100 {
			return errTooLarge
		}
		return nil
	}, eventbus.WithName("risk"))
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, size := range []int{10, 1000} {
		err := bus.PublishWait(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, size, "desk"))
		fmt.Println(err, errors.Is(err, errTooLarge))
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// <nil> false
	// eventbus: handler risk failed on order_placed of the order queue: order is too large true
}

// A feed handler publishes each packet in one call. What the queue has no room
// for it can publish again, or leave out.
func ExampleBus_PublishBatch() {
	bus, err := eventbus.New(eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropNewest}))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
		fmt.Println(e.Data)
		return nil
	})
	var packet []eventbus.Event
	for _, price := range []int{64000, 64001, 64003, 64002} {
		packet = append(packet, eventbus.NewEvent("tick", price, "feed"))
	}
	ctx := context.Background()
	accepted, err := bus.PublishBatch(ctx, eventbus.DataQueue, packet)
	fmt.Println(accepted, "accepted:", errors.Is(err, eventbus.ErrDropped))

	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 3 accepted: true
	// 64000
	// 64001
	// 64003
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
