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

// A strategy that falls behind wants the latest price of each symbol. WithQueue replaces
// the whole configuration, so this one begins with the default: new symbols that find the
// queue full still wait for 1 s and are dropped then.
func ExampleQueueConfig_conflateBy() {
	type tick struct {
		symbol string
		price  float64
	}
	latest := eventbus.DefaultQueueConfig(eventbus.DataQueue)
	latest.ConflateBy = func(e eventbus.Event) string { return e.Data.(tick).symbol }
	bus, err := eventbus.New(eventbus.WithQueue(eventbus.DataQueue, latest))
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

// An engine with many orders needs a longer order queue, which still must not drop any.
func ExampleDefaultQueueConfig() {
	orders := eventbus.DefaultQueueConfig(eventbus.OrderQueue)
	orders.Capacity = 500
	bus := idle(eventbus.WithQueue(eventbus.OrderQueue, orders))
	q := bus.Stats().Queues[eventbus.OrderQueue]
	fmt.Println(q.Capacity, q.Overflow, q.Timeout)
	// Output: 500 block 0s
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

func ExampleTopic_TryPublish() {
	bus := idle(eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 1}))
	fmt.Println(Orders.TryPublish(context.Background(), bus, &Order{ID: 1}))
	err := Orders.TryPublish(context.Background(), bus, &Order{ID: 2})
	fmt.Println(errors.Is(err, eventbus.ErrQueueFull), err)
	// Output:
	// <nil>
	// true publish "order_placed" to the order queue: eventbus: queue is full
}

// A desk that wants to know whether its order was let through.
func ExampleTopic_PublishWait() {
	bus := running()
	defer bus.Shutdown(context.Background())
	Orders.Subscribe(bus, func(_ context.Context, o *Order) error {
		if o.Qty > 100 {
			return errors.New("order is too large")
		}
		return nil
	}, eventbus.WithName("risk"))
	for _, qty := range []int{10, 1000} {
		fmt.Println(Orders.PublishWait(context.Background(), bus, &Order{Qty: qty}))
	}
	// Output:
	// <nil>
	// eventbus: handler risk failed on order_placed of the order queue: order is too large
}

// A packet of a feed whose stale prices are not worth a wait: what finds no room is left out.
func ExampleTopic_PublishBatch() {
	ticks := eventbus.NewTopic[int]("tick", eventbus.DataQueue, eventbus.WithOverflow(eventbus.DropNewest, 0))
	bus := idle(eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 3}))
	accepted, err := ticks.PublishBatch(context.Background(), bus, []int{64000, 64001, 64003, 64002})
	fmt.Println(accepted, "accepted:", errors.Is(err, eventbus.ErrDropped))
	// Output: 3 accepted: true
}

// An order that came from elsewhere keeps its time and says where it came from.
func ExampleTopic_PublishEvent() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	bus.SubscribeFunc(Orders.Type(), func(_ context.Context, e eventbus.Event) error {
		fmt.Println(e.Source, e.Time.Format(time.TimeOnly), e.Data.(*Order).ID)
		return nil
	})
	ctx := context.Background()
	e := Orders.Event(&Order{ID: 1})
	e.Source, e.Time = "desk", time.Date(2020, 3, 16, 14, 30, 0, 0, time.UTC)
	if err := Orders.PublishEvent(ctx, bus, e); err != nil {
		log.Fatal(err)
	}
	if err := bus.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	e.Data = "buy 100"
	fmt.Println(errors.Is(Orders.PublishEvent(ctx, bus, e), eventbus.ErrPayloadType))
	// Output:
	// desk 14:30:00 1
	// true
}

// A strategy that starts in the middle of the day first gets the last price.
func ExampleRetain() {
	price := eventbus.NewTopic[float64]("price", eventbus.DataQueue, eventbus.Retain())
	bus := running(printFailures)
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

// A topic tells where its events go, and makes one to which a source is added.
func ExampleTopic_Event() {
	fills := eventbus.NewTopic[int]("fill", eventbus.OrderQueue)
	e := fills.Event(100)
	e.Source = "venue"
	fmt.Println(e.Type == fills.Type(), fills.Queue(), e.Data, "from", e.Source)
	// Output: true order 100 from venue
}
