package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/figure"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

func TestPlotIsDrawnInTheFormatOfItsName(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plot.SVG", "plot.png"} {
		file := filepath.Join(dir, name)
		status, stdout, stderr := program(t, t.Context(), "-plot", file)
		require.Equal(t, exitOK, status, stderr)
		require.Contains(t, stdout, "events a second", "the report is printed too")
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.HasSuffix(name, ".png") {
			picture, err := png.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			require.Equal(t, 1728, picture.Bounds().Dx())
			continue
		}
		requireXML(t, data)
		for _, text := range []string{"S&amp;P 500, 2000-01-03 to 2020-04-17", "average of 50", "average of 200", "buy", "sell", "equity", "3,000"} {
			require.Contains(t, string(data), text)
		}
	}
}

func requireXML(t *testing.T, data []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestPlotShowsEveryFill(t *testing.T) {
	c := newChart(1, 2, equityOf("100"))
	for i, side := range []engine.Side{engine.Buy, engine.Sell, "", engine.Buy} {
		if side != "" {
			require.NoError(t, c.onFill(t.Context(), fillAt(i, side)))
		}
		require.NoError(t, c.onClose(t.Context(), candleAt(i, "10")))
	}
	lines := c.lines()
	require.Equal(t, []figure.Point{{X: 0, Y: 100}, {X: 3, Y: 103}}, lines.buys)
	require.Equal(t, []figure.Point{{X: 1, Y: 101}}, lines.sells)
	require.NoError(t, c.save(t.Context(), filepath.Join(t.TempDir(), "few.svg"), "four candles"))
}

func fillAt(second int, side engine.Side) engine.Fill {
	return engine.Fill{Order: engine.Order{Side: side}, Time: time.Unix(int64(second), 0), Price: decimal.MustFromInt64(int64(100+second), 0)}
}

func TestPlotThatCannotBeDrawnIsAFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plot.svg")
	require.NoError(t, os.Mkdir(file, 0o700))
	status, _, stderr := program(t, t.Context(), "-plot", file)
	require.Equal(t, exitFailure, status)
	require.Contains(t, stderr, "-plot: open")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, _, stderr = program(t, ctx, "-plot", filepath.Join(t.TempDir(), "plot.svg"))
	require.Equal(t, exitInterrupted, status)
	require.Contains(t, stderr, "-plot: there is no candle to draw")
}

func TestOneCandleDrawsSomething(t *testing.T) {
	c := newChart(1, 2, equityOf("100"))
	require.NoError(t, c.onClose(t.Context(), candleAt(0, "10")))
	file := filepath.Join(t.TempDir(), "one.svg")
	require.NoError(t, c.save(t.Context(), file, "one candle"))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(data), `fill:#787878`, "a dot for the price")
	require.Contains(t, string(data), `fill:#3C3C3C`, "a dot for the equity")
}

// zigzag is a chart of n candles whose line crosses itself nowhere and turns everywhere.
func zigzag(t *testing.T, n int) *chart {
	t.Helper()
	c := newChart(1, 2, equityOf("100"))
	for i := range n {
		require.NoError(t, c.onClose(t.Context(), candleAt(i*86400, []string{"10", "20"}[i%2])))
	}
	return c
}

func TestInterruptEndsTheDrawing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	file := filepath.Join(t.TempDir(), "zigzag.png")
	err := zigzag(t, 100).save(ctx, file, "zigzag")
	require.EqualError(t, err, "-plot: enough: "+file+" is not written")
	require.NoFileExists(t, file)
}

func candleAt(second int, price string) engine.Candle {
	p := decimal.MustParse(price)
	return engine.Candle{Candle: candles.Candle{Time: time.Unix(int64(second), 0), Open: p, High: p, Low: p, Close: p}}
}

func TestChartMarksEquityAndAverages(t *testing.T) {
	c := newChart(1, 2, equityOf("100"))
	require.NoError(t, c.onClose(t.Context(), candleAt(0, "10")))
	c.equity = equityOf("116")
	require.NoError(t, c.onClose(t.Context(), candleAt(1, "12")))
	lines := c.lines()
	require.Equal(t, []figure.Point{{X: 0, Y: 10}, {X: 1, Y: 12}}, lines.closes)
	require.Equal(t, []figure.Point{{X: 0, Y: 10}, {X: 1, Y: 12}}, lines.fast)
	require.Equal(t, []figure.Point{{X: 1, Y: 11}}, lines.slow)
	require.Equal(t, []figure.Point{{X: 0, Y: 100}, {X: 1, Y: 116}}, lines.equity)
}

func equityOf(amount string) func() decimal.Decimal {
	return func() decimal.Decimal { return decimal.MustParse(amount) }
}

func TestChartOfAnyLengthKeepsItsExtremes(t *testing.T) {
	c := newChart(1, 2, equityOf("100"))
	const candles = 10*chartPoints + 3
	for i := range candles {
		price := "50"
		switch i {
		case 12_345:
			price = "99"
		case 23_456:
			price = "1"
		}
		require.NoError(t, c.onFill(t.Context(), fillAt(i, []engine.Side{engine.Buy, engine.Sell}[i%2])))
		require.NoError(t, c.onClose(t.Context(), candleAt(i, price)))
	}
	buys, sells := c.lines().buys, c.lines().sells
	require.Equal(t, len(c.points), len(buys), "one for each point")
	require.Equal(t, len(c.points), len(sells), "one for each point")
	require.Equal(t, 115.0, sells[0].Y, "the last sale of sixteen candles")
	require.LessOrEqual(t, len(c.points), chartPoints)
	require.Greater(t, len(c.points), chartPoints/2)
	total, low, high := 0, 50.0, 50.0
	for i, p := range c.points {
		require.Equal(t, float64(total), p.time, "point %d", i)
		total += p.candles
		low, high = min(low, p.low), max(high, p.high)
	}
	require.Equal(t, candles, total)
	require.Equal(t, 1.0, low)
	require.Equal(t, 99.0, high)
}
