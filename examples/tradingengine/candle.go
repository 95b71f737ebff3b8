package main

import (
	"time"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/tradingengine/candles"
)

// Candle is the trade in one instrument over one period.
type Candle = candles.Candle

// Opening is a candle at its first trade: all that anybody can know of it then.
type Opening struct {
	Time  time.Time
	Price decimal.Decimal
}

func opening(c Candle) Opening { return Opening{Time: c.Time, Price: c.Open} }
