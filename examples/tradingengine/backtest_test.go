package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
)

// backtest is the trading engine again, in plain loops over the whole file, with another decimal library
// and nothing shared with the program.
type backtest struct {
	signals, orders, fills, partial, cancelled, open int

	trades                          []backtestTrade
	equity, gain, holding, drawdown decimal.Decimal
}

type backtestTrade struct {
	entry, exit         int // rows; exit is -1 while open
	quantity            decimal.Decimal
	entryPrice, selling decimal.Decimal
}

func (b *backtest) run(opens, closes []decimal.Decimal, fast, slow int, lot, start decimal.Decimal) {
	const digits = 40
	mean := func(end, n int) decimal.Decimal {
		sum := decimal.Zero
		for _, c := range closes[end+1-n : end+1] {
			sum = sum.Add(c)
		}
		return sum.DivRound(decimal.NewFromInt(int64(n)), digits)
	}
	lots := func(cash, price decimal.Decimal) decimal.Decimal {
		q, _ := cash.QuoRem(price.Mul(lot), 0)
		return q.Mul(lot)
	}
	cash, held, buying, selling := start, decimal.Zero, decimal.Zero, false
	peak, before := start, 0
	for i := range closes {
		if buying.IsPositive() {
			quantity := decimal.Min(buying, lots(cash, opens[i]))
			switch {
			case quantity.IsZero():
				b.cancelled++
			default:
				if quantity.LessThan(buying) {
					b.partial++
				}
				b.fills++
				cash, held = cash.Sub(quantity.Mul(opens[i])), quantity
				b.trades = append(b.trades, backtestTrade{entry: i, exit: -1, quantity: quantity, entryPrice: opens[i]})
			}
			buying = decimal.Zero
		}
		if selling {
			b.fills++
			cash = cash.Add(held.Mul(opens[i]))
			held, selling = decimal.Zero, false
			last := &b.trades[len(b.trades)-1]
			last.exit, last.selling = i, opens[i]
		}
		b.equity = cash.Add(held.Mul(closes[i]))
		peak = decimal.Max(peak, b.equity)
		b.drawdown = decimal.Max(b.drawdown, peak.Sub(b.equity).DivRound(peak, digits))
		if i+1 < slow {
			continue
		}
		now := mean(i, fast).Cmp(mean(i, slow))
		if i+1 == slow {
			before = now
			continue
		}
		if before <= 0 && now > 0 {
			b.signals++
			if quantity := lots(cash, closes[i]); held.IsZero() && quantity.IsPositive() {
				b.orders++
				buying = quantity
			}
		}
		if before >= 0 && now < 0 {
			b.signals++
			if held.IsPositive() {
				b.orders++
				selling = true
			}
		}
		before = now
	}
	if buying.IsPositive() || selling {
		b.open = 1
	}
	b.gain = b.equity.Sub(start).DivRound(start, digits)
	b.holding = closes[len(closes)-1].Sub(closes[0]).DivRound(closes[0], digits)
}

// requireSameAsBacktest runs the program and the backtest on the same CSV text, whose first columns are date, open, high, low and close.
func requireSameAsBacktest(t *testing.T, text string, fast, slow int, lot, cash string) *backtest {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	rows = rows[1:]
	var opens, closes []decimal.Decimal
	for _, row := range rows {
		opens = append(opens, decimal.RequireFromString(row[1]))
		closes = append(closes, decimal.RequireFromString(row[4]))
	}
	want := &backtest{}
	want.run(opens, closes, fast, slow, decimal.RequireFromString(lot), decimal.RequireFromString(cash))

	status, stdout, stderr := program(t, t.Context(), "-csv", writeFile(t, "candles.csv", text), "-json",
		"-fast", fmt.Sprint(fast), "-slow", fmt.Sprint(slow), "-lot", lot, "-cash", cash)
	require.Equal(t, exitOK, status, stderr)
	var got jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, len(rows), got.Candles)
	require.Equal(t, want.signals, got.Signals)
	require.Equal(t, want.orders, got.Orders)
	require.Equal(t, want.fills, got.Fills)
	require.Equal(t, want.open, got.OpenOrders)
	require.Equal(t, want.equity.String(), got.FinalEquity)
	require.Equal(t, want.gain.Round(6).String(), got.Return.String())
	require.Equal(t, want.holding.Round(6).String(), got.BuyAndHoldReturn.String())
	require.Equal(t, want.drawdown.Round(6).String(), got.MaxDrawdown.String())

	require.Len(t, got.Trades, len(want.trades))
	profits := decimal.Zero
	for i, trade := range want.trades {
		expect := jsonTrade{EntryDate: rows[trade.entry][0], EntryPrice: trade.entryPrice.String(), Quantity: trade.quantity.String()}
		price := closes[len(closes)-1]
		if trade.exit >= 0 {
			price = trade.selling
			date, text := rows[trade.exit][0], price.String()
			expect.ExitDate, expect.ExitPrice = &date, &text
		}
		profit := price.Sub(trade.entryPrice).Mul(trade.quantity)
		profits = profits.Add(profit)
		expect.Profit = profit.String()
		require.Equal(t, expect, got.Trades[i])
	}
	require.Equal(t, want.equity.String(), decimal.RequireFromString(cash).Add(profits).String(), "profits explain the equity")

	require.Len(t, got.Queues, 3)
	require.EqualValues(t, 2*len(rows)+1, got.Queues[0].Handled)
	require.EqualValues(t, want.signals, got.Queues[1].Handled)
	require.EqualValues(t, want.orders+2*(want.fills+want.cancelled), got.Queues[2].Handled)
	return want
}

func TestSameAsBacktestOnTheSP500(t *testing.T) {
	sp500, err := os.ReadFile("data/sp500-2000.csv")
	require.NoError(t, err)
	for _, c := range []struct {
		fast, slow int
		lot, cash  string
	}{
		{50, 200, "1", "100000"},
		{1, 2, "1", "100000"},
		{5, 20, "0.001", "12345.67"},
		{20, 21, "7", "10000"},
		{5, 30, "1", "1000"}, // too little for a lot most of the time
	} {
		b := requireSameAsBacktest(t, string(sp500), c.fast, c.slow, c.lot, c.cash)
		require.NotZero(t, b.signals)
	}
}

func TestSameAsBacktestOnRandomWalks(t *testing.T) {
	var all backtest
	for seed := range uint64(4) {
		text := walkAsCSV(walk(seed, 1500, 100))
		for _, c := range []struct {
			fast, slow int
			lot, cash  string
		}{{1, 2, "1", "150"}, {2, 3, "0.25", "2500.50"}, {5, 20, "3", "1000"}, {1, 7, "1", "101"}} {
			b := requireSameAsBacktest(t, text, c.fast, c.slow, c.lot, c.cash)
			all.partial += b.partial
			all.cancelled += b.cancelled
			all.open += b.open
			all.fills += b.fills
		}
	}
	require.NotZero(t, all.fills)
	require.NotZero(t, all.partial, "some buys are filled in part")
	require.NotZero(t, all.cancelled, "some buys are not filled at all")
	require.NotZero(t, all.open, "some orders are open at the end")
}

// walk gives opens and closes in quarters, so that averages meet and touch often, with gaps overnight.
func walk(seed uint64, n int, start float64) (opens, closes []float64) {
	random := rand.New(rand.NewPCG(seed, 2))
	price := start
	step := func(most int) {
		price = max(1, price+float64(random.IntN(2*most+1)-most)/4)
	}
	for range n {
		step(12)
		opens = append(opens, price)
		step(8)
		closes = append(closes, price)
	}
	return opens, closes
}

func walkAsCSV(opens, closes []float64) string {
	var b strings.Builder
	b.WriteString("date,open,high,low,close\n")
	day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range opens {
		fmt.Fprintf(&b, "%s,%v,%v,%v,%v\n", day.Format(time.DateOnly), opens[i], max(opens[i], closes[i]), min(opens[i], closes[i]), closes[i])
		day = day.AddDate(0, 0, 1)
	}
	return b.String()
}

// closesAsCSV makes candles from 2020-01-01 on whose four prices are the same.
func closesAsCSV(closes ...string) string {
	var b strings.Builder
	b.WriteString("date,open,high,low,close\n")
	for i, c := range closes {
		fmt.Fprintf(&b, "2020-01-%02d,%s,%s,%s,%s\n", i+1, c, c, c, c)
	}
	return b.String()
}
