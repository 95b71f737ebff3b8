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
	ledger  *engine.Ledger
	chart   *chart // nil when nothing is to be drawn
	ending  engine.Ending
}

// newSession is where the components are chosen. To trade with others, put them in here.
func newSession(o options, feed engine.Feed, logger *slog.Logger) (*session, error) {
	ends := tradesShown
	if o.json {
		ends = 0
	}
	s := &session{options: o, ledger: engine.NewLedger(o.Cash, ends)}
	c := engine.Config{
		Feed:       feed,
		Strategies: []engine.Strategy{engine.NewCrossover(o.Fast, o.Slow)},
		Broker:     engine.NewPaperBroker(o.Lot),
		Risk:       []engine.Risk{engine.LossLimit{Least: o.Least}},
		Portfolio:  s.ledger,
		Cash:       o.Cash,
		Lot:        o.Lot,
		Stepped:    o.mode == step,
		Options:    []eventbus.Option{eventbus.WithLogger(logger)},
	}
	if o.Strategy == breakout {
		c.Strategies = []engine.Strategy{engine.NewBreakout(o.Slow, o.Fast)}
	}
	if o.mode == single {
		c.Options = append(c.Options, eventbus.WithSingleThread())
	}
	if o.journal+o.replay != "" { // by its cause an event from outside is told from one that a handler has published
		c.Options = append(c.Options, eventbus.WithCauses())
	}
	var err error
	if s.engine, err = engine.New(c); err != nil {
		return nil, err
	}
	engine.FeedEnded.Subscribe(s.engine.Bus(), s.onEnd, eventbus.WithName("report"))
	if o.plot != "" {
		s.chart = newChart(o.Fast, o.Slow, s.ledger.Equity)
		s.chart.subscribe(s.engine.Bus())
	}
	return s, nil
}

func (s *session) onEnd(_ context.Context, e engine.Ending) error {
	s.ending = e
	return nil
}

// run plays all that the feed has, or what it tells until ctx ends, and reports on it.
func (s *session) run(ctx context.Context) (*report, error) {
	began := time.Now()
	err := s.engine.Run(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Cause(ctx))) {
		return nil, err
	}
	if s.ending.Took == 0 { // a replay that was cut short, or one of a run that was killed
		s.ending = engine.Ending{Took: time.Since(began), Interrupted: true}
		if ctx.Err() == nil {
			s.ending.Warnings = []string{s.options.replay + " has no end: the run was killed"}
		}
	}
	return s.report(), nil
}
