package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// program runs the program as main does.
func program(t *testing.T, ctx context.Context, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(ctx, args, &out, &err)
	return status, out.String(), err.String()
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(content), 0o666))
	return file
}

func requireGolden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run go test -update to accept the change")
}

func TestDefaultRunReports(t *testing.T) {
	status, stdout, stderr := program(t, t.Context())
	require.Equal(t, exitOK, status, stderr)
	require.Empty(t, stderr)
	report, bus, found := strings.Cut(stdout, "\nBus\n")
	require.True(t, found)
	requireGolden(t, "report.txt", report)
	require.Contains(t, bus, "*engine.Ledger.OnFill")
	require.Regexp(t, `\n10,\d{3} events in \d+\.\d{3} s: [\d,]+ events a second\n$`, bus)
}

func TestJSONReport(t *testing.T) {
	status, stdout, stderr := program(t, t.Context(), "-json")
	require.Equal(t, exitOK, status, stderr)
	requireGolden(t, "report.json", stdout)

	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &object))
	require.ElementsMatch(t, keys(object), []string{"source", "first_date", "last_date", "parameters", "interrupted", "cancelled", "vetoed",
		"annualised_return", "win_rate", "exposure", "nothing", "candles", "rows_left_out", "warnings", "signals", "orders", "fills", "trades", "final_equity", "return",
		"buy_and_hold_return", "max_drawdown", "open_orders", "queues"})
	require.IsType(t, "", object["final_equity"], "money is a string")
	trade := object["trades"].([]any)[0].(map[string]any)
	require.ElementsMatch(t, keys(trade), []string{"entry_date", "entry_price", "exit_date", "exit_price", "quantity", "profit"})
}

func keys(object map[string]any) (names []string) {
	for name := range object {
		names = append(names, name)
	}
	return names
}

func TestOpenTradeHasNoExit(t *testing.T) {
	file := writeFile(t, "rising.csv", closesAsCSV("10", "10", "9", "11", "12", "13"))
	status, stdout, stderr := program(t, t.Context(), "-csv", file, "-fast", "1", "-slow", "2", "-cash", "100", "-json")
	require.Equal(t, exitOK, status, stderr)
	var got jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, []jsonTrade{{EntryDate: "2020-01-05", EntryPrice: "12", Quantity: "8", Profit: "8"}}, got.Trades)
	require.Contains(t, stdout, `"exit_date": null`)
	require.Contains(t, stdout, `"exit_price": null`)
}

func TestReportSaysWhyNothingHappened(t *testing.T) {
	for want, c := range map[string]struct{ closes, args string }{
		"no signal: averages of 1 and 4 candles can cross from candle 5 on": {"1 2 3 4", "-slow 4"},
		"no signal: the averages never crossed":                             {"1 2 3 4", "-slow 2"},
		"no trade: the cash, 5.00, does not cover a lot of 1":               {"9 8 9 9", "-slow 2 -cash 5"},
		"no trade: the cash, 9.00, does not cover a lot of 1":               {"9 8 9 10", "-slow 2 -cash 9"},
		"no signal: a close can be above the last 4 from candle 5 on":       {"1 2 3 4", "-slow 4 -strategy breakout"},
		"no signal: no close was above the last 2":                          {"9 9 9 9", "-slow 2 -strategy breakout"},
		"no trade: 1 orders were vetoed, with the equity below 200,000.00":  {"9 8 9 10", "-slow 2 -least 200000"},
		"no order: there was nothing to sell":                               {"1 2 1 1", "-slow 2"},
	} {
		file := writeFile(t, "prices.csv", closesAsCSV(strings.Fields(c.closes)...))
		args := append([]string{"-csv", file, "-fast", "1"}, strings.Fields(c.args)...)
		_, stdout, _ := program(t, t.Context(), args...)
		require.Contains(t, stdout, "\n  "+want+"\n")
		_, stdout, _ = program(t, t.Context(), append(args, "-json")...)
		var got jsonReport
		require.NoError(t, json.Unmarshal([]byte(stdout), &got))
		require.Equal(t, want, got.Nothing)
	}
}

func TestReportMeasuresTrades(t *testing.T) {
	// Four candles of ten close with a position, and neither trade makes money.
	file := writeFile(t, "prices.csv", closesAsCSV("10", "9", "11", "12", "8", "7", "9", "9", "3", "3"))
	_, stdout, _ := program(t, t.Context(), "-csv", file, "-fast", "1", "-slow", "2", "-cash", "100", "-json")
	var got jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Len(t, got.Trades, 2)
	require.Equal(t, 0.0, *got.WinRate)
	require.Equal(t, 0.4, got.Exposure)
	require.Nil(t, got.AnnualisedReturn, "less than a year")
	require.Equal(t, "2020-01-01", *got.FirstDate)
	require.Equal(t, "2020-01-10", *got.LastDate)
	require.Equal(t, "{crossover 1 2 1 100 0 }", fmt.Sprint(got.Parameters))

	r := &report{gain: decimal.MustParse("3"), Books: engine.Books{First: candleAt(0, "1"), Last: candleAt(2*31557600, "1")}}
	a, ok := r.annualised()
	require.True(t, ok)
	require.InDelta(t, 1, a, 0.001, "twice doubled")
}

func TestOrderStillOpenAtTheEndIsReported(t *testing.T) {
	file := writeFile(t, "last.csv", closesAsCSV("10", "10", "9", "11"))
	args := []string{"-csv", file, "-fast", "1", "-slow", "2", "-cash", "100"}
	status, stdout, stderr := program(t, t.Context(), args...)
	require.Equal(t, exitOK, status, stderr)
	require.Regexp(t, `orders +1 +still open: BUY 9 of 2020-01-04\n`, stdout)

	_, stdout, _ = program(t, t.Context(), append(args, "-json")...)
	var got jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, 1, got.OpenOrders)
	require.Equal(t, 0, got.Fills)
	require.Equal(t, "100", got.FinalEquity)
}

func TestEveryRunGivesTheSameReport(t *testing.T) {
	first := ""
	for range 20 {
		status, stdout, stderr := program(t, t.Context(), "-fast", "5", "-slow", "20")
		require.Equal(t, exitOK, status, stderr)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		require.Contains(t, lines[len(lines)-1], "events a second")
		report := strings.Join(lines[:len(lines)-1], "\n")
		if first == "" {
			first = report
		}
		require.Equal(t, first, report)
	}
}

func TestIntradayReportShowsTimes(t *testing.T) {
	file := writeFile(t, "minutes.csv", "time,open,high,low,close\n1577836800,10,10,10,10\n1577836860,11,11,11,11\n")
	_, stdout, _ := program(t, t.Context(), "-csv", file)
	require.Contains(t, stdout, "minutes.csv, 2020-01-01T00:00:00Z to 2020-01-01T00:01:00Z\n")
}

func TestLongTradeTableIsShortened(t *testing.T) {
	file := writeFile(t, "walk.csv", walkAsCSV(walk(7, 3000, 100)))
	args := []string{"-csv", file, "-fast", "1", "-slow", "2"}
	_, stdout, _ := program(t, t.Context(), append(args, "-json")...)
	var whole jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &whole))
	n := len(whole.Trades)
	require.Greater(t, n, 10*tradesShown)

	_, stdout, _ = program(t, t.Context(), args...)
	row := func(number int) string {
		trade := whole.Trades[number-1]
		return fmt.Sprintf(`\n +%d +%s .* %s .*`, number, trade.EntryDate, *trade.ExitDate)
	}
	require.Regexp(t, row(1)+row(2), stdout)
	require.Regexp(t, fmt.Sprintf(`%s\n +\.\.\. +%d more +\(-json has all\) *%s`, row(20), n-40, row(n-19)), stdout)
	require.Regexp(t, row(n-1)+row(n)+`\n\nBus`, stdout)
}

func TestPortfolioKeepsTheTradesThatAreShown(t *testing.T) {
	const n = 3000
	for _, c := range []struct {
		args []string
		keep bool
	}{{nil, false}, {[]string{"-json"}, true}} {
		o, err := parseOptions(append(c.args, "-fast", "1", "-slow", "2", "-cash", "1000000"), io.Discard)
		require.NoError(t, err)
		source, err := candles.NewReader("walk", strings.NewReader(walkAsCSV(walk(7, n, 100))), candles.Options{Digits: maxDecimals})
		require.NoError(t, err)
		e, err := newSession(o, feedOf(o, source), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		r, err := e.run(t.Context())
		require.NoError(t, err)
		require.Equal(t, (r.Fills+1)/2, len(r.Trades)+r.Forgotten)
		require.Equal(t, c.keep, r.Forgotten == 0)
		require.Equal(t, c.keep, len(r.Trades) > 4*tradesShown)
	}
}

func TestBadRowEndsTheRunWithoutReport(t *testing.T) {
	file := writeFile(t, "bad.csv", "date,open,high,low,close\n2020-01-01,1,1,1,1\n2020-01-02,1,1,1,x\n")
	status, stdout, stderr := program(t, t.Context(), "-csv", file)
	require.Equal(t, exitFailure, status)
	require.Empty(t, stdout)
	require.Equal(t, "tradingengine: "+file+`:3: column close: value "x": is not a decimal number such as 1455.22`+"\n", stderr)
}

func TestBreakoutIsAStrategy(t *testing.T) {
	file := writeFile(t, "prices.csv", closesAsCSV("10", "9", "11", "12", "13", "8", "7"))
	status, stdout, stderr := program(t, t.Context(), "-csv", file, "-strategy", "breakout", "-fast", "1", "-slow", "2", "-cash", "100")
	require.Equal(t, exitOK, status, stderr)
	require.Contains(t, stdout, "\nbreakout of 2 closes, out below 1, lots of 1")
	require.Regexp(t, `1 +2020-01-04 +12.00 +2020-01-07 +7.00 +8 +-40.00`, stdout)
}

func TestVetoedOrdersAreReported(t *testing.T) {
	_, stdout, _ := program(t, t.Context(), "-least", "150000")
	require.Regexp(t, `orders +0 +9 vetoed: the equity was below 150,000.00`, stdout)
}

func TestOddRowsAreWarnedOf(t *testing.T) {
	const odd = "date,symbol,open,high,low,close\n31/01/2020,A,1,1,1,1\n31/01/2020,A,1,1,1,1\n01/02/2020,A,1,\"1,5\",1,1\n01/02/2020,B,1,1,1,1\n"
	file := writeFile(t, "odd.csv", odd)
	status, stdout, stderr := program(t, t.Context(), "-csv", file, "-symbol", "A", "-dates", "dmy", "-decimal", "comma", "-json")
	require.Equal(t, exitOK, status, stderr)
	warning := file + ": rows left out, the same as the row before: 1, the first in line 3"
	require.Equal(t, "tradingengine: "+warning+"\n", stderr)
	var got jsonReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, []string{warning}, got.Warnings)
	require.Equal(t, "odd.csv A", got.Source)
	require.Equal(t, 1, got.RowsLeftOut)
	require.Equal(t, 2, got.Candles)
}

func TestUnusableOptionsAreNamed(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"-fast 0", "-fast 0: must be at least 1"},
		{"-fast 200", "-slow 200: must be more than -fast, 200"},
		{"-slow 1000001", "-slow 1000001: must be at most 1000000"},
		{"-lot 0", "-lot 0: must be more than 0"},
		{"-lot x", `invalid value "x" for flag -lot`},
		{"-cash -5", "-cash -5: must be more than 0"},
		{"-plot no/such/folder/a.svg", "-plot no/such/folder/a.svg: there is no folder no/such/folder"},
		{"-plot a.pdf", "-plot a.pdf: the file's name must end in .svg or .png"},
		{"-strategy hope", `-strategy "hope": must be crossover or breakout`},
		{"-least -1", "-least -1: must not be negative"},
		{"-dates us", "-dates us: must be mdy, dmy or ymd"},
		{"-decimal ,", "-decimal ,: must be point or comma"},
		{"-log loud", `invalid value "loud" for flag -log`},
		{"prices.csv", `unexpected argument "prices.csv": a file is given with -csv`},
		{"-nosuch", "flag provided but not defined: -nosuch"},
	} {
		status, stdout, stderr := program(t, t.Context(), strings.Fields(c.args)...)
		require.Equal(t, exitUsage, status, c.args)
		require.Empty(t, stdout, c.args)
		require.Contains(t, stderr, c.want)
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	status, _, stderr := program(t, t.Context(), "-h")
	require.Equal(t, exitOK, status)
	require.Contains(t, stderr, "Usage: tradingengine")
	require.Contains(t, stderr, "(default 100000)")
}

func TestMissingFileIsNamed(t *testing.T) {
	status, _, stderr := program(t, t.Context(), "-csv", "nosuch.csv")
	require.Equal(t, exitFailure, status)
	require.Contains(t, stderr, "-csv: open nosuch.csv")
}

func TestReportThatCannotBeWrittenIsAFailure(t *testing.T) {
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, args := range [][]string{nil, {"-json"}} {
		var stderr bytes.Buffer
		require.Equal(t, exitFailure, run(t.Context(), args, closed, &stderr))
		require.Contains(t, stderr.String(), "file already closed")
	}
}
