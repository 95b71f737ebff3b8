// Tradingengine plays candles, of the S&P 500 or of the user's own file, to a trading engine, trades on paper and
// reports the result. The engine, and who hears what in it, is package engine; its components are chosen in session.go.
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

	"github.com/eventbus-go/eventbus/examples/amount"
)

const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 and SIGINT, as a shell reports it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it ends with an exit status when the candles or ctx do.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	r, err := trade(ctx, o, stdout, stderr)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "tradingengine: %v\n", err)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		return exitFailure
	case r.Interrupted && ctx.Err() != nil: // and no replay of such a run
		fmt.Fprintf(stderr, "tradingengine: interrupted after %s candles; the report covers these\n", amount.Group(fmt.Sprint(r.Candles)))
		return exitInterrupted
	}
	return exitOK
}

func trade(ctx context.Context, o options, stdout, stderr io.Writer) (*report, error) {
	feed, done, err := openFeed(ctx, &o, stderr)
	if err != nil {
		return nil, err
	}
	s, err := newSession(o, feed, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.log})))
	if err != nil {
		return nil, err
	}
	r, err := s.recorded(ctx)
	done()
	if err != nil {
		return nil, err
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(stderr, "tradingengine: %s\n", warning)
	}
	write := r.writeText
	if o.json {
		write = r.writeJSON
	}
	if err := write(stdout); err != nil {
		return nil, err
	}
	if o.plot != "" {
		if r.Interrupted { // what was played is drawn all the same
			ctx = context.WithoutCancel(ctx)
		}
		return r, s.chart.save(ctx, o.plot, r.title())
	}
	return r, nil
}
