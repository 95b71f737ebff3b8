package main

import (
	"context"

	"github.com/eventbus-go/eventbus"
)

// strategy trades the crossing of two simple moving averages of the closes.
// Only the data queue's processor touches it, and the report once the bus is shut down.
type strategy struct {
	bus        *eventbus.Bus
	fast, slow *average
	ready      bool // both averages existed at the close before
	above      int  // where fast stood to slow at that close: below (-1), at (0) or above (1)
	signals    int
}

func newStrategy(bus *eventbus.Bus, fast, slow int) *strategy {
	return &strategy{bus: bus, fast: newAverage(fast), slow: newAverage(slow)}
}

// onClose signals BUY when fast is above slow and was not at the close before, and SELL when it is below and was not.
func (s *strategy) onClose(ctx context.Context, c Candle) error {
	s.fast.add(c.Close)
	s.slow.add(c.Close)
	if !s.fast.full || !s.slow.full {
		return nil
	}
	ready, before := s.ready, s.above
	s.ready, s.above = true, s.fast.compare(s.slow)
	switch {
	case ready && before <= 0 && s.above > 0:
		return s.signal(ctx, Buy, c)
	case ready && before >= 0 && s.above < 0:
		return s.signal(ctx, Sell, c)
	}
	return nil
}

func (s *strategy) signal(ctx context.Context, side Side, c Candle) error {
	s.signals++
	return signalGenerated.Publish(ctx, s.bus, Signal{Side: side, Time: c.Time, Close: c.Close})
}
