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
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"

	"github.com/eventbus-go/eventbus/examples/candles"
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
	c := newChart(1, 2, decimal.MustParse("100"))
	for i, side := range []engine.Side{engine.Buy, engine.Sell, "", engine.Buy} {
		if side != "" {
			require.NoError(t, c.onFill(t.Context(), fillAt(i, side)))
		}
		require.NoError(t, c.onClose(t.Context(), candleAt(i, "10")))
	}
	buys, sells := c.marks()
	require.Equal(t, plotter.XYs{{X: 0, Y: 100}, {X: 3, Y: 103}}, buys)
	require.Equal(t, plotter.XYs{{X: 1, Y: 101}}, sells)
	require.NoError(t, c.save(t.Context(), filepath.Join(t.TempDir(), "few.svg"), "four candles"))
}

func fillAt(second int, side engine.Side) engine.Fill {
	return engine.Fill{Order: engine.Order{Side: side}, Time: time.Unix(int64(second), 0), Price: decimal.MustFromInt64(int64(100+second), 0)}
}

func TestMarksShrinkWhereTheyAreMany(t *testing.T) {
	require.Equal(t, markSize, markRadius(1))
	require.Equal(t, markSize, markRadius(100))
	require.Equal(t, markSize/2, markRadius(400))
	require.EqualValues(t, 1, markRadius(chartPoints))
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
	c := newChart(1, 2, decimal.MustParse("100"))
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
	c := newChart(1, 2, decimal.MustParse("100"))
	for i := range n {
		require.NoError(t, c.onClose(t.Context(), candleAt(i*86400, []string{"10", "20"}[i%2])))
	}
	return c
}

// The time that a picture of pixels takes for a path grows with the square of its points.
func TestPlotIsDrawnInShortPaths(t *testing.T) {
	points := func(candles int) (all int) {
		f, err := zigzag(t, candles).figure(t.Context(), "zigzag")
		require.NoError(t, err)
		var canvas recorder.Canvas
		f.draw(draw.NewCanvas(&canvas, plotWidth, plotHeight))
		for _, action := range canvas.Actions {
			if stroke, ok := action.(*recorder.Stroke); ok {
				require.LessOrEqual(t, len(stroke.Path), 65)
				all += len(stroke.Path)
			}
		}
		return all
	}
	short, long := points(1000), points(8000)
	require.Greater(t, long, 4*short)
	require.Less(t, long, 9*short)
}

func TestInterruptEndsTheDrawing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	file := filepath.Join(t.TempDir(), "zigzag.png")
	err := zigzag(t, 100).save(ctx, file, "zigzag")
	require.EqualError(t, err, "-plot: enough: "+file+" is not written")
	require.NoFileExists(t, file)
}

func TestAmountLabelsAreRound(t *testing.T) {
	for _, c := range []struct {
		value, span float64
		want        string
	}{
		{0.1 + 0.2, 1, "0.3"}, {5.5e-17, 1, "0"}, {1234567.5, 10, "1234567.5"}, {0.00000175, 0.000001, "0.00000175"}, {-0.7000000000000001, 1, "-0.7"},
	} {
		require.Equal(t, c.want, amountLabel(c.value, c.span))
	}
}

func candleAt(second int, price string) engine.Candle {
	p := decimal.MustParse(price)
	return engine.Candle{Candle: candles.Candle{Time: time.Unix(int64(second), 0), Open: p, High: p, Low: p, Close: p}}
}

func TestChartMarksEquityAndAverages(t *testing.T) {
	c := newChart(1, 2, decimal.MustParse("100"))
	require.NoError(t, c.onClose(t.Context(), candleAt(0, "10")))
	require.NoError(t, c.onAccount(t.Context(), engine.Account{Cash: decimal.MustParse("20"), Position: decimal.MustParse("8")}))
	require.NoError(t, c.onClose(t.Context(), candleAt(1, "12")))
	closes, fast, slow, equity := c.lines()
	require.Equal(t, []float64{10, 12}, values(closes))
	require.Equal(t, []float64{10, 12}, values(fast))
	require.Equal(t, []float64{11}, values(slow))
	require.Equal(t, []float64{100, 116}, values(equity))
}

func values(line interface {
	Len() int
	XY(int) (x, y float64)
}) (ys []float64) {
	for i := range line.Len() {
		_, y := line.XY(i)
		ys = append(ys, y)
	}
	return ys
}

func TestChartOfAnyLengthKeepsItsExtremes(t *testing.T) {
	c := newChart(1, 2, decimal.MustParse("100"))
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
	buys, sells := c.marks()
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

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func TestTimeTicksAreRoundAndFew(t *testing.T) {
	for _, c := range []struct {
		from, to time.Time
		first    string
		count    int
	}{
		{day(2000, 1, 3), day(2020, 4, 17), "2002", 10},
		{day(2020, 1, 1), day(2020, 12, 31), "Jan 2020", 12},
		{day(2020, 1, 1), day(2020, 1, 9), "1 Jan", 9},
		{day(2020, 1, 1), day(2020, 1, 1).Add(10 * time.Hour), "1 Jan 00:00", 11},
		{day(2020, 1, 1), day(2020, 1, 1).Add(30 * time.Minute), "00:00", 7},
		{day(2020, 1, 1), day(2020, 1, 1), "00:00", 1},
		{day(1, 1, 1), day(9999, 1, 1), "", 0},
	} {
		ticks := timeTicks{}.Ticks(unixSeconds(c.from), unixSeconds(c.to))
		require.Len(t, ticks, c.count, "%s to %s", c.from, c.to)
		if c.count > 0 {
			require.Equal(t, c.first, ticks[0].Label)
		}
	}
}
