// Command buslog reads the journals of contrib/journal: what was recorded, how much of it,
// why an order was sent, and whether the file is whole.
//
//	buslog cat [-type T,…] [-queue Q,…] [-session N] [-from T] [-to T] [-json] [-follow] FILE
//	buslog stats FILE
//	buslog why [-id FIELD] FILE N|ID
//	buslog verify FILE
//
// why holds some 100 bytes in memory for each event of the session up to the record.
//
// It exits with 0 if all is well, with 1 if the file cannot be read or is damaged, or what
// was asked for is not in it, and with 2 if it is called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const usage = `usage: buslog COMMAND [FLAGS] FILE

  cat     print the records, one a line
  stats   count them by queue and type, with rates and the first and the last
  why     print the chain of events that led to a record, from outside on
  verify  read all of the file and say what is damaged, torn or missing

buslog COMMAND -h shows the flags of a command.
`

// A command is one of buslog's.
type command func(ctx context.Context, args []string, out, errs io.Writer) error

var commands = map[string]command{"cat": cat, "stats": stats, "why": why, "verify": verify}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// A usageError says that buslog was called wrongly.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errBad says that a command has printed what is wrong.
var errBad = errors.New("the file is damaged")

// run runs a command and returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage)
		return 2
	}
	do, known := commands[args[0]]
	switch {
	case args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help":
		fmt.Fprint(out, usage)
		return 0
	case !known:
		fmt.Fprintf(errs, "buslog: unknown command %q; want cat, stats, why or verify\n", args[0])
		return 2
	}
	err := do(ctx, args[1:], out, errs)
	var wrong *usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errBad):
		return 1
	case errors.As(err, &wrong):
		fmt.Fprintf(errs, "buslog %s: %v\n", args[0], err)
		return 2
	}
	fmt.Fprintf(errs, "buslog %s: %v\n", args[0], err)
	return 1
}

// parse reads flags and returns the arguments behind them, of which there must be as many
// as names.
func parse(flags *flag.FlagSet, args []string, errs io.Writer, names ...string) ([]string, error) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(errs, "usage: buslog %s [FLAGS]", flags.Name())
		for _, name := range names {
			fmt.Fprintf(errs, " %s", name)
		}
		fmt.Fprintln(errs)
		flags.SetOutput(errs)
		flags.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, misuse("%v", err)
	}
	if flags.NArg() != len(names) {
		return nil, misuse("%d arguments behind the flags, want %d: %v", flags.NArg(), len(names), names)
	}
	return flags.Args(), nil
}
