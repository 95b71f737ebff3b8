package main

import (
	"fmt"
	"io"
	"time"

	"github.com/eventbus-go/eventbus"
)

// spin is how long the spinning bus looks for events before it sleeps.
const spin = 50 * time.Microsecond

func openSpinningBus(hs []handler) (*carrier, error) {
	return busCarrier(subscribeAll(hs), publishPlain, eventbus.WithSpin(spin))
}

// paces are what spinning is measured with: pauses that it bridges, and pauses that outlast it.
var paces = []struct {
	pace
	events int // a round
}{
	{busy, 5_000},
	{sleepy, 200},
}

const spinText = `### Spinning

Latency of one event into an idle bus, from just before its publish to inside its handler, with WithSpin(%v) and
without: the median of each round, and its 99th percentile. A processor that still spins need not be woken. It takes a
core for that, and one must be free; after a pause longer than it spins it sleeps on both sides.

`

// reportSpin measures the latency with and without spinning in turn.
func reportSpin(cfg config, w io.Writer) error {
	var t table
	t.row("between events the publisher", "default, ns", "spinning, ns", "spinning ÷ default", "middle half", "99th, default, ns", "99th, spinning, ns")
	for _, p := range paces {
		events := cfg.events(p.events)
		got, err := cfg.takeTurns("figures/spin/"+p.name,
			side{"default", events, runLatency(openBus, p.pace)},
			side{"spin", events, runLatency(openSpinningBus, p.pace)})
		if err != nil {
			return err
		}
		sleeping, spinning := got[0], got[1]
		rs := ratios(spinning, sleeping)
		t.row(p.name, ns(median(pick(sleeping, sample.nsPerEvent))), ns(median(pick(spinning, sample.nsPerEvent))),
			ratio(median(rs)), middleHalf(rs),
			ns(median(pick(sleeping, sample.tailNs))), ns(median(pick(spinning, sample.tailNs))))
	}
	fmt.Fprintf(w, spinText, spin)
	t.write(w)
	return nil
}
