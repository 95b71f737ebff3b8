package main

import (
	"cmp"
	"context"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// figure is prices above equity, over the same dates.
type figure struct {
	prices, equity *plot.Plot
	legend         []plot.Legend // of one entry each, drawn side by side under the title, where they hide no data
	err            error         // the first that occurred
	ctx            context.Context
}

const (
	margin       = vg.Length(10)
	legendHeight = vg.Length(22)
	legendGap    = vg.Length(18)
	markSize     = vg.Length(4.5)
)

// newFigure begins a figure whose drawing ends with ctx.
func newFigure(ctx context.Context, title string) *figure {
	f := &figure{prices: newPlot("price"), equity: newPlot("equity"), ctx: ctx}
	f.prices.Title.Text = title
	f.prices.Title.TextStyle.Font.Size = vg.Points(14)
	f.prices.Title.Padding = legendHeight + vg.Points(4)
	return f
}

func newPlot(label string) *plot.Plot {
	p := plot.New()
	p.Y.Label.Text = label
	p.Y.Label.TextStyle.Font.Size = vg.Points(12)
	p.X.Tick.Marker, p.Y.Tick.Marker = timeTicks{}, amountTicks{}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Padding = 0
		axis.LineStyle.Color = priceColor
		axis.Tick.LineStyle.Color = priceColor
		axis.Tick.Label.Font.Size = vg.Points(10)
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridColor, gridColor
	p.Add(grid)
	return p
}

func (f *figure) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *figure) explain(name string, thumbnail plot.Thumbnailer) {
	if name == "" {
		return
	}
	legend := plot.NewLegend()
	legend.Left, legend.Top = true, true
	legend.TextStyle.Font.Size = vg.Points(11)
	legend.Padding = vg.Points(3)
	legend.Add(name, thumbnail)
	f.legend = append(f.legend, legend)
}

// draw ends early when the figure's context ends. It gives both plots the same left and right edge, so that one date is one line through both.
func (f *figure) draw(c draw.Canvas) {
	for _, p := range []*plot.Plot{f.prices, f.equity} {
		widen(&p.X, 0.01, (12 * time.Hour).Seconds())
		widen(&p.Y, 0.05, 0)
	}
	f.equity.X.Min, f.equity.X.Max = f.prices.X.Min, f.prices.X.Max

	c = draw.Crop(c, margin, -margin, margin, -margin)
	height := c.Max.Y - c.Min.Y
	top := draw.Crop(c, 0, 0, height*equityShare+margin, 0)
	bottom := draw.Crop(c, 0, 0, 0, -height*(1-equityShare))
	prices, equity := f.prices.DataCanvas(top), f.equity.DataCanvas(bottom)
	left := max(prices.Min.X, equity.Min.X)
	right := min(prices.Max.X, equity.Max.X)
	f.prices.Draw(draw.Crop(top, left-prices.Min.X, right-prices.Max.X, 0, 0))
	f.equity.Draw(draw.Crop(bottom, left-equity.Min.X, right-equity.Max.X, 0, 0))

	strip := c
	strip.Rectangle = vg.Rectangle{
		Min: vg.Point{X: left, Y: prices.Max.Y},
		Max: vg.Point{X: right, Y: prices.Max.Y + legendHeight},
	}
	f.drawLegend(strip)
}

func (f *figure) drawLegend(strip draw.Canvas) {
	for _, entry := range f.legend {
		entry.Draw(strip)
		strip.Min.X += entry.Rectangle(strip).Size().X + legendGap
	}
}

// widen keeps what is drawn off the edges. A single candle, and equity that never changed, have no extent to widen.
func widen(axis *plot.Axis, share, least float64) {
	space := (axis.Max - axis.Min) * share
	if space == 0 {
		space = cmp.Or(least, math.Abs(axis.Max)*share, 1)
	}
	axis.Min, axis.Max = axis.Min-space, axis.Max+space
}
