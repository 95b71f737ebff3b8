package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// A kind is what stats counts apart.
type kind struct {
	queue eventbus.Queue
	typ   eventbus.EventType
}

// A count is of one kind.
type count struct {
	kind
	events, outside, unencoded, bytes uint64
	first, last                       int64 // times; 0 if none has one
}

func (c *count) add(r *journal.Record) {
	c.events++
	c.bytes += uint64(len(r.Data))
	if r.FromOutside() {
		c.outside++
	}
	if r.Error != "" {
		c.unencoded++
	}
	if r.Time != 0 {
		if c.first == 0 {
			c.first, c.last = r.Time, r.Time
		}
		c.first, c.last = min(c.first, r.Time), max(c.last, r.Time)
	}
}

// rate returns the events a second between the first and the last.
func (c *count) rate() string {
	d := time.Duration(c.last - c.first)
	if d <= 0 || c.events < 2 {
		return "-"
	}
	return fmt.Sprintf("%.4g", float64(c.events-1)/d.Seconds())
}

func stats(_ context.Context, args []string, out, errs io.Writer) error {
	rest, err := parse(flag.NewFlagSet("stats", flag.ContinueOnError), args, errs, "FILE")
	if err != nil {
		return err
	}
	manifests, err := journal.Manifests(rest[0])
	if err != nil {
		return err
	}
	counts, total := make(map[kind]*count), &count{}
	for r, err := range journal.Read(rest[0]) {
		if err != nil {
			return err
		}
		k := kind{r.Queue, r.Type}
		if counts[k] == nil {
			counts[k] = &count{kind: k}
		}
		counts[k].add(&r)
		total.add(&r)
	}
	info, err := os.Stat(rest[0])
	if err != nil {
		return err
	}
	return printStats(out, manifests, counts, total, info.Size())
}

func printStats(out io.Writer, manifests []journal.Manifest, counts map[kind]*count, total *count, size int64) error {
	fmt.Fprintf(out, "%d records in %d bytes", total.events, size)
	if total.events > 0 {
		fmt.Fprintf(out, ", %.1f a record", float64(size)/float64(total.events))
	}
	fmt.Fprintln(out)
	for _, m := range manifests {
		fmt.Fprintf(out, "session %d began %s", m.Session, when(m.Start))
		if len(m.Meta) > 0 {
			fmt.Fprintf(out, "  %s", m.Meta)
		}
		fmt.Fprintln(out)
	}
	sorted := make([]*count, 0, len(counts))
	for _, c := range counts {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b *count) int { return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.typ, b.typ)) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QUEUE\tTYPE\tEVENTS\tOUTSIDE\tA SECOND\tPAYLOAD\tFIRST\tLAST")
	for _, c := range sorted {
		payload := "-"
		if n := c.events - c.unencoded; n > 0 {
			payload = fmt.Sprintf("%d B", c.bytes/n)
		}
		fmt.Fprintf(w, "%v\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", c.queue, plain(string(c.typ)), c.events, c.outside, c.rate(), payload, when(c.first), when(c.last))
	}
	return w.Flush()
}
