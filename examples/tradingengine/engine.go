package main

import (
	"context"
	"errors"
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
	bus, err := e.newBus(logger)
	if err != nil {
		return nil, err
	}
	e.bus = bus
	e.feed = newFeed(bus, candles, progress)
	if o.mode == step {
		e.feed.settle = func(ctx context.Context) error {
			_, err := bus.RunUntilIdle(ctx)
			return err
		}
	}
	e.strategy = newStrategy(bus, o.fast, o.slow)
	e.orders = newOrderManager(bus, o.lot, o.cash)
	e.broker = newBroker(bus, o.lot)
	e.portfolio = newPortfolio(bus, o.cash)
	if !o.json {
		e.portfolio.ends = tradesShown
	}
	if o.plot != "" {
		e.chart = newChart(o.fast, o.slow, o.cash)
	}
	e.wire()
	return e, nil
}

func (e *engine) newBus(logger *slog.Logger) (*eventbus.Bus, error) {
	opts := []eventbus.Option{
		eventbus.WithLogger(logger),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { e.fail(err) }),
	}
	if e.options.mode == single {
		opts = append(opts, eventbus.WithSingleThread())
	}
	return eventbus.New(opts...)
}

// wire is the whole of who hears what.
func (e *engine) wire() {
	candleUpdate.Subscribe(e.bus, e.broker.onOpen)
	candleClosed.Subscribe(e.bus, e.strategy.onClose)
	candleClosed.Subscribe(e.bus, e.portfolio.onClose)

	signalGenerated.Subscribe(e.bus, e.orders.onSignal)

	orderPlaced.Subscribe(e.bus, e.broker.onOrder)
	orderFilled.Subscribe(e.bus, e.portfolio.onFill)
	orderUpdate.Subscribe(e.bus, e.orders.onCancelled)
	positionOpened.Subscribe(e.bus, e.orders.onAccount)
	positionClosed.Subscribe(e.bus, e.orders.onAccount)

	if e.chart != nil {
		candleClosed.Subscribe(e.bus, e.chart.onClose)
		orderFilled.Subscribe(e.bus, e.chart.onFill)
		positionOpened.Subscribe(e.bus, e.chart.onAccount)
		positionClosed.Subscribe(e.bus, e.chart.onAccount)
	}
}

// run plays all candles, or those until ctx ends, and reports on them. Then no handler runs any more. A handler's failure ends the
// run and is returned: a result without that handler's part would be wrong.
func (e *engine) run(ctx context.Context) (*report, error) {
	ctx, e.fail = context.WithCancelCause(ctx)
	defer e.fail(nil)
	// The bus outlives ctx: when ctx ends, the handlers still finish what has begun.
	if e.options.mode != step {
		if err := e.bus.Start(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
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
