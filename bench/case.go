package main

import (
	"fmt"
	"io"
)

// A Case is one piece of work done by the bus and by hand.
type Case struct {
	Name   string
	Bar    float64 // the bus may take this many times as long as by hand
	Reach  float64 // and should come down to this
	Events int     // a round
	Bus    runner
	Hand   runner
}

// cases are what the bus is judged by. The latency case times as many single events a round as it has Events.
func cases() []Case {
	return []Case{
		throughput("1 publisher, 1 handler", 1.25, 1.10, 1_000_000, load{publishers: 1, handlers: 1}),
		throughput("4 publishers, 1 handler", 1.15, 1.00, 1_000_000, load{publishers: 4, handlers: 1}),
		throughput("1 publisher, 10 handlers", 1.05, 0.85, 1_000_000, load{publishers: 1, handlers: 10}),
		throughput("4 publishers, 10 handlers", 0.90, 0.70, 1_000_000, load{publishers: 4, handlers: 10}),
		pipeline("pipeline data → signal → order", 1.50, 1.10, 500_000),
		{
			Name: "latency into an idle bus", Bar: 1.25, Reach: 1.00, Events: 200,
			Bus: runLatency(openBus, sleepy), Hand: runLatency(openHandIdle, sleepy),
		},
	}
}

func throughput(name string, bar, reach float64, events int, l load) Case {
	return Case{Name: name, Bar: bar, Reach: reach, Events: events, Bus: l.run(openBus), Hand: l.run(openHand)}
}

// pipeline has one handler, and so one tally, on each of the three queues.
func pipeline(name string, bar, reach float64, events int) Case {
	l := load{publishers: 1, handlers: 3}
	return Case{
		Name: name, Bar: bar, Reach: reach, Events: events,
		Bus: l.run(openBusPipeline), Hand: l.run(openHandPipeline),
	}
}

// verdict says how a ratio stands to the case's two figures.
func (c Case) verdict(ratio float64) string {
	switch {
	case ratio <= c.Reach:
		return "reached"
	case ratio <= c.Bar:
		return "made"
	default:
		return "missed"
	}
}

// A duel is both sides' samples, round by round.
type duel struct{ bus, hand []sample }

// compare runs a case's two sides in turn.
func compare(what string, c Case, cfg config) (duel, error) {
	events := cfg.events(c.Events)
	got, err := cfg.takeTurns(what, side{"bus", events, c.Bus}, side{"hand", events, c.Hand})
	if err != nil {
		return duel{}, err
	}
	return duel{got[0], got[1]}, nil
}

func (d duel) ratios() []float64 { return ratios(d.bus, d.hand) }

const barsText = `## The bus beside the same work by hand

Each round runs the bus and then the loop by hand; a ratio divides the two times of one round, and the figure judged is
the median of the ratios (the middle half of them stands behind it). The clock runs from the first publish until the
last handler has returned from the last event. The bus runs with all its defaults; by hand is
%[1]sfor e := range ch { for _, h := range handlers { if err := h(ctx, e); … } }%[1]s on a buffered channel of the same
capacity, with no recover, no stop and no counters. The nanoseconds are of an event. Beside the median over the rounds
stands the 99th percentile: of the throughputs that of the rounds, each of which is a mean over its events, and of the
latency that of the single events of a round, the median over the rounds. "made" keeps the bar, "reached" the figure to
reach for. Allocations are all of a round, shared out to its events: tests hold a publish that finds room and a dispatch
to none, and what is left comes of waiting at a full queue.

`

// tailNsOf is the 99th percentile of a side: that of single events where they are timed, else that of the rounds.
func tailNsOf(samples []sample) float64 {
	if timesSingly(samples) {
		return median(pick(samples, sample.tailNs))
	}
	return quantile(pick(samples, sample.nsPerEvent), 0.99)
}

// timesSingly reports whether the samples are of single events, and so have percentiles and no allocations.
func timesSingly(samples []sample) bool { return samples[0].tail > 0 }

// reportBars runs the cases that cfg wants and writes their table.
func reportBars(cfg config, w io.Writer) error {
	var t table
	t.row("case", "bus, ns", "p99", "by hand, ns", "p99", "bus ÷ by hand", "middle half", "bar", "reach for", "verdict")
	var allocs table
	allocs.row("allocations an event", "bus", "by hand")
	for _, c := range cases() {
		name := "bars/" + c.Name
		if !cfg.wants(name) {
			continue
		}
		d, err := compare(name, c, cfg)
		if err != nil {
			return err
		}
		rs := d.ratios()
		t.row(c.Name, ns(median(pick(d.bus, sample.nsPerEvent))), ns(tailNsOf(d.bus)),
			ns(median(pick(d.hand, sample.nsPerEvent))), ns(tailNsOf(d.hand)),
			ratio(median(rs)), middleHalf(rs), ratio(c.Bar), ratio(c.Reach), c.verdict(median(rs)))
		if timesSingly(d.bus) {
			continue
		}
		allocs.row(c.Name, count(median(pick(d.bus, sample.allocsPerEvent))), count(median(pick(d.hand, sample.allocsPerEvent))))
	}
	if t.empty() {
		return nil
	}
	fmt.Fprintf(w, barsText, "`")
	t.write(w)
	allocs.write(w)
	return nil
}
