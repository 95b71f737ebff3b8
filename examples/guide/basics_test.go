package guide

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

func Example_step01Events() {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc(eventbus.CandleClosed, func(_ context.Context, e eventbus.Event) error {
		fmt.Println(e.Type, e.Data, "from", e.Source)
		return nil
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	candle := eventbus.NewEvent(eventbus.CandleClosed, 101.5, "feed")
	if err := bus.Publish(ctx, eventbus.DataQueue, candle); err != nil {
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil { // handles what is queued
		log.Fatal(err)
	}
	// Output: candle_closed 101.5 from feed
}

// Candle is the payload of the guide's candles.
type Candle struct {
	Symbol string
	Close  float64
}

var candleClosed = eventbus.NewTopic[Candle](eventbus.CandleClosed, eventbus.DataQueue,
	eventbus.WithOverflow(eventbus.Block, 0)) // wait for room for as long as it takes

func Example_step02Topics() {
	bus := newBus()
	candleClosed.Subscribe(bus, func(_ context.Context, c Candle) error {
		fmt.Println(c.Symbol, "closed at", c.Close)
		return nil
	})
	start(bus)
	defer shutdown(bus)
	if err := candleClosed.Publish(context.Background(), bus, Candle{"BTCUSDT", 101.5}); err != nil {
		log.Fatal(err)
	}
	// Output: BTCUSDT closed at 101.5
}

// Quote is the payload of the guide's quotes.
type Quote struct {
	Symbol   string
	Bid, Ask float64
}

var quoteChanged = eventbus.NewTopic[Quote]("quote_changed", eventbus.DataQueue,
	eventbus.WithConflateBy(func(q Quote) string { return q.Symbol }), // only the last of a symbol waits
	eventbus.WithMaxAge(time.Second))                                  // and not for longer than this

func Example_step03Queues() {
	bus := newBus()
	quoteChanged.Subscribe(bus, func(_ context.Context, q Quote) error {
		fmt.Println(q.Symbol, q.Bid, q.Ask)
		return nil
	})
	for _, q := range []Quote{{"BTC", 10, 11}, {"ETH", 5, 6}, {"BTC", 12, 13}} { // nobody handles them yet
		if err := quoteChanged.Publish(context.Background(), bus, q); err != nil {
			log.Fatal(err)
		}
	}
	start(bus)
	shutdown(bus)
	fmt.Println("conflated:", bus.Stats().Queues[eventbus.DataQueue].Conflated)
	// Output:
	// BTC 12 13
	// ETH 5 6
	// conflated: 1
}

func Example_step04Handlers() {
	bus := newBus()
	onlyETH := func(e eventbus.Event) bool { return e.Data.(Candle).Symbol == "ETH" }
	candleClosed.Subscribe(bus, func(_ context.Context, c Candle) error {
		fmt.Println("strategy:", c.Symbol)
		return nil
	}, eventbus.Where(onlyETH), eventbus.WithName("strategy"))
	chart := candleClosed.Subscribe(bus, func(_ context.Context, c Candle) error {
		fmt.Println("chart:", c.Symbol)
		return nil
	})
	start(bus)
	publish(bus, Candle{"BTC", 10})
	publish(bus, Candle{"ETH", 5})
	chart.Unsubscribe()
	publish(bus, Candle{"BTC", 11})
	shutdown(bus)
	// Output:
	// chart: BTC
	// strategy: ETH
	// chart: ETH
}

func Example_step05PublishingInsideHandlers() {
	bus := newBus()
	candleClosed.Subscribe(bus, func(ctx context.Context, c Candle) error { // on the data queue
		return signal.Publish(ctx, bus, "BUY "+c.Symbol)
	})
	signal.Subscribe(bus, func(ctx context.Context, s string) error { // on the signal queue
		return order.Publish(ctx, bus, s+" at the market")
	})
	order.Subscribe(bus, func(_ context.Context, o string) error { // on the order queue
		fmt.Println(o)
		return nil
	})
	start(bus)
	publish(bus, Candle{"BTC", 10})
	shutdown(bus)
	// Output: BUY BTC at the market
}
