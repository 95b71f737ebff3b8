package main

import (
	"encoding/json"
	"io"
	"math"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// Money and quantities are strings, exact; ratios are numbers, fractions of six digits.
type jsonReport struct {
	Source           string                `json:"source"`
	FirstDate        *string               `json:"first_date"`
	LastDate         *string               `json:"last_date"`
	Parameters       parameters            `json:"parameters"`
	Interrupted      bool                  `json:"interrupted"`
	Candles          int                   `json:"candles"`
	RowsLeftOut      int                   `json:"rows_left_out"`
	Warnings         []string              `json:"warnings"`
	Signals          int                   `json:"signals"`
	Orders           int                   `json:"orders"`
	Cancelled        int                   `json:"cancelled"`
	Vetoed           int                   `json:"vetoed"`
	Fills            int                   `json:"fills"`
	Trades           []jsonTrade           `json:"trades"`
	FinalEquity      string                `json:"final_equity"`
	Return           json.Number           `json:"return"`
	BuyAndHoldReturn json.Number           `json:"buy_and_hold_return"`
	MaxDrawdown      json.Number           `json:"max_drawdown"`
	AnnualisedReturn *float64              `json:"annualised_return"` // null for less than a year
	WinRate          *float64              `json:"win_rate"`          // null without a closed trade
	Exposure         float64               `json:"exposure"`
	Nothing          string                `json:"nothing"` // why nothing was traded; empty when something was
	OpenOrders       int                   `json:"open_orders"`
	Queues           []eventbus.QueueStats `json:"queues"`
}

// The profit of a trade that is still open is what its sale at the last close would make.
type jsonTrade struct {
	EntryDate  string  `json:"entry_date"`
	EntryPrice string  `json:"entry_price"`
	ExitDate   *string `json:"exit_date"`
	ExitPrice  *string `json:"exit_price"`
	Quantity   string  `json:"quantity"`
	Profit     string  `json:"profit"`
}

func (r *report) writeJSON(w io.Writer) error {
	out := jsonReport{
		Source: r.options.source, Parameters: r.options.parameters, Interrupted: r.Interrupted, Cancelled: r.Cancelled, Vetoed: r.Vetoed, Exposure: *share(r.exposure()), Nothing: r.nothing(),
		Candles: r.Candles, RowsLeftOut: r.LeftOut, Warnings: append([]string{}, r.Warnings...),
		Signals: r.Signals, Orders: r.Orders, Fills: r.Fills,
		Trades:           []jsonTrade{},
		FinalEquity:      r.finalEquity.String(),
		Return:           ratio(r.gain),
		BuyAndHoldReturn: ratio(r.buyAndHold),
		MaxDrawdown:      ratio(r.Drawdown),
		OpenOrders:       len(r.open),
		Queues:           r.stats.Queues[:],
	}
	layout := r.timeLayout()
	if r.Candles > 0 {
		first, last := r.First.Time.Format(layout), r.Last.Time.Format(layout)
		out.FirstDate, out.LastDate = &first, &last
	}
	if a, ok := r.annualised(); ok {
		out.AnnualisedReturn = share(a)
	}
	if won, ok := r.winRate(); ok {
		out.WinRate = share(won)
	}
	for _, t := range r.Trades {
		out.Trades = append(out.Trades, r.jsonTrade(t, layout))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func (r *report) jsonTrade(t *engine.Trade, layout string) jsonTrade {
	out := jsonTrade{
		EntryDate:  t.EntryTime.Format(layout),
		EntryPrice: t.EntryPrice().String(),
		Quantity:   t.Bought.String(),
		Profit:     t.Profit(r.Last.Close).String(),
	}
	if t.Closed() {
		date, price := t.ExitTime.Format(layout), t.ExitPrice().String()
		out.ExitDate, out.ExitPrice = &date, &price
	}
	return out
}

// share rounds a fraction to six digits.
func share(f float64) *float64 {
	f = math.Round(f*1e6) / 1e6
	return &f
}

func ratio(d decimal.Decimal) json.Number {
	return json.Number(d.RoundHAZ(6).String())
}
