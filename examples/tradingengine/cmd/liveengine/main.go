// Liveengine trades on an exchange, such as paperexchange, until it is told to stop: then it places no new order,
// cancels those that work, waits until the exchange has told the end of each, drains its bus and reports. With a journal
// it goes on where it was, also when it was killed.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "liveengine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	t, err := newTrading(ctx, o, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.log})))
	if err != nil {
		return err
	}
	stop := func() error { return nil }
	if o.address != "" {
		if stop, err = watch(o.address, t.engine.Bus(), &t.failures, stderr); err != nil {
			return errors.Join(err, t.close())
		}
	}
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	began := time.Now()
	err = t.engine.Run(ctx)
	if err == context.Cause(ctx) {
		err = nil
	}
	if err = errors.Join(err, t.close(), stop()); err != nil {
		return err
	}
	return t.report(stdout, time.Since(began))
}
