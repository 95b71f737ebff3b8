package engine

// Crossover is a Strategy on the crossing of two simple moving averages of the closes.
type Crossover struct {
	fast, slow *Average
	ready      bool // both averages existed at the close before
	above      int  // where fast stood to slow at that close: below (-1), at (0) or above (1)
}

// NewCrossover takes the lengths of the averages in candles. Slow is longer than fast, and both are at least 1.
func NewCrossover(fast, slow int) *Crossover {
	return &Crossover{fast: NewAverage(fast), slow: NewAverage(slow)}
}

// OnClose says Buy when fast is above slow and was not at the close before, and Sell when it is below and was not.
func (s *Crossover) OnClose(c Candle) (side Side, ok bool) {
	s.fast.Add(c.Close)
	s.slow.Add(c.Close)
	if !s.fast.Full() || !s.slow.Full() {
		return "", false
	}
	ready, before := s.ready, s.above
	s.ready, s.above = true, s.fast.compare(s.slow)
	switch {
	case ready && before <= 0 && s.above > 0:
		return Buy, true
	case ready && before >= 0 && s.above < 0:
		return Sell, true
	}
	return "", false
}
