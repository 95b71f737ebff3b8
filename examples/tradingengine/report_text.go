package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/amount"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// tradesShown is how many trades the table has at its beginning and again at its end when there are more.
const tradesShown = 20

func (r *report) writeText(w io.Writer) error {
	out := &bytes.Buffer{}
	r.writeSummary(out)
	r.writeTrades(out)
	fmt.Fprintf(out, "\nBus\n\n%s\n", strings.TrimRight(r.stats.String(), "\n"))
	seconds := max(r.Took, 1).Seconds()
	perSecond := decimal.MustFromUint64(uint64(float64(r.events())/seconds), 0)
	fmt.Fprintf(out, "\n%s events in %.3f s: %s events a second\n", amount.Group(fmt.Sprint(r.events())), seconds, amount.Group(perSecond.String()))
	_, err := w.Write(out.Bytes())
	return err
}

func (r *report) writeSummary(w io.Writer) {
	o := r.options
	fmt.Fprint(w, r.title())
	if r.Interrupted {
		fmt.Fprint(w, " (interrupted)")
	}
	fmt.Fprintf(w, "\n%s, lots of %s, %s at the start\nlong only, no fees, no slippage\n\n", o.describe(), o.Lot, amount.Money(o.Cash))

	line := func(name, value, note string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-18s%14s   %s", name, value, note), " "))
	}
	count := func(name string, n int, note string) { line(name, amount.Group(fmt.Sprint(n)), note) }
	count("candles", r.Candles, "")
	count("signals", r.Signals, "")
	count("orders", r.Orders, r.ordersNote())
	count("fills", r.Fills, "")
	fmt.Fprintln(w)
	line("final equity", amount.Money(r.finalEquity), "")
	line("return", amount.Percent(r.gain), "")
	line("buy and hold", amount.Percent(r.buyAndHold), "first close to last close")
	if a, ok := r.annualised(); ok {
		line("a year", amount.Percent(decimal.MustFromFloat64(a)), "the return, annualised")
	}
	line("largest drawdown", amount.Percent(r.Drawdown), "of equity at the close, from its peak")
	if won, ok := r.winRate(); ok {
		line("trades won", amount.Percent(decimal.MustFromFloat64(won)), fmt.Sprintf("%s of %s", amount.Group(fmt.Sprint(r.Won)), amount.Group(fmt.Sprint(r.Closed))))
	}
	line("exposure", amount.Percent(decimal.MustFromFloat64(r.exposure())), "of the candles closed with a position")
	for _, note := range append([]string{r.nothing()}, r.Warnings...) {
		if note != "" {
			fmt.Fprintf(w, "\n  %s\n", note)
		}
	}
}

func (r *report) ordersNote() string {
	var notes []string
	if r.Cancelled > 0 {
		notes = append(notes, fmt.Sprintf("%s cancelled: the cash did not cover a lot", amount.Group(fmt.Sprint(r.Cancelled))))
	}
	if r.Vetoed > 0 {
		notes = append(notes, fmt.Sprintf("%s vetoed: the equity was below %s", amount.Group(fmt.Sprint(r.Vetoed)), amount.Money(r.options.Least)))
	}
	for _, o := range r.open {
		notes = append(notes, fmt.Sprintf("still open: %s %s of %s", o.Side, amount.Group(o.Quantity.String()), o.Time.Format(r.timeLayout())))
	}
	return strings.Join(notes, "; ")
}

func (r *report) writeTrades(w io.Writer) {
	fmt.Fprint(w, "\nTrades\n\n")
	if len(r.Trades) == 0 {
		fmt.Fprintln(w, "  none")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "#\tentry\tprice\texit\tprice\tquantity\tprofit\t")
	layout := r.timeLayout()
	first, last := r.Trades, []*engine.Trade(nil)
	hidden := len(r.Trades) + r.Forgotten - 2*tradesShown
	if hidden > 0 {
		first, last = r.Trades[:tradesShown], r.Trades[len(r.Trades)-tradesShown:]
	}
	for i, t := range first {
		r.writeTrade(table, i+1, t, layout)
	}
	if hidden > 0 {
		fmt.Fprintf(table, "...\t%s more\t\t(-json has all)\t\t\t\t\n", amount.Group(fmt.Sprint(hidden)))
	}
	for i, t := range last {
		r.writeTrade(table, tradesShown+hidden+i+1, t, layout)
	}
	table.Flush()
}

func (r *report) writeTrade(w io.Writer, number int, t *engine.Trade, layout string) {
	exitDate, exitPrice := "open", ""
	if t.Closed() {
		exitDate, exitPrice = t.ExitTime.Format(layout), amount.Price(t.ExitPrice())
	}
	fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", number, t.EntryTime.Format(layout), amount.Price(t.EntryPrice()),
		exitDate, exitPrice, amount.Group(t.Bought.String()), amount.Money(t.Profit(r.Last.Close)))
}

func (r *report) title() string {
	if r.Candles == 0 {
		return r.options.source
	}
	layout := r.timeLayout()
	return fmt.Sprintf("%s, %s to %s", r.options.source, r.First.Time.Format(layout), r.Last.Time.Format(layout))
}
