package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

func (t *trading) report(w io.Writer, took time.Duration) error {
	counts, books, orders := t.engine.Counts(), t.ledger.Books(), t.account.Orders()
	stats := t.engine.Bus().Stats()
	s := t.stream
	out := &bytes.Buffer{}
	line := func(name string, value any, note string, args ...any) {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("  %-18s%14v   %s", name, value, fmt.Sprintf(note, args...)), " "))
	}
	fmt.Fprintf(out, "%v on %s\n\n", took.Round(time.Millisecond), s.URL)
	if r := t.restored; r.Sessions > 0 {
		line("restored", r.Handled, "events of %d sessions, counted in signals to cash below; %d orders to be asked about", r.Sessions, len(r.Open))
	}
	line("messages", s.Messages, "over %d connections", s.Connections)
	line("trades", s.Trades, "%d missed while not connected", s.MissedTrades)
	line("candles", s.Candles, "%d of them missed at first and fetched", s.Fetched)
	line("quotes", s.Quotes, "%d heard, %d conflated, %d dropped", t.quotes.Load(), stats.Queues[eventbus.DataQueue].Conflated, s.QuotesDropped)
	fmt.Fprintln(out)
	line("signals", counts.Signals, "")
	line("orders", counts.Orders, "%d sent by this run, %d refused by the exchange, %d sent again", orders.Sent, orders.Rejected, orders.Resent)
	line("vetoed", counts.Vetoed, "by the risk check")
	line("cancelled", counts.Cancelled, "refused ones too")
	line("fills", books.Fills, "%d of a part", books.Parts)
	line("trades closed", books.Closed, "%d won", books.Won)
	line("equity", t.ledger.Equity().RoundHAZ(2).StringFixed(2), "%s at the start", t.cash.StringFixed(2))
	line("cash", books.Cash.RoundHAZ(2).StringFixed(2), "%s", strings.Join(t.held(), ", "))
	ticks := t.tickToOrder()
	line("tick to order", ticks.Quantile(0.5), "median of %d orders; 99 %%: %v, 99.9 %%: %v", ticks.Count(), ticks.Quantile(0.99), ticks.Quantile(0.999))
	fmt.Fprintf(out, "\nBus\n\n%s", stats.String())
	_, err := w.Write(out.Bytes())
	return err
}

// tickToOrder is how long after the feed had published a candle the order that it led to was at the broker.
func (t *trading) tickToOrder() eventbus.Histogram {
	for _, h := range t.engine.Bus().Latencies().Handlers {
		if h.Type == engine.OrderPlaced.Type() {
			return h.FromRoot
		}
	}
	return eventbus.Histogram{}
}

// held are the positions.
func (t *trading) held() (positions []string) {
	for _, trade := range t.ledger.Books().Trades {
		if !trade.Closed() {
			positions = append(positions, trade.Bought.Sub(trade.Sold).String()+" "+trade.Symbol)
		}
	}
	return positions
}
