package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/eventbus-go/eventbus"
)

// steppingBar is how many events a second a backtest is to handle on one core.
const steppingBar = 1_000_000

// A way is how a backtest drives the bus.
type way struct {
	name  string
	wire  func(*eventbus.Bus, *system)
	batch int // candles published before each RunUntilIdle; they fit the queue
}

var ways = []way{
	{"plain events, 500 candles a call", wirePlain, 500},
	{"plain events, a candle a call", wirePlain, 1},
	{"topics, 500 candles a call", wireTopics, 500},
	{"topics, a candle a call", wireTopics, 1},
}

// run plays candles on a bus that is stepped, with one core. The sample's ns is that of an event of whatever stage.
func (w way) run(candles int) (sample, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b, err := newBus()
	if err != nil {
		return sample{}, err
	}
	p := player{bus: b, system: newSystem(), tape: newTape(), batch: w.batch}
	w.wire(b, p.system)
	ctx := context.Background()
	if _, err := p.play(ctx, max(candles/10, 1)); err != nil {
		return sample{}, err
	}
	runtime.GC()
	m := startMeter()
	handled, err := p.play(ctx, candles)
	s := m.stop(max(handled, 1))
	return s, errors.Join(err, p.check(), b.Shutdown(ctx), balanced(b.Stats()))
}

// A player feeds a system with candles.
type player struct {
	bus    *eventbus.Bus
	system *system
	tape   []candle // played over and over
	batch  int
	at     int // in tape
	total  int // events that RunUntilIdle says it has handled
}

func (p *player) play(ctx context.Context, candles int) (handled int, err error) {
	for candles > 0 {
		n := min(p.batch, candles)
		for range n {
			if err := p.system.send(ctx, closed, &p.tape[p.at]); err != nil {
				return handled, err
			}
			if p.at++; p.at == len(p.tape) {
				p.at = 0
			}
		}
		ran, err := p.bus.RunUntilIdle(ctx)
		handled += ran
		if err != nil {
			return handled, err
		}
		candles -= n
	}
	p.total += handled
	return handled, nil
}

// check reports an event that was not handled or that the bus has not counted, and a system that has not traded.
func (p *player) check() error {
	total := 0
	for stage, sent := range p.system.sent {
		if sent == 0 || p.system.handled[stage] != sent {
			return fmt.Errorf("of %d events %s, %d were handled", sent, stages[stage].event, p.system.handled[stage])
		}
		total += sent
	}
	if p.total != total {
		return fmt.Errorf("RunUntilIdle says that it has handled %d events of %d", p.total, total)
	}
	return nil
}

const steppingText = `### Stepping

Events a second of RunUntilIdle with GOMAXPROCS=1, on the kind of work that the example engine does: a strategy with two
moving averages and the books hear each candle; every eighth candle sets off a signal, that an order, and that a fill,
each published by a handler to its own queue. So many candles are published and then RunUntilIdle is called, publishing
included in the time. Topics box each payload of 64 bytes and read the clock for the event's time, as in the example.

`

// reportStepping measures the ways in turn.
func reportStepping(cfg config, w io.Writer) error {
	sides := make([]side, len(ways))
	for i, way := range ways {
		sides[i] = side{way.name, cfg.events(400_000), way.run}
	}
	got, err := cfg.takeTurns("figures/stepping", sides...)
	if err != nil {
		return err
	}
	var t table
	t.row("one core", "events a second", "middle half", "ns an event", "allocations an event", "bar", "verdict")
	for i, way := range ways {
		costs := pick(got[i], sample.nsPerEvent)
		rate := func(q float64) float64 { return 1e9 / quantile(costs, q) }
		t.row(way.name, perSecond(rate(0.5)), perSecond(rate(0.75))+" … "+perSecond(rate(0.25)), ns(median(costs)),
			count(median(pick(got[i], sample.allocsPerEvent))), grouped(steppingBar),
			Case{Bar: 1e9 / steppingBar}.verdict(median(costs)))
	}
	fmt.Fprint(w, steppingText)
	t.write(w)
	return nil
}
