package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/eventbus-go/eventbus/examples/figure"
)

// save draws what the chart has recorded. The file's extension, .svg or .png, is its format.
// No handler may run any more. When ctx ends, so does the drawing, and no file is written.
func (c *chart) save(ctx context.Context, file, title string) error {
	if len(c.points) == 0 {
		return errors.New("-plot: there is no candle to draw")
	}
	if err := c.figure(ctx, title).Save(file); err != nil {
		return fmt.Errorf("-plot: %w", err)
	}
	return nil
}

func (c *chart) figure(ctx context.Context, title string) *figure.Figure {
	f := figure.New(ctx, title, "price", "equity")
	lines := c.lines()
	f.Upper.Line("close", lines.closes, figure.Grey, 0.7)
	f.Upper.Line(fmt.Sprintf("average of %d", c.fast.Len()), lines.fast, figure.Orange, 1.4)
	f.Upper.Line(fmt.Sprintf("average of %d", c.slow.Len()), lines.slow, figure.Blue, 1.4)
	f.Upper.Marks("buy", lines.buys, figure.Up, figure.Green)
	f.Upper.Marks("sell", lines.sells, figure.Down, figure.Vermillion)
	f.Lower.Line("", lines.equity, figure.Dark, 1)
	return f
}

// chartLines are the points of a chart, line by line.
type chartLines struct{ closes, fast, slow, buys, sells, equity []figure.Point }

func (c *chart) lines() (l chartLines) {
	for _, p := range c.points {
		add := func(line *[]figure.Point, y float64) {
			if !math.IsNaN(y) {
				*line = append(*line, figure.Point{X: p.time, Y: y})
			}
		}
		add(&l.closes, p.low)
		add(&l.equity, p.lowEquity)
		if p.high != p.low {
			add(&l.closes, p.high)
		}
		if p.topEquity != p.lowEquity {
			add(&l.equity, p.topEquity)
		}
		add(&l.fast, p.fast)
		add(&l.slow, p.slow)
		add(&l.buys, p.buy)
		add(&l.sells, p.sell)
	}
	return l
}
