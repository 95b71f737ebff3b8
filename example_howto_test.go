package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"sync/atomic"
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

// A risk check vetoes an order before the broker hears of it: it stands between two event
// types, and publishes the second only if it has nothing against it.
func Example_veto() {
	type order struct {
		symbol string
		lots   int
	}
	wanted := eventbus.NewTopic[order]("order_wanted", eventbus.OrderQueue)
	placed := eventbus.NewTopic[order](eventbus.OrderPlaced, eventbus.OrderQueue)
	vetoed := eventbus.NewTopic[order]("order_vetoed", eventbus.OrderQueue)
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	wanted.Subscribe(bus, func(ctx context.Context, o order) error {
		if o.lots > 10 {
			return vetoed.Publish(ctx, bus, o)
		}
		return placed.Publish(ctx, bus, o)
	}, eventbus.WithName("risk"))
	placed.Subscribe(bus, func(_ context.Context, o order) error {
		fmt.Println("broker:", o.symbol, o.lots)
		return nil
	})
	vetoed.Subscribe(bus, func(_ context.Context, o order) error {
		fmt.Println("desk: too much of", o.symbol)
		return nil
	})
	ctx := context.Background()
	for _, o := range []order{{"AAPL", 5}, {"TSLA", 50}} {
		if err := wanted.Publish(ctx, bus, o); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := bus.RunUntilIdle(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// broker: AAPL 5
	// desk: too much of TSLA
}

// A tap that writes what it sees in batches: it collects while more events wait, and writes
// when there are none, so that nothing is left unwritten on a bus that is idle.
func Example_bufferedTap() {
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	var batch []any
	bus.SubscribeAll(eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
		batch = append(batch, e.Data)
		if d, _ := eventbus.DeliveryFrom(ctx); !d.More || len(batch) == 4 {
			fmt.Println("write", batch)
			batch = batch[:0]
		}
		return nil
	}), eventbus.OnQueue(eventbus.DataQueue)) // of one queue: one goroutine writes
	ctx := context.Background()
	for price := range 6 {
		if err := bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", 100+price, "feed")); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := bus.RunUntilIdle(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// write [100 101 102 103]
	// write [104 105]
}

// One bus a venue: orders to a venue that hangs wait for it alone.
func Example_venues() {
	venues := make(map[string]*eventbus.Bus)
	hangs, goOn := make(chan struct{}), make(chan struct{})
	filled := make(chan string, 1)
	for _, name := range []string{"slow", "quick"} {
		bus, err := eventbus.New()
		if err != nil {
			log.Fatal(err)
		}
		bus.SubscribeFunc(eventbus.OrderPlaced, func(_ context.Context, e eventbus.Event) error {
			if name == "slow" {
				close(hangs)
				<-goOn
				return nil
			}
			filled <- fmt.Sprint(e.Data, " filled by ", name)
			return nil
		})
		if err := bus.Start(context.Background()); err != nil {
			log.Fatal(err)
		}
		venues[name] = bus
	}
	ctx := context.Background()
	place := func(venue, symbol string) {
		if err := venues[venue].Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, symbol, "router")); err != nil {
			log.Fatal(err)
		}
	}
	place("slow", "AAPL")
	<-hangs
	place("quick", "MSFT")
	fmt.Println(<-filled)
	close(goOn)
	for _, bus := range venues {
		if err := bus.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output: MSFT filled by quick
}

// How a desk stops without losing an order: no new orders, the working ones cancelled, the
// venue's answers awaited, the bus drained, and what is handed back stored.
func Example_halt() {
	var halted atomic.Bool
	working := map[string]bool{"A1": true} // of the order queue's handlers alone
	cancelled := make(chan struct{})
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("signal", func(ctx context.Context, e eventbus.Event) error {
		if halted.Load() {
			fmt.Println("no new order for", e.Data)
			return nil
		}
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", e.Data, "strategy"))
	})
	bus.SubscribeFunc("cancel_all", func(ctx context.Context, _ eventbus.Event) error {
		for id := range working { // ask the venue; its answer comes as an event
			if err := bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("cancelled", id, "venue")); err != nil {
				return err
			}
		}
		return nil
	})
	bus.SubscribeFunc("cancelled", func(_ context.Context, e eventbus.Event) error {
		delete(working, e.Data.(string))
		fmt.Println("the venue has cancelled", e.Data)
		if len(working) == 0 {
			close(cancelled)
		}
		return nil
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	halted.Store(true)
	publish := func(q eventbus.Queue, t eventbus.EventType, data any) {
		if err := bus.Publish(ctx, q, eventbus.NewEvent(t, data, "desk")); err != nil {
			log.Fatal(err)
		}
	}
	publish(eventbus.SignalQueue, "signal", "TSLA")
	if err := bus.Flush(ctx); err != nil { // an order may have been on its way
		log.Fatal(err)
	}
	publish(eventbus.OrderQueue, "cancel_all", nil)
	<-cancelled
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var left *eventbus.ShutdownError
	if err := bus.Shutdown(limit); errors.As(err, &left) {
		fmt.Println("store:", left.Remaining, left.Interrupted)
	}
	fmt.Println("orders that work:", len(working))
	// Output:
	// no new order for TSLA
	// the venue has cancelled A1
	// orders that work: 0
}
