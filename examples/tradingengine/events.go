package main

import (
	"time"

	decimal "github.com/quagmt/udecimal"
)

// Side is the direction of a signal or an order.
type Side string

const (
	Buy  Side = "BUY"
	Sell Side = "SELL"
)

// Signal is the payload of SignalGenerated: the strategy's opinion at a candle's close.
type Signal struct {
	Side  Side
	Time  time.Time
	Close decimal.Decimal
}

// Order is the payload of OrderPlaced. A buy may cost at most Budget; a sell has none.
type Order struct {
	ID       int
	Side     Side
	Time     time.Time
	Quantity decimal.Decimal
	Budget   decimal.Decimal
}

// Fill is the payload of OrderFilled. Quantity may be less than ordered; the rest is cancelled.
type Fill struct {
	Order    Order
	Time     time.Time
	Price    decimal.Decimal
	Quantity decimal.Decimal
}

// Cancellation is the payload of OrderUpdate: the order ended without a fill.
type Cancellation struct {
	Order  Order
	Time   time.Time
	Reason string
}

// Account is the payload of PositionOpened and PositionClosed: what is held after the fill.
type Account struct {
	Time     time.Time
	Cash     decimal.Decimal
	Position decimal.Decimal
}
