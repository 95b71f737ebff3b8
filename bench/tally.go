package main

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// A tally is a handler that counts its calls. It fills cache lines of its own, and the neighbour that the processor
// prefetches, so that handlers on different goroutines do not slow each other.
type tally struct {
	n    int           // calls so far; written by the goroutine that handles, one at a time
	want int           // set before the first publish
	done chan struct{} // closed by call number want
	_    [128 - 24]byte
}

func newTallies(n int) []tally { return make([]tally, n) }

// expect prepares ts for the given number of events. If spread, every event goes to one of them in turn, else to all.
// Nothing may be on its way to them.
func expect(ts []tally, events int, spread bool) {
	for i := range ts {
		want := events
		if spread {
			want = events / len(ts)
			if i < events%len(ts) {
				want++
			}
		}
		ts[i] = tally{want: want, done: make(chan struct{})}
		if want == 0 {
			close(ts[i].done)
		}
	}
}

// handlers returns the tallies as func values, which is how both the bus and a loop by hand hold them.
func handlers(ts []tally) []handler {
	hs := make([]handler, len(ts))
	for i := range ts {
		t := &ts[i]
		hs[i] = func(context.Context, eventbus.Event) error {
			t.n++
			if t.n == t.want {
				close(t.done)
			}
			return nil
		}
	}
	return hs
}

// missing returns how many calls the tallies still lack, and an error if one had a call too many.
func missing(ts []tally) (lost int, err error) {
	for i := range ts {
		if ts[i].n > ts[i].want {
			return 0, fmt.Errorf("handler %d was called %d times for %d events", i, ts[i].n, ts[i].want)
		}
		lost += ts[i].want - ts[i].n
	}
	return lost, nil
}
