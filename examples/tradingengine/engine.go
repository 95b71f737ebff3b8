package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

// shutdownTimeout is how long the handlers may take to end after the last candle. They take microseconds.
const shutdownTimeout = 5 * time.Second

// engine is a trading system. Its components know the bus and nothing of each other.
type engine struct {
	options   options
	bus       *eventbus.Bus
	feed      *feed
	strategy  *strategy
	orders    *orderManager
	broker    *broker
	portfolio *portfolio
	chart     *chart // nil when nothing is to be drawn

	fail context.CancelCauseFunc // ends the run; set before the bus starts
}

func newEngine(o options, candles candleSource, progress func(), logger *slog.Logger) (*engine, error) {
	e := &engine{options: o}
	bus, err := eventbus.New(
		eventbus.WithLogger(logger),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { e.fail(err) }),
	)
	if err != nil {
		return nil, err
	}
	e.bus = bus
	e.feed = newFeed(bus, candles, progress)
	e.strategy = newStrategy(bus, o.fast, o.slow)
	e.orders = newOrderManager(bus, o.lot, o.cash)
	e.broker = newBroker(bus, o.lot)
	e.portfolio = newPortfolio(bus, o.cash)
	if o.plot != "" {
		e.chart = newChart(o.fast, o.slow, o.cash)
	}
	e.wire()
	return e, nil
}

// wire is the whole of who hears what. Candles travel on the data queue, signals on the signal queue, and an order's life,
// from OrderPlaced to the account it leaves behind, on the order queue, where its events stay in order.
func (e *engine) wire() {
	on(e.bus, eventbus.CandleUpdate, "broker.onOpen", e.broker.onOpen)
	on(e.bus, eventbus.CandleClosed, "strategy.onClose", e.strategy.onClose)
	on(e.bus, eventbus.CandleClosed, "portfolio.onClose", e.portfolio.onClose)

	on(e.bus, eventbus.SignalGenerated, "orders.onSignal", e.orders.onSignal)

	on(e.bus, eventbus.OrderPlaced, "broker.onOrder", e.broker.onOrder)
	on(e.bus, eventbus.OrderFilled, "portfolio.onFill", e.portfolio.onFill)
	on(e.bus, eventbus.OrderUpdate, "orders.onCancelled", e.orders.onCancelled)
	on(e.bus, eventbus.PositionOpened, "orders.onAccount", e.orders.onAccount)
	on(e.bus, eventbus.PositionClosed, "orders.onAccount", e.orders.onAccount)

	if e.chart != nil {
		on(e.bus, eventbus.CandleClosed, "chart.onClose", e.chart.onClose)
		on(e.bus, eventbus.OrderFilled, "chart.onFill", e.chart.onFill)
		on(e.bus, eventbus.PositionOpened, "chart.onAccount", e.chart.onAccount)
		on(e.bus, eventbus.PositionClosed, "chart.onAccount", e.chart.onAccount)
	}
}

// on subscribes a handler that takes its event's payload as what it is.
func on[T any](bus *eventbus.Bus, t eventbus.EventType, name string, handle func(context.Context, T) error) {
	bus.SubscribeFunc(t, func(ctx context.Context, e eventbus.Event) error {
		payload, ok := e.Data.(T)
		if !ok {
			return fmt.Errorf("%s of %s carries a %T, want a %T", e.Type, e.Source, e.Data, payload)
		}
		return handle(ctx, payload)
	}, eventbus.WithName(name))
}

// run plays all candles, or those until ctx ends, and reports on them. Then no handler runs any more. A handler's failure ends the
// run and is returned: a result without that handler's part would be wrong.
func (e *engine) run(ctx context.Context) (*report, error) {
	ctx, e.fail = context.WithCancelCause(ctx)
	defer e.fail(nil)
	// The bus outlives ctx: when ctx ends, the handlers still finish what has begun.
	if err := e.bus.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	began := time.Now()
	played := e.feed.run(ctx)
	elapsed := time.Since(began)

	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := e.bus.Shutdown(limit); err != nil {
		return nil, errors.Join(played, err)
	}
	var failed *eventbus.HandlerError
	if errors.As(context.Cause(ctx), &failed) {
		return nil, failed
	}
	interrupted := played != nil && ctx.Err() != nil
	if played != nil && !interrupted {
		return nil, played
	}
	return e.report(elapsed, interrupted), nil
}
