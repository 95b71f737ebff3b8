package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// session is an engine with what the report is made of.
type session struct {
	options options
	engine  *engine.Engine
	broker  *engine.PaperBroker
	ledger  *engine.Ledger
	chart   *chart // nil when nothing is to be drawn
}

// newSession is where the components are chosen. To trade with others, put them in here.
func newSession(o options, candles engine.Source, progress func(), logger *slog.Logger) (*session, error) {
	s := &session{options: o, broker: engine.NewPaperBroker(o.lot)}
	if o.json {
		s.ledger = engine.NewLedger(o.cash, 0)
	} else {
		s.ledger = engine.NewLedger(o.cash, tradesShown)
	}
	c := engine.Config{
		Feed:       &engine.Replay{Candles: candles, Progress: progress, Stepped: o.mode == step},
		Strategies: []engine.Strategy{engine.NewCrossover(o.fast, o.slow)},
		Broker:     s.broker,
		Portfolio:  s.ledger,
		Cash:       o.cash,
		Lot:        o.lot,
		Stepped:    o.mode == step,
		Options:    []eventbus.Option{eventbus.WithLogger(logger)},
	}
	if o.strategy == breakout {
		c.Strategies = []engine.Strategy{engine.NewBreakout(o.slow, o.fast)}
	}
	if o.least.IsPos() {
		c.Risk = append(c.Risk, engine.LossLimit{Least: o.least})
	}
	if o.mode == single {
		c.Options = append(c.Options, eventbus.WithSingleThread())
	}
	var err error
	if s.engine, err = engine.New(c); err != nil {
		return nil, err
	}
	if o.plot != "" {
		s.chart = newChart(o.fast, o.slow, o.cash)
		s.chart.subscribe(s.engine.Bus())
	}
	return s, nil
}

// run plays all candles, or those until ctx ends, and reports on them.
func (s *session) run(ctx context.Context) (*report, error) {
	began := time.Now()
	err := s.engine.Run(ctx)
	interrupted := err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	if err != nil && !interrupted {
		return nil, err
	}
	return s.report(time.Since(began), interrupted), nil
}
