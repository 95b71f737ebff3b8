package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
)

// A point is a Case at one value of what grows.
type point struct {
	label string
	x     float64
	procs int // GOMAXPROCS, 0 to leave it
	Case
}

// A series is how the cost of an event changes as one thing grows.
type series struct {
	name   string // also of its plot's file
	axis   string
	text   string
	scaled bool // x is a number, drawn on a logarithmic axis; else each point has a place of its own
	steep  bool // y is drawn on a logarithmic axis too
	points []point
}

func allSeries() []series {
	return []series{byHandlers(), byTypes(), byPublishers(), byPayload(), byProcs()}
}

func byHandlers() series {
	s := series{
		name: "handlers", axis: "handlers of the event", scaled: true, steep: true,
		text: "One publisher; every handler is called for every event.",
	}
	for _, n := range []int{1, 2, 5, 10, 20, 50, 100} {
		s.add(n, throughput("", 0, 0, 200_000, load{publishers: 1, handlers: n}))
	}
	return s
}

func byTypes() series {
	s := series{
		name: "types", axis: "event types", scaled: true,
		text: "One publisher that goes round all types, one handler a type. By hand the loop looks the handlers up in a map by type.",
	}
	for _, n := range []int{1, 10, 100, 1_000, 10_000} {
		l := load{publishers: 1, handlers: n, spread: true}
		s.add(n, Case{Events: 200_000, Bus: l.run(openBusTypes), Hand: l.run(openHandTypes)})
	}
	return s
}

func byPublishers() series {
	s := series{name: "publishers", axis: "publishers", scaled: true, text: "One handler."}
	for _, n := range []int{1, 4, 16, 64, 256} {
		s.add(n, throughput("", 0, 0, 200_000, load{publishers: n, handlers: 1}))
	}
	return s
}

func byPayload() series {
	s := series{
		name: "payload", axis: "what Event.Data holds",
		text: "One publisher, one handler. A value is boxed by the publisher for each event, on both sides.",
	}
	l := load{publishers: 1, handlers: 1}
	for _, p := range payloads {
		s.points = append(s.points, point{label: p.name, Case: Case{Events: 200_000, Bus: l.run(p.bus), Hand: l.run(p.hand)}})
	}
	return s
}

func byProcs() series {
	s := series{
		name: "GOMAXPROCS", axis: "GOMAXPROCS", scaled: true,
		text: fmt.Sprintf("Four publishers, one handler. This machine has %d cores.", runtime.NumCPU()),
	}
	for _, n := range []int{1, 2, 4, 8} {
		s.add(n, throughput("", 0, 0, 200_000, load{publishers: 4, handlers: 1}))
		s.points[len(s.points)-1].procs = n
	}
	return s
}

func (s *series) add(x int, c Case) {
	s.points = append(s.points, point{label: grouped(float64(x)), x: float64(x), Case: c})
}

// A curve is a series measured: for each point the samples of both sides.
type curve struct {
	series
	duels []duel
}

func (s series) measure(cfg config) (curve, error) {
	c := curve{series: s}
	for _, p := range s.points {
		d, err := p.measure(fmt.Sprintf("growth/%s/%s", s.name, p.label), cfg)
		if err != nil {
			return curve{}, err
		}
		c.duels = append(c.duels, d)
	}
	return c, nil
}

func (p point) measure(what string, cfg config) (duel, error) {
	if p.procs > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(p.procs))
	}
	return compare(what, p.Case, cfg)
}

// reportGrowth measures the series that cfg wants, draws them where there is a place for plots, and writes their tables.
func reportGrowth(cfg config, w io.Writer) error {
	first := true
	for _, s := range allSeries() {
		if !cfg.wants("growth/" + s.name) {
			continue
		}
		if first {
			fmt.Fprint(w, "## How the cost of an event grows\n\nMedians of the rounds; the bars in the plots span the middle half.\n\n")
			first = false
		}
		c, err := s.measure(cfg)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "### By %s\n\n%s\n\n", s.name, s.text)
		c.writeTable(w)
		if cfg.out == "" {
			continue
		}
		if err := c.draw(filepath.Join(cfg.plotDir(), s.name+".svg")); err != nil {
			return err
		}
		fmt.Fprintf(w, "![ns an event, by %s](plots/%[1]s.svg)\n\n", s.name)
	}
	return nil
}

func (c curve) writeTable(w io.Writer) {
	var t table
	t.row(c.axis, "bus, ns", "by hand, ns", "bus ÷ by hand")
	for i, p := range c.points {
		d := c.duels[i]
		t.row(p.label, ns(median(pick(d.bus, sample.nsPerEvent))), ns(median(pick(d.hand, sample.nsPerEvent))), ratio(median(d.ratios())))
	}
	t.write(w)
}
