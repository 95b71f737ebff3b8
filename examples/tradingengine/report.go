package main

import (
	"fmt"
	"math"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// report is what came of a run. Ratios are fractions: 0.25 is 25 %.
type report struct {
	source      string
	options     options
	interrupted bool
	warnings    []string // of what is odd about the file
	leftOut     int      // rows of it

	candles, signals, orders, fills, cancelled int

	closed, won int // trades
	held        int // candles with a position at the close
	tooDear     int // signals without an order, because the cash did not cover a lot

	first, last Candle
	trades      []Trade
	forgotten   int     // trades between the first tradesShown and the others
	open        []Order // placed, and neither filled nor cancelled when the candles ended

	finalEquity decimal.Decimal
	gain        decimal.Decimal // final equity to the cash at the start
	buyAndHold  decimal.Decimal // last close to first close
	drawdown    decimal.Decimal

	stats   eventbus.Stats
	elapsed time.Duration
}

// report may be called when the bus is shut down: no handler touches the components any more.
func (e *engine) report(elapsed time.Duration, interrupted bool) *report {
	p := e.portfolio
	r := &report{
		source:      e.options.source(),
		options:     e.options,
		interrupted: interrupted,
		candles:     p.candles,
		signals:     e.strategy.signals,
		orders:      e.orders.orders,
		fills:       p.fills,
		cancelled:   e.broker.cancelled,
		closed:      p.closed,
		won:         p.won,
		held:        p.held,
		tooDear:     e.orders.tooDear,
		first:       p.first,
		last:        p.last,
		trades:      p.trades,
		forgotten:   p.forgotten,
		open:        e.broker.open,
		finalEquity: p.equityLocked(),
		drawdown:    p.drawdown,
		stats:       e.bus.Stats(),
		elapsed:     elapsed,
	}
	r.gain = change(p.start, r.finalEquity)
	if p.candles > 0 {
		r.buyAndHold = change(p.first.Close, p.last.Close)
	}
	return r
}

// annualised is the return a year that makes the whole return, when the candles span a year at least.
func (r *report) annualised() (share float64, ok bool) {
	const year = 365.25 * 24 * time.Hour
	span := r.last.Time.Sub(r.first.Time)
	if span < 365*24*time.Hour {
		return 0, false
	}
	return math.Pow(1+r.gain.InexactFloat64(), float64(year)/float64(span)) - 1, true
}

// winRate is the share of the trades that are closed and made money.
func (r *report) winRate() (share float64, ok bool) {
	return float64(r.won) / float64(max(r.closed, 1)), r.closed > 0
}

// exposure is the share of the candles with a position at their close.
func (r *report) exposure() float64 { return float64(r.held) / float64(max(r.candles, 1)) }

// nothing says why nothing was traded, if so.
func (r *report) nothing() string {
	switch o := r.options; {
	case r.fills > 0 || r.orders > r.cancelled:
		return ""
	case r.candles <= o.slow:
		return fmt.Sprintf("no signal: averages of %d and %d candles can cross from candle %d on", o.fast, o.slow, o.slow+1)
	case r.signals == 0:
		return "no signal: the averages never crossed"
	case r.tooDear > 0 || r.cancelled > 0:
		return fmt.Sprintf("no trade: the cash, %s, does not cover a lot of %s", money(o.cash), o.lot)
	}
	return "no order: there was nothing to sell"
}

// change is the step between two amounts as a fraction of the first.
func change(from, to decimal.Decimal) decimal.Decimal {
	return to.Sub(from).MustDiv(from)
}

// events is how many events the bus has handled.
func (r *report) events() (n uint64) {
	for _, q := range r.stats.Queues {
		n += q.Handled
	}
	return n
}

// timeLayout is one for the whole report: dates alone where no candle has a time of day.
func (r *report) timeLayout() string {
	times := []time.Time{r.first.Time, r.last.Time}
	for _, t := range r.trades {
		times = append(times, t.EntryTime, t.ExitTime)
	}
	for _, t := range times {
		if h, m, s := t.Clock(); h+m+s+t.Nanosecond() != 0 {
			return time.RFC3339Nano // which leaves out fractions that are zero
		}
	}
	return time.DateOnly
}
