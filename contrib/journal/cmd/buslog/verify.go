package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/eventbus-go/eventbus/contrib/journal"
)

// verify says what is wrong with a file. A torn tail is not: Open cuts it off.
func verify(_ context.Context, args []string, out, errs io.Writer) error {
	rest, err := parse(flag.NewFlagSet("verify", flag.ContinueOnError), args, errs, "FILE")
	if err != nil {
		return err
	}
	report, err := journal.Verify(rest[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records of %d sessions in %d bytes\n", report.Records, report.Sessions, report.Size)
	if report.Torn > 0 {
		fmt.Fprintf(out, "torn: the last %d bytes, from offset %d on, were not finished; Open cuts them off\n", report.Torn, report.Size-report.Torn)
	}
	if report.Unencoded > 0 {
		fmt.Fprintf(out, "without payload: %d records, whose payload could not be encoded\n", report.Unencoded)
	}
	for _, d := range report.Damage {
		fmt.Fprintf(out, "damaged: %s: %s\n", extent(d), d.Reason)
	}
	if report.Missing > 0 {
		fmt.Fprintf(out, "missing: %d records\n", report.Missing)
	}
	if len(report.Damage) > 0 {
		return errBad
	}
	return nil
}

// extent says which part of the file is damaged. Where records are missing, and no bytes
// are wrong, it is the block behind them.
func extent(d *journal.DamageError) string {
	switch d.Next {
	case 0:
		return fmt.Sprintf("from offset %d on", d.Offset)
	case d.Offset:
		return fmt.Sprintf("at offset %d", d.Offset)
	}
	return fmt.Sprintf("from offset %d to %d", d.Offset, d.Next)
}
