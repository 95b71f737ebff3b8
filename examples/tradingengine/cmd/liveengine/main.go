// Liveengine trades on an exchange, such as paperexchange, until it is told to stop: then it places no new order,
// cancels those that work, waits until the exchange has told the end of each, drains its bus and reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/contrib/inspect"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "liveengine:", err)
		os.Exit(1)
	}
}

// slowHandler is longer than an exchange takes to answer.
const slowHandler = 500 * time.Millisecond

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("liveengine", flag.ContinueOnError)
	flags.SetOutput(stderr)
	url := flags.String("url", "http://127.0.0.1:8790", "trade on the exchange at this `address`")
	length := flags.Duration("for", 0, "trade for so long; 0: until Ctrl-C or SIGTERM")
	fast := flags.Int("fast", 3, "candles in the fast moving average")
	slow := flags.Int("slow", 8, "candles in the slow moving average")
	least := flags.Int64("least", 90_000, "buy nothing when the equity is below this `amount`, of 100,000 at the start")
	address := flags.String("http", "", "serve a live page of the bus, metrics and profiles at this `address`, such as 127.0.0.1:8080")
	level := slog.LevelWarn
	flags.TextVar(&level, "log", level, "log from this `level` up: debug, info, warn or error")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *fast < 1 || *slow <= *fast || *slow > 100_000 {
		return fmt.Errorf("-fast %d, -slow %d: want 1 at least, and slow more than fast and 100000 at most", *fast, *slow)
	}
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	cash := decimal.MustParse("100000")
	t := &trading{
		stream:  &live.Stream{URL: *url, Log: log},
		account: live.NewAccount(*url, fmt.Sprintf("run%d", time.Now().UnixNano()), decimal.One, log),
		ledger:  engine.NewLedger(cash, 0),
		cash:    cash,
	}
	var failures inspect.Failures
	err := t.wire(engine.Config{
		Feed:       t.stream,
		Strategies: []engine.Strategy{&engine.PerSymbol{New: func() engine.Strategy { return engine.NewCrossover(*fast, *slow) }}},
		Risk:       []engine.Risk{engine.LossLimit{Least: decimal.MustFromInt64(*least, 0)}},
		Broker:     t.account,
		Portfolio:  t.ledger,
		Cash:       cash,
		Lot:        decimal.One,
		Budget:     decimal.MustParse("10000"),
		Options: []eventbus.Option{eventbus.WithLogger(log), eventbus.WithSlowHandler(slowHandler), eventbus.WithCauses(), eventbus.WithLatencies(),
			eventbus.WithErrorHandler(failures.Record)},
	})
	if err != nil {
		return err
	}
	stop := func() error { return nil }
	if *address != "" {
		if stop, err = watch(*address, t.engine.Bus(), &failures, stderr); err != nil {
			return err
		}
	}
	began := time.Now()
	err = t.engine.Run(ctx)
	if err == context.Cause(ctx) {
		err = nil
	}
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	return t.report(stdout, time.Since(began))
}
