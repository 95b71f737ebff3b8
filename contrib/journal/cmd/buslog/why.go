package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// A place is where an event was handled, as causes name it.
type place struct {
	session uint64
	queue   eventbus.Queue
	seq     uint64
}

// why prints the chain of causes of one record, the event from outside first.
func why(_ context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("why", flag.ContinueOnError)
	field := flags.String("id", "", "find the first record whose payload has the identifier in this `field`: id, or order.id inside an object")
	rest, err := parse(flags, args, errs, "FILE", "N|ID")
	if err != nil {
		return err
	}
	find, err := finder(*field, rest[1])
	if err != nil {
		return err
	}
	found, causes, err := search(rest[0], find)
	switch {
	case err != nil:
		return err
	case found == nil && *field != "":
		return fmt.Errorf("no payload has %s %s", *field, rest[1])
	case found == nil:
		return fmt.Errorf("there is no record %s", rest[1])
	}
	return printChain(out, rest[0], found, causes)
}

// finder returns what recognizes the record that is asked for.
func finder(field, what string) (func(*journal.Record) bool, error) {
	if field != "" {
		path := strings.Split(field, ".")
		return func(r *journal.Record) bool { return hasID(r.Data, path, what) }, nil
	}
	n, err := strconv.ParseUint(what, 10, 64)
	if err != nil {
		return nil, misuse("%q is no record number; for an identifier in the payload say in which field: -id FIELD", what)
	}
	return func(r *journal.Record) bool { return r.N == n }, nil
}

// hasID reports whether a payload has the identifier, a string or a number, at path.
func hasID(data json.RawMessage, path []string, id string) bool {
	// Most have not, and need not be decoded. Where nothing is escaped a string is in the
	// payload as it is; encoding/json escapes &, < and >, too.
	if !bytes.Contains(data, []byte(id)) && bytes.IndexByte(data, '\\') < 0 {
		return false
	}
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil {
			return false
		}
		data = object[name]
	}
	var s string
	if json.Unmarshal(data, &s) == nil {
		return s == id
	}
	return string(data) == id
}

// search returns the first record that find recognizes, and the number and the cause of each
// event of its session before it. They take some 100 bytes of memory an event: 10 GB of a
// session with 100 million before the record.
func search(path string, find func(*journal.Record) bool) (found *journal.Record, causes map[place]step, err error) {
	causes = make(map[place]step)
	session := uint64(0)
	for r, err := range journal.Read(path) {
		if err != nil {
			return nil, nil, err
		}
		if r.Session != session {
			clear(causes)
			session = r.Session
		}
		s := step{n: r.N}
		if c := r.Cause; c != nil {
			s.cause = place{r.Session, c.Queue, c.Seq}
		}
		causes[place{r.Session, r.Queue, r.Seq}] = s
		if find(&r) {
			return &r, causes, nil
		}
	}
	return nil, nil, nil
}

// A step is an event on the way back.
type step struct {
	n     uint64
	cause place // the zero value for an event from outside
}

// chain returns the numbers of r and of what led to it, and whether all of that is there.
func chain(r *journal.Record, causes map[place]step) (numbers map[uint64]bool, complete bool) {
	numbers = make(map[uint64]bool)
	at, complete := place{r.Session, r.Queue, r.Seq}, true
	for at != (place{}) && complete {
		s, known := causes[at]
		numbers[s.n], complete = true, known
		at = s.cause
	}
	return numbers, complete
}

// printChain prints what led to r.
func printChain(out io.Writer, path string, r *journal.Record, causes map[place]step) error {
	wanted, complete := chain(r, causes)
	if !complete {
		root := r.Cause.Root
		fmt.Fprintf(out, "the chain began with %v %d %s, but a part of it is not in the file\n", root.Queue, root.Seq, plain(string(root.Type)))
	}
	start := int64(0)
	for l, err := range journal.Read(path) {
		if err != nil {
			return err
		}
		if !wanted[l.N] {
			continue
		}
		after := ""
		if start == 0 {
			start = l.Time
		} else if l.Time != 0 {
			after = fmt.Sprintf("  +%v", time.Duration(l.Time-start))
		}
		fmt.Fprintln(out, line(&l)+after)
		if l.N == r.N {
			break
		}
	}
	return nil
}
