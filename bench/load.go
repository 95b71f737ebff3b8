package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// patience is how long a round may take before its events count as stuck: a hundred times what the slowest takes.
const patience = time.Minute

// A load is a throughput measurement.
type load struct {
	publishers int
	handlers   int
	spread     bool // each event goes to one handler in turn, not to all; needs a single publisher
}

// run returns a runner that opens a carrier, warms it, and times the load on it.
func (l load) run(open opener) runner {
	return func(events int) (sample, error) {
		ts := newTallies(l.handlers)
		c, err := open(handlers(ts))
		if err != nil {
			return sample{}, err
		}
		_, err = l.time(c, ts, max(events/10, 1))
		if err != nil {
			return sample{}, err
		}
		s, err := l.time(c, ts, events)
		return s, errors.Join(err, c.close())
	}
}

// time sends the events through c. The clock runs from the moment the publishers are let go until every event has been
// handled.
func (l load) time(c *carrier, ts []tally, events int) (sample, error) {
	expect(ts, events, l.spread)
	p := l.prepare(c, events)
	runtime.GC()
	m := startMeter()
	p.release()
	if err := await(c, ts, p); err != nil {
		return sample{}, err
	}
	s := m.stop(events)
	p.wait()
	lost, err := missing(ts)
	if err == nil && lost > 0 && c.settle == nil {
		err = fmt.Errorf("%d handler calls are missing", lost)
	}
	s.lost = lost
	return s, err
}

// await returns when every event has been handled (or lost, where that is allowed) or one could not be published.
func await(c *carrier, ts []tally, p *publishers) error {
	if c.settle != nil {
		p.wait()
		return errors.Join(p.err(), c.settle())
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for i := range ts {
		select {
		case <-ts[i].done:
		case err := <-p.failed:
			return err
		case <-timeout.C:
			return fmt.Errorf("handler %d did not get its %d events within %v", i, ts[i].want, patience)
		}
	}
	return nil
}

// publishers are goroutines that wait to be let go together.
type publishers struct {
	gate   chan struct{}
	failed chan error
	wg     sync.WaitGroup
}

// prepare starts the publishers, which share the events evenly.
func (l load) prepare(c *carrier, events int) *publishers {
	p := &publishers{gate: make(chan struct{}), failed: make(chan error, l.publishers)}
	for i := range l.publishers {
		n := events / l.publishers
		if i < events%l.publishers {
			n++
		}
		p.wg.Go(func() {
			<-p.gate
			if err := c.publish(n); err != nil {
				p.failed <- err
			}
		})
	}
	return p
}

func (p *publishers) release() { close(p.gate) }

func (p *publishers) wait() { p.wg.Wait() }

func (p *publishers) err() error {
	select {
	case err := <-p.failed:
		return err
	default:
		return nil
	}
}
