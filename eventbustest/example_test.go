package eventbustest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// A Bar is what the market did, a Side what the strategy wants, and a Trade what
// it makes of that.
type (
	Bar struct {
		Symbol string
		Close  float64
	}
	Side  string
	Trade struct {
		Symbol string
		Side   Side
	}
)

// trade subscribes the code under test: a strategy that sells from 100 on, and an
// executor that turns its signals into orders.
func trade(bus *eventbus.Bus) {
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, e eventbus.Event) error {
		bar := e.Data.(Bar)
		if bar.Close < 100 {
			return nil
		}
		signal := eventbus.NewEvent(eventbus.SignalGenerated, Trade{bar.Symbol, "SELL"}, "strategy")
		return bus.Publish(ctx, eventbus.SignalQueue, signal)
	})
	bus.SubscribeFunc(eventbus.SignalGenerated, func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, e.Data, "executor"))
	})
}

func closeBar(bus *eventbus.Bus, symbol string, price float64) {
	e := eventbus.NewEvent(eventbus.CandleClosed, Bar{symbol, price}, "feed")
	if err := bus.Publish(context.Background(), eventbus.DataQueue, e); err != nil {
		fmt.Println(err)
	}
}

// A candle is published; the strategy is to answer with a signal to sell, and
// the executor with an order.
func Example() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.SignalGenerated, eventbus.OrderPlaced)
	trade(bus)

	closeBar(bus, "BTCUSDT", 100)
	events := rec.Expect(t,
		eventbustest.PayloadFunc(eventbus.SignalGenerated, "sells BTCUSDT", func(s Trade) bool {
			return s.Symbol == "BTCUSDT" && s.Side == "SELL"
		}),
		eventbustest.Payload(eventbus.OrderPlaced, Trade{"BTCUSDT", "SELL"}),
	)
	rec.ExpectNone(t)
	fmt.Println(events[1].Source, events[1].Data)
	// Output: executor {BTCUSDT SELL}
}

// What a test prints when another signal came than the one that was expected,
// and no order.
func ExampleRecorder_Expect() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.CandleClosed, eventbus.SignalGenerated, eventbus.OrderPlaced)

	closeBar(bus, "BTCUSDT", 100)
	rec.Wait(1)
	signal := eventbus.NewEvent(eventbus.SignalGenerated, Trade{"BTCUSDT", "BUY"}, "strategy")
	if err := bus.Publish(context.Background(), eventbus.SignalQueue, signal); err != nil {
		fmt.Println(err)
	}
	rec.Wait(2)
	rec.Within(0).Expect(t,
		eventbustest.Type(eventbus.CandleClosed),
		eventbustest.Payload(eventbus.SignalGenerated, Trade{"BTCUSDT", "SELL"}),
		eventbustest.Type(eventbus.OrderPlaced),
	)
	// Output:
	// eventbustest: Expect: 2 of 3 matchers met no event
	//       1  met    #1  candle_closed     eventbustest_test.Bar {Symbol:"BTCUSDT" Close:100}  (from feed)
	//     - 2  want       signal_generated  eventbustest_test.Trade {Symbol:"BTCUSDT" Side:"SELL"}
	//     +    got    #2  signal_generated  eventbustest_test.Trade {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
	//                                                                                       ^ differs in Side
	//     - 3  want       order_placed
}

func ExampleRecorder_ExpectInAnyOrder() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	trade(bus)

	closeBar(bus, "ETHUSDT", 100)
	closeBar(bus, "BTCUSDT", 100)
	events := rec.ExpectInAnyOrder(t,
		eventbustest.Payload(eventbus.OrderPlaced, Trade{"BTCUSDT", "SELL"}),
		eventbustest.Payload(eventbus.OrderPlaced, Trade{"ETHUSDT", "SELL"}),
	)
	for _, e := range events {
		fmt.Println(e.Data)
	}
	// Output:
	// {BTCUSDT SELL}
	// {ETHUSDT SELL}
}

// Below 100 the strategy is to do nothing.
func ExampleRecorder_ExpectNone() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.SignalGenerated, eventbus.OrderPlaced)
	trade(bus)

	closeBar(bus, "BTCUSDT", 99)
	rec.ExpectNone(t, eventbustest.Type(eventbus.OrderPlaced)) // no order
	rec.ExpectNone(t)                                          // and nothing else
	fmt.Println(len(rec.Events()), "events")
	// Output: 0 events
}

// A test may have a reason to end with events that nobody has handled, such as
// one of what the engine does when it is stopped.
func ExampleAllowLeftovers() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t, eventbustest.AllowLeftovers())
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	trade(bus)

	bus.Stop()
	closeBar(bus, "BTCUSDT", 100)
	rec.ExpectNone(t)
	fmt.Println(bus.Stats().Queues[eventbus.DataQueue].Depth, "candle waits")
	// Output: 1 candle waits
}

// Wait returns when so many events have been recorded, however long that takes
// within the limit.
func ExampleRecorder_Wait() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced).Within(10 * time.Second)
	trade(bus)

	closeBar(bus, "BTCUSDT", 100)
	closeBar(bus, "ETHUSDT", 200)
	for _, e := range rec.Wait(2) {
		fmt.Println(e.Data)
	}
	// Output:
	// {BTCUSDT SELL}
	// {ETHUSDT SELL}
}

// A test of what happens when a handler fails is not to fail itself.
func ExampleAllowHandlerErrors() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	failed := make(chan *eventbus.HandlerError, 1)
	onError := func(_ context.Context, err *eventbus.HandlerError) { failed <- err }
	bus := eventbustest.New(t, eventbustest.AllowHandlerErrors(), eventbustest.WithBus(eventbus.WithErrorHandler(onError)))
	bus.SubscribeFunc(eventbus.CandleClosed, func(context.Context, eventbus.Event) error {
		return errors.New("no such symbol")
	}, eventbus.WithName("strategy"))

	closeBar(bus, "BTCUSDT", 100)
	err := <-failed
	fmt.Printf("%s: %v\n", err.Handler, err.Err)
	// Output: strategy: no such symbol
}

// The bus takes the options of [eventbus.New].
func ExampleWithBus() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	small := eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropOldest}
	bus := eventbustest.New(t, eventbustest.WithBus(eventbus.WithQueue(eventbus.DataQueue, small)))
	fmt.Println(bus.Stats().Queues[eventbus.DataQueue].Capacity)
	// Output: 2
}

// The log shows what led to what.
func ExampleLogEvents() {
	t := beginExample() // in a test: its *testing.T
	t.log = os.Stdout   // in a test: what -v prints, and what a test that fails does
	defer t.end()

	bus := eventbustest.New(t, eventbustest.LogEvents())
	trade(bus)
	closeBar(bus, "ETHUSDT", 99)
	closeBar(bus, "BTCUSDT", 100)
	// Output:
	// eventbustest: data   #1  candle_closed  eventbustest_test.Bar {Symbol:"ETHUSDT" Close:99}  (from feed)
	// eventbustest: data   #2  candle_closed  eventbustest_test.Bar {Symbol:"BTCUSDT" Close:100}  (from feed)
	// eventbustest: signal #1  signal_generated  eventbustest_test.Trade {Symbol:"BTCUSDT" Side:"SELL"}  (from strategy)
	// eventbustest: order  #1  order_placed  eventbustest_test.Trade {Symbol:"BTCUSDT" Side:"SELL"}  (from executor)
}

// An order that was rejected is never filled. A test that waits for the fill then
// ends with the reason, and at once.
func ExampleMatcher_Unless() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	type Reject struct{ Order, Reason string }
	rejected := func(e eventbus.Event) error {
		if r, ok := e.Data.(Reject); ok && r.Order == "A1" {
			return errors.New("the order was rejected: " + r.Reason)
		}
		return nil
	}
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderFilled, eventbus.OrderUpdate)

	update := eventbus.NewEvent(eventbus.OrderUpdate, Reject{"A1", "no margin"}, "exchange")
	if err := bus.Publish(context.Background(), eventbus.OrderQueue, update); err != nil {
		fmt.Println(err)
	}
	rec.Expect(t, eventbustest.Type(eventbus.OrderFilled).Unless(rejected))
	// Output:
	// eventbustest: Expect: matcher 1 gave up at #1: the order was rejected: no margin
	//          other  #1  order_update  eventbustest_test.Reject {Order:"A1" Reason:"no margin"}  (from exchange)
	//     - 1  want       order_filled
}

// A bus that is stepped handles events when the test says so, on the test's
// goroutine. All is recorded when RunUntilIdle returns, so nothing needs to wait.
func ExampleNotStarted() {
	t := beginExample() // in a test: its *testing.T
	defer t.end()

	bus := eventbustest.New(t, eventbustest.NotStarted())
	rec := eventbustest.NewRecorder(t, bus).Within(0) // of all types
	trade(bus)

	closeBar(bus, "BTCUSDT", 100)
	handled, err := bus.RunUntilIdle(context.Background())
	fmt.Println(handled, "events handled, error:", err)
	for _, e := range rec.Events() {
		fmt.Println(e.Type, "from", e.Source)
	}
	// Output:
	// 3 events handled, error: <nil>
	// candle_closed from feed
	// signal_generated from strategy
	// order_placed from executor
}
