package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

// openBar is how many times as long as by hand the 99th percentile may be, in the geometric mean of the timetables.
const openBar = 1.2

// A timetable says when the events of an open load are due, whatever has become of those before: so many at once, every
// period.
type timetable struct {
	name   string
	burst  int
	period time.Duration
	events int // a round
}

var timetables = []timetable{
	{"10,000 events/s", 1, 100 * time.Microsecond, 10_000},
	{"100,000 events/s", 1, 10 * time.Microsecond, 100_000},
	{"1,000,000 events/s", 1, time.Microsecond, 500_000},
	{"bursts of 20, 1,000 bursts/s", 20, time.Millisecond, 20_000},
	{"bursts of 200, 100 bursts/s", 200, 10 * time.Millisecond, 20_000},
}

// run returns a runner that times each event from when it was due to inside its handler. The sample's ns is the median of
// the round.
func (t timetable) run(open opener) runner {
	return func(events int) (sample, error) {
		a := newArrivals(max(events/10, 1), events)
		c, err := open([]handler{a.handle})
		if err != nil {
			return sample{}, err
		}
		runtime.GC()
		late, err := t.publish(c, a.left)
		if err == nil {
			err = a.await()
		}
		if err = errors.Join(err, c.close()); err != nil {
			return sample{}, err
		}
		return sample{
			ns: median(a.took), tail: quantile(a.took, 0.99), far: quantile(a.took, 0.999),
			late: quantile(late, 0.99),
		}, nil
	}
}

// publish sends the events from the goroutine that calls it, each with the moment at which it is due as its time, and
// returns how late it was itself each time that events were due.
func (t timetable) publish(c *carrier, events int) (late []float64, err error) {
	late = newTimes(events)
	e := template
	start := time.Now()
	for due := time.Duration(0); events > 0; due += t.period {
		late = append(late, float64(waitUntil(start, due)))
		e.Time = start.Add(due)
		for range min(t.burst, events) {
			if err := c.send(e); err != nil {
				return nil, err
			}
		}
		events -= t.burst
	}
	return late, nil
}

// waitUntil returns when due has passed since start, and by how much. It gives way as a publisher does that goes back to
// its socket, so that the consumer may run on its core. Sleeping comes back up to a millisecond late, and polling without
// giving way measures how long the system takes to wake a thread, on both sides.
func waitUntil(start time.Time, due time.Duration) (late time.Duration) {
	for {
		if late = time.Since(start) - due; late >= 0 {
			return late
		}
		runtime.Gosched()
	}
}

// arrivals is a handler that notes how long each event took. One goroutine calls it.
type arrivals struct {
	took   []float64 // ns, of the events after those that warm up
	events int       // that it will hold
	left   int       // events that have not arrived, those that warm up included
	done   chan struct{}
}

func newArrivals(warmUp, events int) *arrivals {
	return &arrivals{took: newTimes(events), events: events, left: warmUp + events, done: make(chan struct{})}
}

func (a *arrivals) handle(_ context.Context, e eventbus.Event) error {
	took := time.Since(e.Time)
	if a.left <= a.events {
		a.took = append(a.took, float64(took))
	}
	if a.left--; a.left == 0 {
		close(a.done)
	}
	return nil
}

// await returns when all have arrived.
func (a *arrivals) await() error {
	select {
	case <-a.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the events did not arrive within %v", patience)
	}
}

// newTimes returns room for n times. Its memory has been written to: a page fault would be part of what is timed.
func newTimes(n int) []float64 {
	times := make([]float64, n)
	for i := range times {
		times[i] = -1
	}
	return times[:0]
}

const openText = `## Latency under an open load

One publisher, one handler. Events are due at fixed times, whether or not those before have been handled, and each is timed
from when it was due, not from when it was sent, to inside its handler: a stall counts for every event that it holds up. By
hand is one goroutine that selects on a buffered channel of the same capacity, a stop and one ticker of 100 ms, its poll.
The percentiles are of the single events of a round, and the figures their medians over the rounds; the ratio is that of
the 99th percentiles of one round. Between events the publisher gives way and looks at the clock. How late it came to
what was due, because it was held up or still waited for room, is in the last columns, and part of the latencies of both
sides.

`

// reportOpen measures the timetables that cfg wants.
func reportOpen(cfg config, w io.Writer) error {
	t := table{rows: [][]string{{
		"ns from when an event was due", "bus, p50", "p99", "p99.9", "by hand, p50", "p99", "p99.9",
		"bus ÷ by hand, p50", "p99", "middle half", "publisher late, p99, bus", "by hand",
	}}}
	var tails []float64
	for _, tt := range timetables {
		if !cfg.wants("open/" + tt.name) {
			continue
		}
		d, err := compare("open/"+tt.name, Case{Events: tt.events, Bus: tt.run(openBus), Hand: tt.run(openHandPoll)}, cfg)
		if err != nil {
			return err
		}
		tail := ratiosOf(d.bus, d.hand, sample.tailNs)
		tails = append(tails, median(tail))
		row := []string{tt.name}
		for _, side := range [][]sample{d.bus, d.hand} {
			for _, field := range []func(sample) float64{sample.nsPerEvent, sample.tailNs, sample.farNs} {
				row = append(row, ns(median(pick(side, field))))
			}
		}
		t.row(append(row, ratio(median(d.ratios())), ratio(median(tail)), middleHalf(tail),
			ns(median(pick(d.bus, sample.lateNs))), ns(median(pick(d.hand, sample.lateNs))))...)
	}
	if t.empty() {
		return nil
	}
	fmt.Fprint(w, openText)
	t.write(w)
	if len(tails) == len(timetables) {
		mean := geometricMean(tails)
		fmt.Fprintf(w, "The geometric mean of the ratios of the 99th percentiles is %s; the bar is %s: %s.\n\n",
			ratio(mean), ratio(openBar), Case{Bar: openBar}.verdict(mean))
	}
	return nil
}
