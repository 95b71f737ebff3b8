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

// Opening is a candle at its first trade: all that anybody can know of it then.
type Opening struct {
	Time  time.Time
	Price decimal.Decimal
}

func (c Candle) opening() Opening { return Opening{Time: c.Time, Price: c.Open} }
