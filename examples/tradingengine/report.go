package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/amount"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// report is what came of a run. Ratios are fractions: 0.25 is 25 %.
type report struct {
	options options

	engine.Ending
	engine.Books
	engine.Counts
	open []engine.Order // placed, and neither filled nor cancelled when the candles ended

	finalEquity decimal.Decimal
	gain        decimal.Decimal // final equity to the cash at the start
	buyAndHold  decimal.Decimal // last close to first close

	stats eventbus.Stats
}

func (s *session) report() *report {
	r := &report{
		options:     s.options,
		Ending:      s.ending,
		Books:       s.ledger.Books(),
		Counts:      s.engine.Counts(),
		open:        s.engine.Working(),
		finalEquity: s.ledger.Equity(),
		stats:       s.engine.Bus().Stats(),
	}
	// A journal's tap is no part of the engine, and another one when the journal is played.
	r.stats.Handlers = slices.DeleteFunc(r.stats.Handlers, func(h eventbus.HandlerStats) bool { return h.Type == "" })
	r.gain = change(s.options.Cash, r.finalEquity)
	if r.Candles > 0 {
		r.buyAndHold = change(r.First.Close, r.Last.Close)
	}
	return r
}

// annualised is the return a year that makes the whole return, when the candles span a year at least.
func (r *report) annualised() (share float64, ok bool) {
	const year = 365.25 * 24 * time.Hour
	span := r.Last.Time.Sub(r.First.Time)
	if span < 365*24*time.Hour {
		return 0, false
	}
	return math.Pow(1+r.gain.InexactFloat64(), float64(year)/float64(span)) - 1, true
}

// winRate is the share of the trades that are closed and made money.
func (r *report) winRate() (share float64, ok bool) {
	return float64(r.Won) / float64(max(r.Closed, 1)), r.Closed > 0
}

// exposure is the share of the candles with a position at their close.
func (r *report) exposure() float64 { return float64(r.Held) / float64(max(r.Candles, 1)) }

// nothing says why nothing was traded, if so.
func (r *report) nothing() string {
	switch o := r.options; {
	case r.Fills > 0 || r.Orders > r.Cancelled:
		return ""
	case r.Candles <= o.Slow && o.Strategy == breakout:
		return fmt.Sprintf("no signal: a close can be above the last %d from candle %d on", o.Slow, o.Slow+1)
	case r.Candles <= o.Slow:
		return fmt.Sprintf("no signal: averages of %d and %d candles can cross from candle %d on", o.Fast, o.Slow, o.Slow+1)
	case r.Signals == 0 && o.Strategy == breakout:
		return fmt.Sprintf("no signal: no close was above the last %d", o.Slow)
	case r.Signals == 0:
		return "no signal: the averages never crossed"
	case r.Vetoed > 0:
		return fmt.Sprintf("no trade: %d orders were vetoed, with the equity below %s", r.Vetoed, amount.Money(o.Least))
	case r.TooDear > 0 || r.Cancelled > 0:
		return fmt.Sprintf("no trade: the cash, %s, does not cover a lot of %s", amount.Money(o.Cash), o.Lot)
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
	times := []time.Time{r.First.Time, r.Last.Time}
	for _, t := range r.Trades {
		times = append(times, t.EntryTime, t.ExitTime)
	}
	for _, t := range times {
		if h, m, s := t.Clock(); h+m+s+t.Nanosecond() != 0 {
			return time.RFC3339Nano // which leaves out fractions that are zero
		}
	}
	return time.DateOnly
}
