package main

import (
	"time"

	decimal "github.com/quagmt/udecimal"
)

// Candle is the trade in one instrument over one period.
// Its Time is that of the period as the file gives it, usually its beginning.
type Candle struct {
	Time                           time.Time
	Open, High, Low, Close, Volume decimal.Decimal
}

// opening is the candle as it stands at its first trade: all that anybody can know when it opens.
func (c Candle) opening() Candle {
	return Candle{Time: c.Time, Open: c.Open, High: c.Open, Low: c.Open, Close: c.Open}
}
