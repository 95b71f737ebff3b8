package main

import (
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// The topics say what travels on which queue: candles on the data queue, which must not lose a closed one, signals on the signal
// queue, and an order's life, from its placing to the account it leaves behind, on the order queue, where its events stay in order.
var (
	candleUpdate    = eventbus.NewTopic[Opening](eventbus.CandleUpdate, eventbus.DataQueue)
	candleClosed    = eventbus.NewTopic[Candle](eventbus.CandleClosed, eventbus.DataQueue, eventbus.WithOverflow(eventbus.Block, 0))
	signalGenerated = eventbus.NewTopic[Signal](eventbus.SignalGenerated, eventbus.SignalQueue)
	orderPlaced     = eventbus.NewTopic[Order](eventbus.OrderPlaced, eventbus.OrderQueue)
	orderFilled     = eventbus.NewTopic[Fill](eventbus.OrderFilled, eventbus.OrderQueue)
	orderUpdate     = eventbus.NewTopic[Cancellation](eventbus.OrderUpdate, eventbus.OrderQueue)
	positionOpened  = eventbus.NewTopic[Account](eventbus.PositionOpened, eventbus.OrderQueue)
	positionClosed  = eventbus.NewTopic[Account](eventbus.PositionClosed, eventbus.OrderQueue)
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
