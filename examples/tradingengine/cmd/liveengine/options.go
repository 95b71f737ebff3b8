package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// options is what the command line says.
type options struct {
	parameters
	length  time.Duration
	journal string // empty: none
	address string
	log     slog.Level
}

// parameters decide how the engine trades. A journal is continued with those it was recorded with.
type parameters struct {
	URL   string `json:"url"`
	Fast  int    `json:"fast"`
	Slow  int    `json:"slow"`
	Least int64  `json:"least"`
}

// parseOptions writes usage and errors to stderr; flag.ErrHelp is the answer to -h.
func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("liveengine", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.URL, "url", "http://127.0.0.1:8790", "trade on the exchange at this `address`")
	flags.DurationVar(&o.length, "for", 0, "trade for so long, from when a journal is read; 0: until Ctrl-C or SIGTERM")
	flags.IntVar(&o.Fast, "fast", 3, "candles in the fast moving average")
	flags.IntVar(&o.Slow, "slow", 8, "candles in the slow moving average")
	flags.Int64Var(&o.Least, "least", 90_000, "buy nothing when the equity after the last fill is below this `amount`, of 100,000 at the start")
	flags.StringVar(&o.journal, "journal", "", "record all events in `file` and go on where the last run in it has ended; the file and the time to read it grow; without one a killed engine leaves its orders at the exchange")
	flags.StringVar(&o.address, "http", "", "serve a live page of the bus, metrics and profiles at this `address`, such as 127.0.0.1:8080")
	flags.TextVar(&o.log, "log", slog.LevelWarn, "log from this `level` up: debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.Fast < 1 || o.Slow <= o.Fast || o.Slow > 100_000 {
		return o, fmt.Errorf("-fast %d, -slow %d: want 1 at least, and slow more than fast and 100000 at most", o.Fast, o.Slow)
	}
	return o, nil
}
