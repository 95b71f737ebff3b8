package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// A selection says which records cat prints.
type selection struct {
	types    []string
	queues   []eventbus.Queue
	session  uint64
	from, to instant
}

// has reports whether r is selected. A record without a time is before all times.
func (s *selection) has(r *journal.Record) bool {
	return (s.types == nil || slices.Contains(s.types, string(r.Type))) &&
		(s.queues == nil || slices.Contains(s.queues, r.Queue)) &&
		(s.session == 0 || s.session == r.Session) &&
		(!s.from.set || r.Time >= s.from.ns) && (!s.to.set || r.Time < s.to.ns)
}

// An instant is a time that a flag gives.
type instant struct {
	ns  int64
	set bool
}

func (i *instant) String() string { return "" }

// Set reads a time: RFC 3339, or ns since 1970.
func (i *instant) Set(s string) error {
	if ns, err := strconv.ParseInt(s, 10, 64); err == nil {
		*i = instant{ns, true}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("want a time as 2026-03-16T14:30:00Z, or ns since 1970")
	}
	*i = instant{t.UnixNano(), true}
	return nil
}

// A catCommand is what the flags of cat say.
type catCommand struct {
	selection
	asJSON, follow bool
}

// flags returns the flags that fill c.
func (c *catCommand) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("cat", flag.ContinueOnError)
	flags.Func("type", "print these types alone, separated by commas", func(v string) error {
		c.types = append(c.types, strings.Split(v, ",")...)
		return nil
	})
	flags.Func("queue", "print these queues alone: data, signal, order, separated by commas", func(v string) error {
		for _, name := range strings.Split(v, ",") {
			q, err := eventbus.ParseQueue(name)
			if err != nil {
				return err
			}
			c.queues = append(c.queues, q)
		}
		return nil
	})
	flags.Uint64Var(&c.session, "session", 0, "print one session alone")
	flags.Var(&c.from, "from", "print events from this `time` on: RFC 3339, or ns since 1970")
	flags.Var(&c.to, "to", "print events before this `time`")
	flags.BoolVar(&c.asJSON, "json", false, "print the records as JSON")
	flags.BoolVar(&c.follow, "follow", false, "wait for what is recorded next, until interrupted")
	return flags
}

func cat(ctx context.Context, args []string, out, errs io.Writer) error {
	var c catCommand
	rest, err := parse(c.flags(), args, errs, "FILE")
	if err != nil {
		return err
	}
	var opts []journal.ReadOption
	if c.follow {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		context.AfterFunc(ctx, stop) // a second interrupt ends the process, in case nobody reads what it prints
		opts = append(opts, journal.Follow(ctx))
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	for r, err := range journal.Read(rest[0], opts...) {
		if err != nil {
			return err
		}
		if !c.has(&r) {
			continue
		}
		if err := printRecord(w, &r, c.asJSON); err != nil {
			return err
		}
		if c.follow {
			w.Flush()
		}
	}
	return w.Flush()
}

func printRecord(w io.Writer, r *journal.Record, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintln(w, line(r))
	return err
}

// line returns a record for people.
//
//	4  2026-03-16T14:30:00.000000002Z  signal 1  signal  of data 1  {"tick":1}
func line(r *journal.Record) string {
	parts := []string{strconv.FormatUint(r.N, 10), when(r.Time), fmt.Sprintf("%v %d", r.Queue, r.Seq), plain(string(r.Type))}
	if r.Source != "" {
		parts = append(parts, "from "+plain(r.Source))
	}
	if c := r.Cause; c != nil {
		parts = append(parts, fmt.Sprintf("of %v %d", c.Queue, c.Seq))
	}
	if len(r.Data) > 0 {
		parts = append(parts, string(r.Data))
	}
	if r.Error != "" {
		parts = append(parts, "not recorded: "+plain(r.Error))
	}
	return strings.Join(parts, "  ")
}

// plain returns s, quoted if it could be taken for something else.
func plain(s string) string {
	if q := strconv.Quote(s); len(q) != len(s)+2 || strings.ContainsAny(s, " ") {
		return q
	}
	return s
}

func when(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
}
