package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/contrib/inspect"
	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

// trading is an engine with what the report is made of.
type trading struct {
	engine   *engine.Engine
	stream   *live.Stream
	account  *live.Account
	ledger   *engine.Ledger
	cash     decimal.Decimal // at the start
	quotes   atomic.Int64    // that the account has heard
	failures inspect.Failures
	journal  *journal.Journal // nil: none
	clock    record.Clock
	restored record.Restored
}

// slowHandler is longer than an exchange takes to answer.
const slowHandler = 500 * time.Millisecond

// newTrading is where the components are chosen. To trade with others, put them in here.
func newTrading(ctx context.Context, o options, log *slog.Logger) (*trading, error) {
	t := &trading{stream: &live.Stream{URL: o.URL, Log: log}, cash: decimal.MustParse("100000")}
	t.ledger = engine.NewLedger(t.cash, 0)
	c := engine.Config{
		Feed:       t.stream,
		Strategies: []engine.Strategy{&engine.PerSymbol{New: func() engine.Strategy { return engine.NewCrossover(o.Fast, o.Slow) }}},
		Risk:       []engine.Risk{engine.LossLimit{Least: decimal.MustFromInt64(o.Least, 0)}},
		Portfolio:  t.ledger,
		Cash:       t.cash,
		Lot:        decimal.One,
		Budget:     decimal.MustParse("10000"),
		Options: []eventbus.Option{eventbus.WithLogger(log), eventbus.WithSlowHandler(slowHandler), eventbus.WithCauses(), eventbus.WithLatencies(),
			eventbus.WithErrorHandler(t.failures.Record)},
	}
	run := record.Run[parameters]{Program: "liveengine", Name: fmt.Sprintf("run%d", time.Now().UnixNano()), Parameters: o.parameters}
	if o.journal != "" {
		if err := t.record(o.journal, &run, &c); err != nil {
			return nil, fmt.Errorf("-journal: %w", err)
		}
	}
	t.account = live.NewAccount(o.URL, run.Name, decimal.One, log)
	c.Broker = t.account
	if err := t.wire(ctx, c); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// wire makes the engine and restores it. Quotes are beyond what an engine needs: the account hears them itself, and those
// of today alone.
func (t *trading) wire(ctx context.Context, c engine.Config) (err error) {
	if t.engine, err = engine.New(c); err != nil {
		return err
	}
	if t.journal != nil {
		if err := t.restore(ctx); err != nil {
			return fmt.Errorf("-journal: %w", err)
		}
	}
	engine.QuoteChanged.Subscribe(t.engine.Bus(), func(ctx context.Context, q engine.Quote) error {
		t.quotes.Add(1)
		return t.account.OnQuote(ctx, q)
	}, eventbus.WithName("*live.Account.OnQuote"))
	return nil
}

// record opens the journal for one more session, whose client ids begin with the name of the first. On one goroutine the
// order of events is that of the journal, and an order is on the disk, or it is not sent.
func (t *trading) record(path string, run *record.Run[parameters], c *engine.Config) error {
	first, err := record.First[parameters](path, run.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, record.ErrEmpty):
		first = *run
	case err != nil:
		return err
	case first.Parameters != run.Parameters:
		return fmt.Errorf("%s: was recorded with %+v: give the same, or another file", path, first.Parameters)
	}
	*run = first
	if t.journal, err = record.Open(path, first); err != nil {
		return err
	}
	c.Options = append(c.Options, eventbus.WithSingleThread(), eventbus.WithClock(t.clock.Now))
	c.BrokerOptions = append(c.BrokerOptions, eventbus.Use(t.journal.Before()))
	return nil
}

// restore replays what is recorded, and begins to record. Nothing is sent; Run will ask about the orders that may work.
func (t *trading) restore(ctx context.Context) (err error) {
	bus := t.engine.Bus()
	candles := engine.CandleClosed.Subscribe(bus, func(_ context.Context, c engine.Candle) error {
		t.stream.Resume(c)
		return nil
	})
	defer candles.Unsubscribe()
	if t.restored, err = record.Restore(ctx, t.engine, t.journal.Path(), &t.clock); err != nil {
		return err
	}
	for _, o := range t.restored.Open {
		t.account.Resume(o.Order, o.Filled)
	}
	t.journal.Record(bus)
	return nil
}

// close ends the journal, if there is one.
func (t *trading) close() error {
	if t.journal == nil {
		return nil
	}
	return t.journal.Close()
}
