package engine

import (
	"time"

	decimal "github.com/quagmt/udecimal"
)

// Trade is a purchase and the sale of the same quantity, each in one or more fills.
type Trade struct {
	Symbol              string
	Bought, Sold        decimal.Decimal // quantities
	Cost, Proceeds      decimal.Decimal
	EntryTime, ExitTime time.Time // of the first fill of the purchase and the last of the sale
}

// Closed says whether all is sold.
func (t Trade) Closed() bool { return t.Bought.Equal(t.Sold) }

// EntryPrice is the mean of the fills; with one fill it is exact.
func (t Trade) EntryPrice() decimal.Decimal { return t.Cost.MustDiv(t.Bought) }

// ExitPrice is the mean of the fills; with one fill it is exact. There is one when something is sold.
func (t Trade) ExitPrice() decimal.Decimal { return t.Proceeds.MustDiv(t.Sold) }

// Profit of an open trade is what it would make at price.
func (t Trade) Profit(price decimal.Decimal) decimal.Decimal {
	return t.Bought.Sub(t.Sold).Mul(price).Add(t.Proceeds).Sub(t.Cost)
}

// Books is what a Ledger knows.
type Books struct {
	Cash        decimal.Decimal
	Fills       int
	Parts       int // fills after which the rest of the order still worked
	Trades      []*Trade
	Forgotten   int // trades between those at the beginning and the last
	Closed, Won int // trades
	Candles     int
	Held        int // candles with a position in their symbol at the close
	First, Last Candle
	Drawdown    decimal.Decimal // the largest fall from a peak so far, as a fraction of the peak
}
