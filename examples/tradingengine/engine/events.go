package engine

import (
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/candles"
)

// The topics say what travels on which queue: candles on the data queue, which must not lose a closed one and needs
// only the last quote of a symbol, signals on the signal queue, and an order's life, from its placing to the account it
// leaves behind, on the order queue, where its events stay in order.
var (
	CandleUpdate         = eventbus.NewTopic[Opening](eventbus.CandleUpdate, eventbus.DataQueue)
	CandleClosed         = eventbus.NewTopic[Candle](eventbus.CandleClosed, eventbus.DataQueue, eventbus.WithOverflow(eventbus.Block, 0))
	QuoteChanged         = eventbus.NewTopic[Quote]("quote_changed", eventbus.DataQueue, eventbus.WithConflateBy(func(q Quote) string { return q.Symbol }))
	FeedEnded            = eventbus.NewTopic[Ending]("feed_ended", eventbus.DataQueue)
	TradingChanged       = eventbus.NewTopic[Trading]("trading_changed", eventbus.SignalQueue)
	SignalGenerated      = eventbus.NewTopic[Signal](eventbus.SignalGenerated, eventbus.SignalQueue)
	OrderPlaced          = eventbus.NewTopic[Order](eventbus.OrderPlaced, eventbus.OrderQueue)
	OrderPartiallyFilled = eventbus.NewTopic[Fill](eventbus.OrderPartiallyFilled, eventbus.OrderQueue)
	OrderFilled          = eventbus.NewTopic[Fill](eventbus.OrderFilled, eventbus.OrderQueue)
	OrderUpdate          = eventbus.NewTopic[Cancellation](eventbus.OrderUpdate, eventbus.OrderQueue)
	OrderEnded           = eventbus.NewTopic[Cancellation]("order_ended", eventbus.OrderQueue)
	PositionOpened       = eventbus.NewTopic[Account](eventbus.PositionOpened, eventbus.OrderQueue)
	PositionClosed       = eventbus.NewTopic[Account](eventbus.PositionClosed, eventbus.OrderQueue)
)

// Candle is the payload of CandleClosed.
type Candle struct {
	candles.Candle
	Symbol string // empty where there is one instrument
}

// Opening is the payload of CandleUpdate, a candle at its first trade: all that anybody can know of it then.
type Opening struct {
	Symbol string
	Time   time.Time
	Price  decimal.Decimal
}

// Quote is the payload of QuoteChanged: the best prices at which a venue buys and sells.
type Quote struct {
	Symbol   string
	Bid, Ask decimal.Decimal
}

// Ending is the payload of FeedEnded, the last event of a replay: what a report tells beside the events.
type Ending struct {
	Took        time.Duration
	Interrupted bool
	Warnings    []string // of what is odd about the candles
	LeftOut     int      // rows without one
}

// Trading is the payload of TradingChanged: whether a signal may lead to an order. It is an event, so that a recorded run
// tells which signals came too late.
type Trading struct{ Allowed bool }

// Side is the direction of a signal or an order.
type Side string

const (
	Buy  Side = "BUY"
	Sell Side = "SELL"
)

// Signal is the payload of SignalGenerated: a strategy's opinion at a candle's close.
type Signal struct {
	Symbol string
	Side   Side
	Time   time.Time
	Close  decimal.Decimal
}

// Order is the payload of OrderPlaced. A buy may cost at most Budget; a sell has none.
type Order struct {
	ID       int
	Symbol   string
	Side     Side
	Time     time.Time
	Quantity decimal.Decimal
	Budget   decimal.Decimal
}

// Fill is the payload of OrderPartiallyFilled, and of OrderFilled when no part of the order works any more. The
// fills of an order can be for less than ordered; the rest is cancelled.
type Fill struct {
	Order    Order
	Time     time.Time
	Price    decimal.Decimal
	Quantity decimal.Decimal
	Partial  bool // the rest still works
}

// Cancellation is the payload of OrderUpdate: the order, or its rest, ended without a fill. It is the payload of OrderEnded as
// well, which comes when the accounts of all fills before it are known.
type Cancellation struct {
	Order  Order
	Time   time.Time
	Reason string
}

// Account is the payload of PositionOpened and PositionClosed: what is held after the fill.
type Account struct {
	Fill     Fill
	Cash     decimal.Decimal
	Position decimal.Decimal // of the fill's symbol
	Equity   decimal.Decimal // cash, and all positions at their last closes
}
