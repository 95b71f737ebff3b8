package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/candles"
)

// options is what the command line says.
type options struct {
	csv        string // empty: the embedded S&P 500
	reading    candles.Options
	fast, slow int
	lot, cash  decimal.Decimal
	strategy   string
	least      decimal.Decimal // equity below which nothing is bought; 0: none
	json       bool
	plot       string // empty: no plot
	log        slog.Level
	mode       mode
}

// A mode says who runs the handlers. The report is the same in each.
type mode string

const (
	live   mode = "live"   // a goroutine for each queue
	single mode = "single" // one goroutine for all queues
	step   mode = "step"   // the feed's, when it has told of something
)

// What -strategy can be.
const (
	crossover = "crossover"
	breakout  = "breakout"
)

const synopsis = `Usage: tradingengine [flags]

Trades the crossing of two moving averages of candles, or a breakout, on paper, on an event bus,
and reports what came of it. Without -csv it plays twenty years of the S&P 500.

`

// maxDecimals is how many digits after the point a decimal holds exactly; beyond them a product is cut off. The
// digits of a price and of the lot are no more together, so that a price times a quantity is exact.
const maxDecimals = 19

// parseOptions writes usage and errors to stderr; flag.ErrHelp is the answer to -h.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("tradingengine", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, synopsis)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.csv, "csv", "",
		"read candles from `file`: CSV with or without a header, plain or packed, as exchanges and programs write it")
	flags.StringVar(&o.reading.Symbol, "symbol", "", "of a file with several instruments, trade `name`, or column=name")
	flags.StringVar(&o.reading.Dates, "dates", "", "read dates such as 01/02/2024 in `order` mdy, dmy or ymd, where the file does not tell")
	flags.StringVar(&o.reading.Decimal, "decimal", "", "read numbers such as 1,234 with `point` or comma before the decimals, where the file does not tell")
	flags.StringVar(&o.strategy, "strategy", crossover,
		"trade `how`: crossover, of a fast and a slow moving average; breakout, in above the last slow closes and out below the last fast")
	flags.IntVar(&o.fast, "fast", 50, "candles in the fast moving average, or for the way out")
	flags.IntVar(&o.slow, "slow", 200, "candles in the slow moving average, or for the way in")
	flags.TextVar(&o.least, "least", decimal.Zero, "buy nothing when the equity is below this `amount`")
	flags.TextVar(&o.lot, "lot", decimal.MustParse("1"), "trade multiples of this `quantity`")
	flags.TextVar(&o.cash, "cash", decimal.MustParse("100000"), "start with this `amount` of cash")
	flags.BoolVar(&o.json, "json", false, "print the report as one JSON object")
	flags.StringVar(&o.plot, "plot", "", "draw prices, averages, trades and equity into `file` (.svg or .png)")
	flags.TextVar(&o.log, "log", slog.LevelWarn, "log what the bus does from this `level` up: debug, info, warn or error")
	flags.StringVar((*string)(&o.mode), "mode", string(live), "run the handlers `how`: live, on a goroutine for each queue; single, on one for all; step, on the feed's own")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.reading.Digits = maxDecimals - o.lot.Prec()
	err := o.check(flags.Args())
	if err != nil {
		fmt.Fprintf(stderr, "tradingengine: %v\nRun with -h for help.\n", err)
	}
	return o, err
}

func (o options) check(args []string) error {
	switch ext := strings.ToLower(filepath.Ext(o.plot)); {
	case len(args) > 0:
		return fmt.Errorf("unexpected argument %q: a file is given with -csv", args[0])
	case o.fast < 1:
		return fmt.Errorf("-fast %d: must be at least 1", o.fast)
	case o.slow <= o.fast:
		return fmt.Errorf("-slow %d: must be more than -fast, %d", o.slow, o.fast)
	case o.slow > maxWindow:
		return fmt.Errorf("-slow %d: must be at most %d", o.slow, maxWindow)
	case !o.lot.IsPos():
		return fmt.Errorf("-lot %s: must be more than 0", o.lot)
	case !o.cash.IsPos():
		return fmt.Errorf("-cash %s: must be more than 0", o.cash)
	case o.strategy != crossover && o.strategy != breakout:
		return fmt.Errorf("-strategy %q: must be crossover or breakout", o.strategy)
	case o.least.IsNeg():
		return fmt.Errorf("-least %s: must not be negative", o.least)
	case o.mode != live && o.mode != single && o.mode != step:
		return fmt.Errorf("-mode %q: must be live, single or step", o.mode)
	case !slices.Contains([]string{"", "mdy", "dmy", "ymd"}, o.reading.Dates):
		return fmt.Errorf("-dates %s: must be mdy, dmy or ymd", o.reading.Dates)
	case !slices.Contains([]string{"", "point", "comma"}, o.reading.Decimal):
		return fmt.Errorf("-decimal %s: must be point or comma", o.reading.Decimal)
	case o.plot != "" && ext != ".svg" && ext != ".png":
		return errors.New("-plot " + o.plot + ": the file's name must end in .svg or .png")
	}
	folder := filepath.Dir(o.plot) // the current one if there is no plot
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("-plot %s: there is no folder %s", o.plot, folder)
	}
	return nil
}

// describe names the strategy in reports.
func (o options) describe() string {
	if o.strategy == breakout {
		return fmt.Sprintf("breakout of %d closes, out below %d", o.slow, o.fast)
	}
	return fmt.Sprintf("moving averages %d and %d", o.fast, o.slow)
}

// source names the data in reports.
func (o options) source() string {
	if o.csv == "" {
		return "S&P 500"
	}
	return strings.TrimSuffix(filepath.Base(o.csv)+" "+o.reading.Symbol, " ")
}

// maxWindow bounds what an average keeps in memory.
const maxWindow = 1_000_000
