package engine

import (
	"slices"

	decimal "github.com/quagmt/udecimal"
)

// Breakout is a Strategy on closes beyond all of the last ones.
type Breakout struct {
	entry, exit int
	closes      []decimal.Decimal // the last entry or exit, whichever is more
}

// NewBreakout buys above the highest of the last entry closes and sells below the lowest of the last exit. Both are
// at least 1.
func NewBreakout(entry, exit int) *Breakout { return &Breakout{entry: entry, exit: exit} }

// OnClose says Buy or Sell at every close beyond the others, not only at the first.
func (s *Breakout) OnClose(c Candle) (side Side, ok bool) {
	switch {
	case s.beyond(s.entry, c.Close.GreaterThan):
		side, ok = Buy, true
	case s.beyond(s.exit, c.Close.LessThan):
		side, ok = Sell, true
	}
	s.closes = append(s.closes, c.Close)
	s.closes = s.closes[max(0, len(s.closes)-max(s.entry, s.exit)):]
	return side, ok
}

// beyond says whether there are n closes and all of them are passed.
func (s *Breakout) beyond(n int, passed func(decimal.Decimal) bool) bool {
	return len(s.closes) >= n && !slices.ContainsFunc(s.closes[len(s.closes)-n:], func(c decimal.Decimal) bool { return !passed(c) })
}

// PerSymbol is a Strategy that keeps one of its own for each symbol.
type PerSymbol struct {
	New    func() Strategy
	byName map[string]Strategy
}

// OnClose asks the symbol's strategy.
func (p *PerSymbol) OnClose(c Candle) (side Side, ok bool) {
	if p.byName == nil {
		p.byName = map[string]Strategy{}
	}
	if p.byName[c.Symbol] == nil {
		p.byName[c.Symbol] = p.New()
	}
	return p.byName[c.Symbol].OnClose(c)
}
