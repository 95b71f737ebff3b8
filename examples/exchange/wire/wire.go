// Package wire is what an exchange and its clients say to each other, in the form of Binance's public streams and API.
// Some fields are there for their names alone: package json takes a field named V for one named v where it finds no V.
package wire

import (
	"encoding/json"
	"time"

	decimal "github.com/quagmt/udecimal"
)

// Message is the frame of all market data; Stream is such as btcusdt@kline_1s.
type Message struct {
	Stream string          `json:"stream"`
	Data   json.RawMessage `json:"data"`
}

// Event says what the data of a message is: trade, kline or executionReport, and nothing for a book ticker.
type Event struct {
	Type   string `json:"e"`
	Time   int64  `json:"E"` // in milliseconds, like all times here
	Symbol string `json:"s"`
	Side   string `json:"S,omitempty"`
}

// Trade is one of all trades. The IDs of a symbol's trades have no gaps.
type Trade struct {
	Event
	ID       int64           `json:"t"`
	At       int64           `json:"T"`
	Price    decimal.Decimal `json:"p"`
	Quantity decimal.Decimal `json:"q"`
}

// BookTicker is the best prices and their quantities.
type BookTicker struct {
	Update  int64           `json:"u"`
	Symbol  string          `json:"s"`
	Bid     decimal.Decimal `json:"b"`
	BidSize decimal.Decimal `json:"B"`
	Ask     decimal.Decimal `json:"a"`
	AskSize decimal.Decimal `json:"A"`
}

// KlineEvent tells of a candle. A closed one is told once.
type KlineEvent struct {
	Event
	Kline Kline `json:"k"`
}

// Kline is a candle from Start to End, its last millisecond.
type Kline struct {
	Start      int64           `json:"t"`
	End        int64           `json:"T"`
	Symbol     string          `json:"s"`
	Open       decimal.Decimal `json:"o"`
	High       decimal.Decimal `json:"h"`
	Low        decimal.Decimal `json:"l"`
	LastTrade  int64           `json:"L"`
	Close      decimal.Decimal `json:"c"`
	Volume     decimal.Decimal `json:"v"`
	Taker      decimal.Decimal `json:"V"`
	QuoteTaker decimal.Decimal `json:"Q"`
	Closed     bool            `json:"x"`
}

// MarshalJSON of a row is the form of GET /api/v3/klines.
func (k KlineRow) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{k.Start, k.Open, k.High, k.Low, k.Close, k.Volume, k.End})
}

// KlineRow is a Kline in a list of closed ones.
type KlineRow Kline

// UnmarshalJSON takes the columns that follow as well, and forgets them.
func (k *KlineRow) UnmarshalJSON(data []byte) error {
	row := []any{&k.Start, &k.Open, &k.High, &k.Low, &k.Close, &k.Volume, &k.End}
	k.Closed = true
	return json.Unmarshal(data, &row)
}

// Sides and what can happen to an order.
const (
	Buy  = "BUY"
	Sell = "SELL"

	New       = "NEW"
	Traded    = "TRADE"
	Canceled  = "CANCELED"
	Partially = "PARTIALLY_FILLED"
	Filled    = "FILLED"
)

// Report is what the user stream tells of an order.
type Report struct {
	Event
	Sequence     int             `json:"seq"` // without gaps, from 1: where a new connection goes on
	ClientID     string          `json:"c"`
	Happened     string          `json:"x"` // NEW, TRADE or CANCELED
	Status       string          `json:"X"` // NEW, PARTIALLY_FILLED, FILLED or CANCELED
	Quantity     decimal.Decimal `json:"q"`
	Price        decimal.Decimal `json:"p"`
	Filled       decimal.Decimal `json:"z"` // so far
	LastQuantity decimal.Decimal `json:"l"`
	LastPrice    decimal.Decimal `json:"L"`
	At           int64           `json:"T"`
}

// Order is what an exchange answers of an order. Reports, all that happened to it, are in the answer to GET alone; an
// exchange that has no such list has one of the order's fills.
type Order struct {
	ClientID string          `json:"clientOrderId"`
	Status   string          `json:"status"`
	Executed decimal.Decimal `json:"executedQty"`
	Reports  []Report        `json:"reports,omitempty"`
}

// UnknownOrder is the code of the error that says that no order has the client id.
const UnknownOrder = -2013

// Error is the body of an answer with status 400.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"msg"`
}

// Millis is a time as it travels.
func Millis(t time.Time) int64 { return t.UnixMilli() }
