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

// options is what the command line says, and in a replay what the journal does.
type options struct {
	parameters
	csv     string // empty: the embedded S&P 500
	source  string // the data, in reports
	reading candles.Options
	json    bool
	plot    string // empty: no plot
	journal string // to record into; empty: none
	replay  string // the journal to play in place of candles; empty: none
	log     slog.Level
	mode    mode
}

// parameters decide what is traded. They are in the report and in a journal.
type parameters struct {
	Strategy string          `json:"strategy"`
	Fast     int             `json:"fast"`
	Slow     int             `json:"slow"`
	Lot      decimal.Decimal `json:"lot"`
	Cash     decimal.Decimal `json:"cash"`
	Least    decimal.Decimal `json:"least"`  // equity after the last fill below which nothing is bought; 0: none
	Symbol   string          `json:"symbol"` // as -symbol says; empty without
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
	flags.StringVar(&o.Symbol, "symbol", "", "of a file with several instruments, trade `name`, or column=name")
	flags.StringVar(&o.reading.Dates, "dates", "", "read dates such as 01/02/2024 in `order` mdy, dmy or ymd, where the file does not tell")
	flags.StringVar(&o.reading.Decimal, "decimal", "", "read numbers such as 1,234 with `point` or comma before the decimals, where the file does not tell")
	flags.StringVar(&o.Strategy, "strategy", crossover,
		"trade `how`: crossover, of a fast and a slow moving average; breakout, in above the last slow closes and out below the last fast")
	flags.IntVar(&o.Fast, "fast", 50, "candles in the fast moving average, or for the way out")
	flags.IntVar(&o.Slow, "slow", 200, "candles in the slow moving average, or for the way in")
	flags.TextVar(&o.Least, "least", decimal.Zero, "buy nothing when the equity after the last fill is below this `amount`")
	flags.TextVar(&o.Lot, "lot", decimal.MustParse("1"), "trade multiples of this `quantity`")
	flags.TextVar(&o.Cash, "cash", decimal.MustParse("100000"), "start with this `amount` of cash")
	flags.BoolVar(&o.json, "json", false, "print the report as one JSON object")
	flags.StringVar(&o.plot, "plot", "", "draw prices, averages, trades and equity into `file` (.svg or .png)")
	flags.StringVar(&o.journal, "journal", "", "record the run in `file`, which must be new")
	flags.StringVar(&o.replay, "replay", "", "play the journal in `file` again, as it was traded, in place of candles")
	flags.TextVar(&o.log, "log", slog.LevelWarn, "log what the bus does from this `level` up: debug, info, warn or error")
	flags.StringVar((*string)(&o.mode), "mode", string(live), "run the handlers `how`: live, on a goroutine for each queue; single, on one for all; step, on the feed's own")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.reading.Symbol, o.reading.Digits = o.Symbol, maxDecimals-o.Lot.Prec()
	o.source = "S&P 500"
	if o.csv != "" {
		o.source = strings.TrimSuffix(filepath.Base(o.csv)+" "+o.Symbol, " ")
	}
	err := o.check(flags.Args())
	flags.Visit(func(f *flag.Flag) {
		if o.replay != "" && !slices.Contains([]string{"replay", "json", "plot", "log"}, f.Name) {
			err = fmt.Errorf("-replay %s: the run is traded as it was recorded: leave -%s out", o.replay, f.Name)
		}
	})
	if err != nil {
		fmt.Fprintf(stderr, "tradingengine: %v\nRun with -h for help.\n", err)
	}
	return o, err
}

func (o options) check(args []string) error {
	switch ext := strings.ToLower(filepath.Ext(o.plot)); {
	case len(args) > 0:
		return fmt.Errorf("unexpected argument %q: a file is given with -csv", args[0])
	case o.Fast < 1:
		return fmt.Errorf("-fast %d: must be at least 1", o.Fast)
	case o.Slow <= o.Fast:
		return fmt.Errorf("-slow %d: must be more than -fast, %d", o.Slow, o.Fast)
	case o.Slow > maxWindow:
		return fmt.Errorf("-slow %d: must be at most %d", o.Slow, maxWindow)
	case !o.Lot.IsPos():
		return fmt.Errorf("-lot %s: must be more than 0", o.Lot)
	case !o.Cash.IsPos():
		return fmt.Errorf("-cash %s: must be more than 0", o.Cash)
	case o.Strategy != crossover && o.Strategy != breakout:
		return fmt.Errorf("-strategy %q: must be crossover or breakout", o.Strategy)
	case o.Least.IsNeg():
		return fmt.Errorf("-least %s: must not be negative", o.Least)
	case o.mode != live && o.mode != single && o.mode != step:
		return fmt.Errorf("-mode %q: must be live, single or step", o.mode)
	case !slices.Contains([]string{"", "mdy", "dmy", "ymd"}, o.reading.Dates):
		return fmt.Errorf("-dates %s: must be mdy, dmy or ymd", o.reading.Dates)
	case !slices.Contains([]string{"", "point", "comma"}, o.reading.Decimal):
		return fmt.Errorf("-decimal %s: must be point or comma", o.reading.Decimal)
	case o.plot != "" && ext != ".svg" && ext != ".png":
		return errors.New("-plot " + o.plot + ": the file's name must end in .svg or .png")
	}
	if _, err := os.Stat(o.journal); o.journal != "" && err == nil {
		return fmt.Errorf("-journal %s: there is such a file already: choose another name, or play it with -replay", o.journal)
	}
	folder := filepath.Dir(o.plot) // the current one if there is no plot
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("-plot %s: there is no folder %s", o.plot, folder)
	}
	return nil
}

// describe names the strategy in reports.
func (o options) describe() string {
	if o.Strategy == breakout {
		return fmt.Sprintf("breakout of %d closes, out below %d", o.Slow, o.Fast)
	}
	return fmt.Sprintf("moving averages %d and %d", o.Fast, o.Slow)
}

// maxWindow bounds what an average keeps in memory.
const maxWindow = 1_000_000
