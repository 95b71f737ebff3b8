package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"time"
)

// A sample is one timed round of one side.
type sample struct {
	ns     float64 // an event
	allocs float64 // an event
	tail   float64 // ns an event, 99th percentile, where single events are timed; else 0
	far    float64 // ns an event, 99.9th percentile, under an open load; else 0
	worst  float64 // ns, the longest, at a full queue; else 0
	late   float64 // ns, 99th percentile of how late the publisher of an open load was; else 0
	lost   int     // handler calls that never came
}

// A runner does one round of a side's work and times it. It leaves no goroutine behind.
type runner func(events int) (sample, error)

// A meter reads clock and allocations around a timed section.
type meter struct {
	mallocs uint64
	start   time.Time
}

func startMeter() meter {
	m := meter{mallocs: mallocs()}
	m.start = time.Now()
	return m
}

func (m meter) stop(events int) sample {
	elapsed := time.Since(m.start)
	return sample{
		ns:     float64(elapsed.Nanoseconds()) / float64(events),
		allocs: float64(mallocs()-m.mallocs) / float64(events),
	}
}

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// A side is a contestant: what it is called in tables and profiles, how many events a round of it takes, and its work.
type side struct {
	name   string
	events int
	run    runner
}

// takeTurns runs the sides one after another, A B A B …, so that whatever disturbs the machine disturbs all of them. The
// result holds each side's samples in the order of the rounds.
func (c config) takeTurns(what string, sides ...side) ([][]sample, error) {
	fmt.Fprintln(c.progress, what)
	all := make([][]sample, len(sides))
	for range c.rounds {
		for i, s := range sides {
			var got sample
			var err error
			pprof.Do(context.Background(), pprof.Labels("side", s.name), func(context.Context) {
				got, err = s.run(s.events)
			})
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", what, s.name, err)
			}
			all[i] = append(all[i], got)
		}
	}
	return all, nil
}
