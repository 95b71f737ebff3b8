package guide

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func Example_step06Failures() {
	bus, _ := eventbus.New(
		eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
			fmt.Println(err.Handler, "failed, panicked:", err.Panicked)
		}))
	candleClosed.Subscribe(bus, func(context.Context, Candle) error {
		return errors.New("the disk is full")
	}, eventbus.WithName("recorder"), eventbus.DisableAfter(2)) // and is called no more
	candleClosed.Subscribe(bus, func(_ context.Context, c Candle) error {
		if c.Close == 0 {
			panic("division by zero")
		}
		fmt.Println("strategy saw", c.Close)
		return nil
	}, eventbus.WithName("strategy"))
	start(bus)
	publish(bus, Candle{"BTC", 10})
	publish(bus, Candle{"BTC", 0})
	publish(bus, Candle{"BTC", 11})
	shutdown(bus)
	// Output:
	// recorder failed, panicked: false
	// strategy saw 10
	// recorder failed, panicked: false
	// strategy failed, panicked: true
	// strategy saw 11
}

func Example_step07TimeLimits() {
	bus := newBus()
	save := eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
		select {
		case <-time.After(time.Minute): // a database that does not answer
			return nil
		case <-ctx.Done(): // ends after the limit
			return ctx.Err()
		}
	})
	bus.Subscribe(eventbus.CandleClosed, eventbus.Async(save, 20*time.Millisecond))
	start(bus)
	candle := eventbus.NewEvent(eventbus.CandleClosed, Candle{"BTC", 10}, "feed")
	err := bus.PublishWait(context.Background(), eventbus.DataQueue, candle) // until its handlers are done
	fmt.Println(errors.Is(err, eventbus.ErrHandlerTimeout))
	shutdown(bus)
	// Output: true
}

func Example_step08Stopping() {
	bus := newBus()
	order.Subscribe(bus, func(context.Context, string) error { return nil })
	ctx := context.Background()
	start(bus)
	bus.Stop() // lets the event at hand go through, and keeps the rest for the next Start
	if err := order.Publish(ctx, bus, "BUY BTC"); err != nil {
		fmt.Println(err)
	}
	limit, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var left *eventbus.ShutdownError
	if errors.As(bus.Shutdown(limit), &left) { // a bus that runs would handle it within the limit
		fmt.Println("handed back:", left.Remaining[eventbus.OrderQueue][0].Data)
	}
	// Output: handed back: BUY BTC
}

// strategy buys when a candle closes higher than the one before.
type strategy struct {
	bus  *eventbus.Bus
	last float64
}

func (s *strategy) onClose(ctx context.Context, c Candle) error {
	last := s.last
	s.last = c.Close
	if last == 0 || c.Close <= last {
		return nil
	}
	return signal.Publish(ctx, s.bus, "BUY "+c.Symbol)
}

func TestStep09StrategyBuysARise(t *testing.T) {
	bus := eventbustest.New(t) // runs, fails the test when a handler fails, and ends with it
	rec := eventbustest.NewRecorder(t, bus, eventbus.SignalGenerated)
	candleClosed.Subscribe(bus, (&strategy{bus: bus}).onClose)
	for _, price := range []float64{10, 9, 12} {
		publish(bus, Candle{"BTC", price})
	}
	rec.Expect(t, eventbustest.Payload(eventbus.SignalGenerated, "BUY BTC"))
	rec.ExpectNone(t)
}

func Example_step10Backtest() {
	bus := newBus() // not started: RunUntilIdle calls the handlers
	candleClosed.Subscribe(bus, (&strategy{bus: bus}).onClose)
	signal.Subscribe(bus, func(_ context.Context, s string) error {
		fmt.Println(s)
		return nil
	})
	ctx := context.Background()
	for _, price := range []float64{10, 9, 12, 11, 13} {
		publish(bus, Candle{"BTC", price})
		if _, err := bus.RunUntilIdle(ctx); err != nil { // all that the candle sets off, in the same order every time
			fmt.Println(err)
		}
	}
	// Output:
	// BUY BTC
	// BUY BTC
}

func Example_step11SeeingItRun() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	bus, _ := eventbus.New(eventbus.WithLogger(logger), eventbus.WithSlowHandler(5*time.Millisecond))
	candleClosed.Subscribe(bus, func(context.Context, Candle) error { return nil }, eventbus.WithName("strategy"))
	start(bus)
	publish(bus, Candle{"BTC", 10})
	shutdown(bus)
	stats := bus.Stats() // at any time, also while it runs
	data := stats.Queues[eventbus.DataQueue]
	fmt.Println("accepted", data.Accepted, "handled", data.Handled, "dropped", data.Dropped)
	for _, h := range stats.Handlers {
		fmt.Println(h.Name, "calls", h.Calls, "failed", h.Failed)
	}
	// Output:
	// accepted 1 handled 1 dropped 0
	// strategy calls 1 failed 0
}
