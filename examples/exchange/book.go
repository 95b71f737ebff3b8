package exchange

import (
	"fmt"
	"time"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// An order works until it is filled or cancelled.
type order struct {
	symbol, side, clientID  string
	quantity, price, filled decimal.Decimal
	ended                   bool
}

func (o *order) status() string {
	switch {
	case o.filled.Equal(o.quantity):
		return wire.Filled
	case o.ended:
		return wire.Canceled
	case o.filled.IsPos():
		return wire.Partially
	}
	return wire.New
}

// A book is the orders of all symbols, and what happened to them, in order. It has no clock and no goroutine.
type book struct {
	byClient map[string]*order
	working  []*order
	reports  []wire.Report
}

// place takes an order, unless a reason to refuse it is given or found. One with a client id that is known already is
// not placed again: the answer is the state of the first.
func (b *book) place(o *order, quote wire.BookTicker, refuse *wire.Error, now time.Time) (*order, *wire.Error) {
	if known := b.byClient[o.clientID]; known != nil {
		return known, nil
	}
	const far = 20 // percent
	distance, _ := o.price.Sub(quote.Ask).Abs().Mul64(100).Div(decimal.Max(quote.Ask, decimal.One))
	switch {
	case o.clientID == "":
		return nil, &wire.Error{Code: -1102, Message: "newClientOrderId is empty: want a text that no other order has"}
	case o.side != wire.Buy && o.side != wire.Sell:
		return nil, &wire.Error{Code: -1117, Message: fmt.Sprintf("side %q: want BUY or SELL", o.side)}
	case !o.quantity.IsPos() || !o.price.IsPos():
		return nil, &wire.Error{Code: -1013, Message: fmt.Sprintf("quantity %s, price %s: both must be more than 0", o.quantity, o.price)}
	case distance.GreaterThan(decimal.MustFromInt64(far, 0)):
		return nil, &wire.Error{Code: -1013, Message: fmt.Sprintf("price %s is more than %d %% from the market, %s", o.price, far, quote.Ask)}
	case refuse != nil:
		return nil, refuse
	}
	b.byClient[o.clientID] = o
	b.working = append(b.working, o)
	b.report(o, wire.New, decimal.Zero, decimal.Zero, now)
	b.match(quote, now)
	return o, nil
}

// state is what there is to know of the order with a client id, if it is known.
func (b *book) state(clientID string) (wire.Order, bool) {
	o := b.byClient[clientID]
	if o == nil {
		return wire.Order{}, false
	}
	state := wire.Order{ClientID: clientID, Status: o.status(), Executed: o.filled}
	for _, r := range b.reports {
		if r.ClientID == clientID {
			state.Reports = append(state.Reports, r)
		}
	}
	return state, true
}

// match fills the orders of the quote's symbol as far as its prices and quantities allow.
func (b *book) match(quote wire.BookTicker, now time.Time) {
	bid, ask := quote.BidSize, quote.AskSize
	for _, o := range b.working {
		size, price, meets := &ask, quote.Ask, !o.price.LessThan(quote.Ask)
		if o.side == wire.Sell {
			size, price, meets = &bid, quote.Bid, !o.price.GreaterThan(quote.Bid)
		}
		traded := decimal.Min(*size, o.quantity.Sub(o.filled))
		if o.symbol != quote.Symbol || !meets || !traded.IsPos() {
			continue
		}
		*size = size.Sub(traded)
		o.filled = o.filled.Add(traded)
		o.ended = o.filled.Equal(o.quantity)
		b.report(o, wire.Traded, traded, price, now)
	}
	b.sweep()
}

// cancel ends all orders that work, or only that with a client id, and returns how many that were.
func (b *book) cancel(clientID string, now time.Time) (cancelled int) {
	for _, o := range b.working {
		if clientID == "" || clientID == o.clientID {
			o.ended = true
			b.report(o, wire.Canceled, decimal.Zero, decimal.Zero, now)
			cancelled++
		}
	}
	b.sweep()
	return cancelled
}

func (b *book) sweep() {
	var rest []*order
	for _, o := range b.working {
		if !o.ended {
			rest = append(rest, o)
		}
	}
	b.working = rest
}

func (b *book) report(o *order, happened string, quantity, price decimal.Decimal, now time.Time) {
	b.reports = append(b.reports, wire.Report{
		Event:    wire.Event{Type: "executionReport", Time: wire.Millis(now), Symbol: o.symbol, Side: o.side},
		Sequence: len(b.reports) + 1, ClientID: o.clientID, Happened: happened, Status: o.status(),
		Quantity: o.quantity, Price: o.price, Filled: o.filled, LastQuantity: quantity, LastPrice: price, At: wire.Millis(now),
	})
}
