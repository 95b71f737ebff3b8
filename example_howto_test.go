package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/eventbus-go/eventbus"
)

// One configuration serves the live engine and the backtest. In the backtest the
// clock is the data's, so that ages are those of the day that is played.
func ExampleWithClock() {
	now := time.Now // live
	configure := func() (*eventbus.Bus, error) {
		return eventbus.New(
			eventbus.WithLogger(slog.New(slog.DiscardHandler)),
			eventbus.WithClock(func() time.Time { return now() }),
			eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1000, MaxAge: time.Second}))
	}

	played := time.Date(2020, 3, 16, 14, 30, 0, 0, time.UTC)
	now = func() time.Time { return played } // backtest
	bus, err := configure()
	if err != nil {
		panic(err)
	}
	bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
		fmt.Println("tick of", e.Time.Format(time.TimeOnly))
		return nil
	})
	ctx := context.Background()
	_ = bus.Publish(ctx, eventbus.DataQueue, eventbus.Event{Type: "tick", Time: played.Add(-time.Minute)}) // too old by then
	_ = bus.Publish(ctx, eventbus.DataQueue, eventbus.Event{Type: "tick", Time: played})
	handled, err := bus.RunUntilIdle(ctx)
	fmt.Println(handled, err)
	// Output:
	// tick of 14:30:00
	// 1 <nil>
}

// A risk service that does not answer must not hold up the signals, so its handler has a
// time limit. The payload keeps its type.
func ExampleWithHandlerTimeout() {
	bus := running(printFailures)
	defer bus.Shutdown(context.Background())
	risk := eventbus.NewTopic[int]("risk", eventbus.SignalQueue)
	risk.Subscribe(bus, func(ctx context.Context, exposure int) error {
		fmt.Println("checking", exposure)
		<-ctx.Done() // a service that does not answer
		return ctx.Err()
	}, eventbus.WithName("risk service"), eventbus.WithHandlerTimeout(20*time.Millisecond))
	err := risk.PublishWait(context.Background(), bus, 100)
	fmt.Println(errors.Is(err, eventbus.ErrHandlerTimeout))
	// Output:
	// checking 100
	// risk service failed: eventbus: handler timed out after 20ms
	// true
}

// A report at the end of the day may take its time. Any other handler that takes longer
// than 10 ms is named while it runs, all the same.
func ExampleWithSlowAfter() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey || a.Key == "handler" {
			return a
		}
		return slog.Attr{} // times differ
	}}))
	bus, err := eventbus.New(eventbus.WithLogger(log))
	if err != nil {
		panic(err)
	}
	taking := func(d time.Duration) func(context.Context, eventbus.Event) error {
		return func(context.Context, eventbus.Event) error { time.Sleep(d); return nil }
	}
	bus.SubscribeFunc("close", taking(50*time.Millisecond), eventbus.WithName("report"), eventbus.WithSlowAfter(time.Minute))
	bus.SubscribeFunc("close", taking(300*time.Millisecond), eventbus.WithName("quote"))
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		panic(err)
	}
	publish1(bus, eventbus.DataQueue, "close", nil)
	if err := bus.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output:
	// msg="eventbus: slow handler is still running" handler=quote
	// msg="eventbus: slow handler has ended" handler=quote
}

// To halt without losing an order: strategies stop, what is queued is drained
// within a time, and what remains is stored.
func ExampleShutdownError() {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil })
	ctx := context.Background()
	for id := range 2 {
		_ = bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order", Data: id})
	}
	kill, cancel := context.WithCancel(ctx)
	cancel() // in an engine: context.WithTimeout
	var left *eventbus.ShutdownError
	if errors.As(bus.Shutdown(kill), &left) {
		for _, e := range left.Remaining[eventbus.OrderQueue] {
			fmt.Println("to be sent again:", e.Type, e.Data)
		}
		fmt.Println("handled in part:", len(left.Interrupted), "refused to handlers:", left.Refused)
	}
	// Output:
	// to be sent again: order 0
	// to be sent again: order 1
	// handled in part: 0 refused to handlers: 0
}

// From an order back to its tick: the bus tells the handler of each event which one led to
// it.
func ExampleWithCauses() {
	bus, err := eventbus.New(eventbus.WithCauses())
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent("signal", "BUY", "strategy"))
	})
	bus.SubscribeFunc("signal", func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", "AAPL", "risk"))
	})
	bus.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		fmt.Printf("order %d comes of %v %d, and began with %s %d\n", d.Seq, d.Cause.Queue, d.Cause.Seq, d.Cause.Root.Type, d.Cause.Root.Seq)
		return nil
	})
	ctx := context.Background()
	if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", 101.5, "feed")); err != nil {
		log.Fatal(err)
	}
	if _, err := bus.RunUntilIdle(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: order 1 comes of signal 1, and began with tick 1
}

// What the context of a publisher knows travels with its events.
func ExampleWithCarry() {
	type account string
	type key struct{}
	bus, err := eventbus.New(eventbus.WithCarry(func(ctx context.Context) (account, bool) {
		if a, ok := ctx.Value(key{}).(account); ok {
			return a, true
		}
		return eventbus.Carried[account](ctx) // inside a handler: that of the event at hand
	}))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("signal", func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", "AAPL", "risk"))
	})
	bus.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
		a, _ := eventbus.Carried[account](ctx)
		fmt.Println(e.Data, "for", a)
		return nil
	})
	ctx := context.WithValue(context.Background(), key{}, account("pension"))
	if err := bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent("signal", "BUY", "strategy")); err != nil {
		log.Fatal(err)
	}
	if _, err := bus.RunUntilIdle(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: AAPL for pension
}

// How long events wait, handlers take, and an order comes after its tick.
func ExampleWithLatencies() {
	bus, err := eventbus.New(eventbus.WithLatencies(), eventbus.WithCauses())
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", "AAPL", "strategy"))
	})
	bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("broker"))
	for range 1000 {
		if err := bus.Publish(context.Background(), eventbus.DataQueue, eventbus.NewEvent("tick", 101.5, "feed")); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := bus.RunUntilIdle(context.Background()); err != nil {
		log.Fatal(err)
	}
	l := bus.Latencies()
	broker := l.Handlers[1]
	fmt.Println(broker.Name, "was measured", broker.FromRoot.Count(), "times from tick to order")
	fmt.Println("half of the ticks waited for more than nothing:", l.Wait[eventbus.DataQueue].Quantile(0.5) > 0)
	// Output:
	// broker was measured 1000 times from tick to order
	// half of the ticks waited for more than nothing: true
}
