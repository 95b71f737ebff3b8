// Paperexchange is an exchange on paper, for engines to be tried on: random walks, or recorded candles, as the streams
// of an exchange, and orders that are filled in parts, refused at times and answered late.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/exchange"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "paperexchange:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c exchange.Config
	flags := flag.NewFlagSet("paperexchange", flag.ContinueOnError)
	address := flags.String("listen", "127.0.0.1:8790", "serve at this `address`")
	symbols := flags.String("symbols", "BTCUSDT,ETHUSDT,SOLUSDT", "trade these `names`")
	csv := flags.String("csv", "", "replay the candles of this `file` in all symbols, instead of random walks")
	flags.DurationVar(&c.Interval, "interval", time.Second, "tell of a candle so often")
	flags.Float64Var(&c.Speed, "speed", 1, "let the market's time run so much faster")
	flags.Uint64Var(&c.Seed, "seed", 1, "walk at random from this `number`")
	flags.DurationVar(&c.Latency, "latency", 2*time.Millisecond, "take orders so late")
	flags.Float64Var(&c.Rejects, "rejects", 0.1, "refuse this `share` of orders")
	flags.DurationVar(&c.Drop, "drop", 0, "end all market streams so often; 0: never")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	c.Symbols = strings.Split(*symbols, ",")
	if *csv != "" {
		if err := replay(ctx, &c, *csv); err != nil {
			return err
		}
	}
	return serve(ctx, c, *address)
}

// replay reads the file once for each symbol.
func replay(ctx context.Context, c *exchange.Config, csv string) error {
	sources := map[string]exchange.Source{}
	for _, symbol := range c.Symbols {
		file, err := candles.Open(ctx, csv, candles.Options{Digits: 9})
		if err != nil {
			return fmt.Errorf("-csv: %w", err)
		}
		sources[symbol] = file // the end of the process closes it
	}
	c.Replay = func(symbol string) exchange.Source { return sources[symbol] }
	return nil
}

// serve ends with ctx, or with the last candle.
func serve(ctx context.Context, c exchange.Config, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e, err := exchange.New(c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: e.Handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	fmt.Fprintf(os.Stderr, "paperexchange: %s at http://%s\n", strings.Join(c.Symbols, ", "), listener.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = e.Run(ctx)
	server.Close()
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		return ended
	}
	return err
}
