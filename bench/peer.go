package main

import (
	"fmt"
	"io"
	"strings"
)

// A peer is another way to get events to handlers. What it promises is told beside its figures, so that nobody compares
// unlike things unknowingly.
type peer struct {
	name   string
	module string // whose version is shown; empty for what is written here
	events int    // a round; more where 200,000 would fit into a few of its bounds
	open   opener

	publishers int // at most; 0 for any number

	use       string // what is measured, where there is a choice
	order     string
	bound     string
	isolation string
	cycle     string // what a handler's publish to its own topic does when the way is full
	source    string // where that is to be read
}

// peers returns the bus first, by hand second.
func peers() []peer {
	return []peer{
		{
			name: "this bus", events: 200_000, open: openBus,
			use:       "`Publish` to the data queue, all defaults",
			order:     "of each publisher; handlers in subscription order, one at a time",
			bound:     "1000; full: waits up to 1 s, then refuses with an error and counts it",
			isolation: "error, panic, Goexit and a stuck handler, each reported",
			cycle:     "is deferred, up to another 1000",
			source:    "package documentation",
		},
		{
			name: "by hand", events: 200_000, open: openHand,
			use:       "the loop of the table above",
			order:     "of each publisher; handlers in order, one at a time",
			bound:     "1000; full: the publisher waits",
			isolation: "none: a panic ends the program",
			cycle:     "hangs",
			source:    "`byhand.go`",
		},
		naive, asaskevichSync, asaskevichAsync, watermill, cskr, ethereum, moby, docker,
		tailscale, libp2p, kelindar, disruptorSingly,
		{
			name: fmt.Sprintf("this bus, batches of %d", batchSize), events: 200_000, open: openBusBatches,
			use:       "`PublishBatch` to the data queue, all defaults",
			order:     "of each publisher, nothing between the events of a batch; handlers in subscription order, one at a time",
			bound:     "1000; full: waits up to 1 s, then refuses with an error and counts it",
			isolation: "error, panic, Goexit and a stuck handler, each reported",
			cycle:     "is deferred, up to another 1000",
			source:    "package documentation",
		},
		disruptorBatches,
	}
}

// A peerLoad is a workload with its name.
type peerLoad struct {
	name string
	load load
}

// peerLoads are the workloads that every peer does.
var peerLoads = []peerLoad{
	{"1 publisher, 1 handler", load{publishers: 1, handlers: 1}},
	{"4 publishers, 1 handler", load{publishers: 4, handlers: 1}},
	{"1 publisher, 10 handlers", load{publishers: 1, handlers: 10}},
	{"4 publishers, 10 handlers", load{publishers: 4, handlers: 10}},
}

const peersText = `## Other Go buses, on the same work

ns an event, and in brackets how many times as long as by hand: the median of the ratios within a round. Each bus is used
as its own documentation recommends, in a mode that keeps one publisher's events in order; the event is the same
72-byte value, boxed or encoded where the bus asks for it. Where a bus hands out channels, each handler has a
subscription and a goroutine of its own, so that several handlers run at once on several cores; the bus, by hand and the
naive processor run them one after another. They promise different things: read the second table with the first.

`

// reportPeers measures the peers that cfg wants beside the bus and by hand.
func reportPeers(cfg config, w io.Writer) error {
	if !cfg.wants("peers") {
		return nil
	}
	all := peers()
	figures := make([]peerFigures, len(all))
	head := []string{"bus"}
	for _, work := range peerLoads {
		head = append(head, work.name)
		if err := measurePeers(all, figures, work, cfg); err != nil {
			return err
		}
	}
	t := table{rows: [][]string{append(head, "allocations, 1 and 1", "calls lost")}}
	for i, p := range all {
		f := figures[i]
		t.row(append(append([]string{p.title()}, f.cells...), f.allocs, fmt.Sprint(f.lost))...)
	}
	fmt.Fprint(w, peersText)
	t.write(w)
	writeGuarantees(w, all)
	return nil
}

// peerFigures is a row of the table.
type peerFigures struct {
	cells  []string // ns an event, for each of the loads
	allocs string   // an event, of the first load
	lost   int
}

// measurePeers does the work with every peer that can, and adds what came of it to figures.
func measurePeers(all []peer, figures []peerFigures, work peerLoad, cfg config) error {
	samples, err := cfg.takeTurns("peers/"+work.name, peerSides(all, work.load, cfg)...)
	if err != nil {
		return err
	}
	const hand = 1
	next := 0 // of the samples
	for i, p := range all {
		f := &figures[i]
		if !p.can(work.load) {
			f.cells = append(f.cells, "–")
			continue
		}
		got := samples[next]
		next++
		f.cells = append(f.cells, fmt.Sprintf("%s (%s)",
			ns(median(pick(got, sample.nsPerEvent))), ratio(median(ratios(got, samples[hand])))))
		f.lost += lost(got)
		if f.allocs == "" {
			f.allocs = count(median(pick(got, sample.allocsPerEvent)))
		}
	}
	return nil
}

// can reports whether p may be used by as many publishers.
func (p peer) can(l load) bool { return p.publishers == 0 || l.publishers <= p.publishers }

// peerSides are the peers that can do l.
func peerSides(all []peer, l load, cfg config) (sides []side) {
	for _, p := range all {
		if p.can(l) {
			sides = append(sides, side{p.name, cfg.events(p.events), l.run(p.open)})
		}
	}
	return sides
}

// title is the peer's name with the version of its module.
func (p peer) title() string {
	if p.module == "" {
		return p.name
	}
	return strings.TrimSpace(p.name + " " + moduleVersion(p.module))
}

func writeGuarantees(w io.Writer, all []peer) {
	var t table
	t.row("bus", "measured", "order", "bound", "isolation of handlers", "a handler's publish to its own full topic", "read in")
	for _, p := range all {
		t.row(p.name, p.use, p.order, p.bound, p.isolation, p.cycle, p.source)
	}
	t.writeLoose(w)
}
