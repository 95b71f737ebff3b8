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
	restored record.Restored
}

// slowHandler is longer than an exchange takes to answer.
const slowHandler = 500 * time.Millisecond

// newTrading is where the components are chosen. To trade with others, put them in here.
func newTrading(ctx context.Context, o options, log *slog.Logger) (t *trading, err error) {
	t = &trading{stream: &live.Stream{URL: o.URL, Log: log}, cash: decimal.MustParse("100000")}
	run := record.Run[parameters]{Program: "liveengine", Name: fmt.Sprintf("run%d", time.Now().UnixNano()), Parameters: o.parameters}
	clock := &record.Clock{}
	options := []eventbus.Option{eventbus.WithLogger(log), eventbus.WithSlowHandler(slowHandler), eventbus.WithCauses(), eventbus.WithLatencies(),
		eventbus.WithErrorHandler(t.failures.Record)}
	var sending []eventbus.SubscribeOption
	if o.journal != "" {
		if run, err = t.open(o, run); err != nil {
			return nil, fmt.Errorf("-journal: %w", err)
		}
		// On one goroutine the order of events is that of the journal; and an order is on the disk, or it is not sent.
		options = append(options, eventbus.WithSingleThread(), eventbus.WithClock(clock.Now))
		sending = append(sending, eventbus.Use(t.journal.Before()))
	}
	t.account = live.NewAccount(o.URL, run.Name, decimal.One, log)
	t.ledger = engine.NewLedger(t.cash, 0)
	t.engine, err = engine.New(engine.Config{
		Feed:       t.stream,
		Strategies: []engine.Strategy{&engine.PerSymbol{New: func() engine.Strategy { return engine.NewCrossover(o.Fast, o.Slow) }}},
		Risk:       []engine.Risk{engine.LossLimit{Least: decimal.MustFromInt64(o.Least, 0)}},
		Broker:     t.account,
		Portfolio:  t.ledger,
		Cash:       t.cash,
		Lot:        decimal.One,
		Budget:     decimal.MustParse("10000"),
		Options:    options,
		Sending:    sending,
	})
	if err == nil && o.journal != "" {
		err = t.restore(ctx, o.journal, clock)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	// Quotes are beyond what an engine needs: the account hears them itself, and those of today alone.
	engine.QuoteChanged.Subscribe(t.engine.Bus(), func(ctx context.Context, q engine.Quote) error {
		t.quotes.Add(1)
		return t.account.OnQuote(ctx, q)
	}, eventbus.WithName("*live.Account.OnQuote"))
	return t, nil
}

// open opens the journal for one more session. The client ids of its orders begin with the name of the first.
func (t *trading) open(o options, run record.Run[parameters]) (record.Run[parameters], error) {
	first, err := record.First[parameters](o.journal, run.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, record.ErrEmpty):
		first = run
	case err != nil:
		return run, err
	case first.Parameters != o.parameters:
		return run, fmt.Errorf("%s: was recorded with %+v: give the same, or another file", o.journal, first.Parameters)
	}
	t.journal, err = record.Open(o.journal, first)
	return first, err
}

// restore replays what is recorded, and begins to record. Nothing is sent; Run will ask about the orders that may work.
func (t *trading) restore(ctx context.Context, path string, clock *record.Clock) (err error) {
	bus := t.engine.Bus()
	candles := engine.CandleClosed.Subscribe(bus, func(_ context.Context, c engine.Candle) error {
		t.stream.Resume(c)
		return nil
	})
	defer candles.Unsubscribe()
	if t.restored, err = record.Restore(ctx, t.engine, path, clock); err != nil {
		return fmt.Errorf("-journal: %w", err)
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
