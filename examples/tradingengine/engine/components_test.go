package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/candles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var d = decimal.MustParse

// closeAt is a candle of an instrument whose price never moves.
func closeAt(symbol, price string) Candle {
	p := d(price)
	return Candle{Symbol: symbol, Candle: candles.Candle{Open: p, High: p, Low: p, Close: p}}
}

// said is what a strategy makes of the closes, with a dot for nothing.
func said(s Strategy, closes string) string {
	var said []string
	for _, c := range strings.Fields(closes) {
		side, ok := s.OnClose(closeAt("", c))
		if !ok {
			side = "."
		}
		said = append(said, string(side))
	}
	return strings.Join(said, " ")
}

func TestCrossoverSignalsCrossingsOnly(t *testing.T) {
	for name, c := range map[string]struct{ closes, want string }{
		"too few":                   {"1 2", ". ."},
		"above from the start":      {"1 2 3 4", ". . . ."},
		"crosses above":             {"3 2 1 9", ". . . BUY"},
		"crosses below":             {"1 2 3 1", ". . . SELL"},
		"touches from above":        {"1 2 2 2 3", ". . . . BUY"},
		"through from above":        {"1 2 3 3 3 2", ". . . . . SELL"},
		"equal at first, then over": {"5 5 5 6", ". . . BUY"},
		"equal at first, under":     {"5 5 5 4", ". . . SELL"},
		"there and back":            {"3 2 1 9 1", ". . . BUY SELL"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, said(NewCrossover(1, 3), c.closes)) })
	}
}

func TestBreakoutSignalsClosesBeyondTheLast(t *testing.T) {
	for name, c := range map[string]struct{ closes, want string }{
		"too few":          {"1 2 3", ". . ."},
		"above all three":  {"1 2 3 4", ". . . BUY"},
		"equal to one":     {"1 2 3 3", ". . . ."},
		"below the last 2": {"9 5 6 4", ". . . SELL"},
		"below one of 2":   {"9 5 7 6", ". . . ."},
		"on and on":        {"1 1 1 2 3 1", ". . . BUY BUY SELL"},
		"old ones forgot":  {"9 1 1 1 2", ". . . . BUY"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, said(NewBreakout(3, 2), c.closes)) })
	}
}

func TestPerSymbolKeepsSymbolsApart(t *testing.T) {
	s := &PerSymbol{New: func() Strategy { return NewBreakout(1, 1) }}
	for _, c := range []struct {
		symbol, price string
		want          Side
	}{{"A", "1", ""}, {"B", "9", ""}, {"A", "2", Buy}, {"B", "8", Sell}} {
		side, _ := s.OnClose(closeAt(c.symbol, c.price))
		require.Equal(t, c.want, side)
	}
}

func TestLossLimitVetoesPurchasesOnly(t *testing.T) {
	limit := LossLimit{Least: d("90")}
	require.NoError(t, limit.Check(Order{Side: Buy}, Account{Equity: d("90")}))
	require.EqualError(t, limit.Check(Order{Side: Buy}, Account{Equity: d("89.99")}), "the equity, 89.99, is below the limit, 90")
	require.NoError(t, limit.Check(Order{Side: Sell}, Account{Equity: d("1")}))
}

func TestOrderManagerHasOneOrderAtATime(t *testing.T) {
	m := newOrderManager(nil, d("10"), d("1000"), decimal.Zero)
	order := func(side Side) (Order, bool) {
		o, _, ok := m.order(Signal{Side: side, Close: d("3")})
		return o, ok
	}
	_, ok := order(Sell)
	require.False(t, ok, "there is nothing to sell")
	o, ok := order(Buy)
	require.True(t, ok)
	require.Equal(t, "330", o.Quantity.String())
	require.Equal(t, "1000", o.Budget.String())
	_, ok = order(Buy)
	require.False(t, ok, "an order is working")
	_, ok = order(Sell)
	require.False(t, ok, "an order is working")

	require.NoError(t, m.onEnded(t.Context(), nil, Cancellation{Order: o}))
	o, ok = order(Buy)
	require.True(t, ok)
	account := Account{Fill: Fill{Order: o, Partial: true}, Cash: d("500"), Position: d("150")}
	require.NoError(t, m.onAccount(t.Context(), nil, account))
	_, ok = order(Sell)
	require.False(t, ok, "the rest still works")
	account = Account{Fill: Fill{Order: o}, Cash: d("10"), Position: d("330")}
	require.NoError(t, m.onAccount(t.Context(), nil, account))
	_, ok = order(Buy)
	require.False(t, ok, "there is a position")
	o, ok = order(Sell)
	require.True(t, ok)
	require.Equal(t, "330", o.Quantity.String())
	require.NoError(t, m.onAccount(t.Context(), nil, Account{Fill: Fill{Order: o}, Cash: d("29.99")}))
	_, ok = order(Buy)
	require.False(t, ok, "the cash does not cover a lot")
	require.Equal(t, Counts{Signals: 9, TooDear: 1, Orders: 3, Cancelled: 1}, m.counts)
	<-m.rest()
	require.NoError(t, m.onTrading(t.Context(), nil, Trading{}))
	_, ok = order(Buy)
	require.False(t, ok, "no order is placed any more")
}

func TestOrderManagerSpendsNoCashTwice(t *testing.T) {
	m := newOrderManager(nil, d("1"), d("1000"), d("600"))
	for _, symbol := range []string{"A", "B"} {
		_, _, ok := m.order(Signal{Symbol: symbol, Side: Buy, Close: d("1")})
		require.True(t, ok)
	}
	require.Equal(t, "1000", m.working["A"].Budget.Add(m.working["B"].Budget).String(), "600 for the first, 400 for the second")
	_, _, ok := m.order(Signal{Symbol: "C", Side: Buy, Close: d("1")})
	require.False(t, ok)
}

func TestPaperBrokerFillsAtTheOpenWhatTheBudgetCovers(t *testing.T) {
	for name, c := range map[string]struct {
		open string
		want string // quantity; empty: cancelled
	}{
		"as ordered":      {"10", "9"},
		"cheaper":         {"5", "9"},
		"a part":          {"15", "6"},
		"exactly one lot": {"33.333333", "3"},
		"not a lot":       {"33.4", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bus := eventbustest.New(t, eventbustest.NotStarted())
			rec := eventbustest.NewRecorder(t, bus).Within(0)
			b := NewPaperBroker(d("3"))
			order := Order{ID: 1, Side: Buy, Quantity: d("9"), Budget: d("100")}
			opening := Opening{Time: time.Unix(7, 0), Price: d(c.open)}
			require.NoError(t, b.OnOrder(t.Context(), bus, order))
			require.NoError(t, b.OnOpening(t.Context(), bus, Opening{Symbol: "other", Price: d("1")}))
			require.Len(t, b.open, 1)
			require.NoError(t, b.OnOpening(t.Context(), bus, opening))
			require.Empty(t, b.open)
			_, err := bus.RunUntilIdle(t.Context())
			require.NoError(t, err)
			if c.want == "" {
				rec.Expect(t, eventbustest.Type(eventbus.OrderUpdate))
			} else {
				rec.Expect(t, eventbustest.PayloadFunc(eventbus.OrderFilled, c.want+" at the open", func(f Fill) bool {
					return f.Quantity.String() == c.want && f.Price.String() == c.open && f.Time == opening.Time
				}))
			}
			rec.ExpectNone(t)
		})
	}
}

func TestLedgerBooksFillsInParts(t *testing.T) {
	bus := eventbustest.New(t)
	l := NewLedger(d("1000"), 0)
	l.OnClose(closeAt("A", "10"))
	fill := func(side Side, price, quantity string, partial bool) {
		f := Fill{Order: Order{Symbol: "A", Side: side}, Price: d(price), Quantity: d(quantity), Partial: partial}
		require.NoError(t, l.OnFill(t.Context(), bus, f))
	}
	fill(Buy, "10", "30", true)
	fill(Buy, "11", "10", false)
	l.OnClose(closeAt("B", "99"))
	l.OnClose(closeAt("A", "12"))
	require.Equal(t, "1070", l.Equity().String(), "590 of cash and 40 at 12")
	short := Fill{Order: Order{Symbol: "A", Side: Sell}, Price: d("12"), Quantity: d("41")}
	require.EqualError(t, l.OnFill(t.Context(), bus, short), `engine: a sale of 41 "A": only 40 are held`)
	fill(Sell, "12", "15", true)
	fill(Sell, "13", "25", false)
	require.NoError(t, bus.Flush(t.Context()))
	books := l.Books()
	require.Equal(t, "1095", books.Cash.String())
	require.Equal(t, 4, books.Fills)
	require.Equal(t, 2, books.Parts)
	require.Len(t, books.Trades, 1)
	trade := books.Trades[0]
	require.Equal(t, "10.25 12.625 95", fmt.Sprint(trade.EntryPrice(), " ", trade.ExitPrice(), " ", trade.Profit(d("1"))))
	require.Equal(t, [4]int{1, 1, 3, 1}, [4]int{books.Closed, books.Won, books.Candles, books.Held})
}
