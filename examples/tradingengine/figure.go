package main

import (
	"cmp"
	"context"
	"image/color"
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

func (f *figure) line(p *plot.Plot, name string, data plotter.XYs, color color.Color, width vg.Length) {
	if len(data) == 0 {
		return
	}
	line, err := plotter.NewLine(data)
	if err != nil {
		f.fail(err)
		return
	}
	line.Color, line.Width = color, width
	p.Add(pieces{line, f.ctx})
	f.explain(name, line)
}

// pieces draws a line piece by piece: the time that a picture of pixels takes for a path grows with the square of
// its points, and between pieces the drawing can end.
type pieces struct {
	*plotter.Line
	ctx context.Context
}

func (p pieces) Plot(c draw.Canvas, plt *plot.Plot) {
	const points = 64
	if len(p.XYs) == 1 {
		dot := plotter.Scatter{XYs: p.XYs, GlyphStyle: draw.GlyphStyle{Shape: draw.CircleGlyph{}, Color: p.Color, Radius: markSize / 2}}
		dot.Plot(c, plt)
	}
	for i := 0; i < len(p.XYs)-1 && p.ctx.Err() == nil; i += points {
		piece := *p.Line
		piece.XYs = p.XYs[i:min(i+points+1, len(p.XYs))]
		piece.Plot(c, plt)
	}
}

func (f *figure) marks(p *plot.Plot, name string, data plotter.XYs, shape draw.GlyphDrawer, color color.Color) {
	if len(data) == 0 {
		return
	}
	marks, err := plotter.NewScatter(data)
	if err != nil {
		f.fail(err)
		return
	}
	marks.GlyphStyle = draw.GlyphStyle{Shape: shape, Color: color, Radius: markSize}
	explained := *marks
	f.explain(name, &explained)
	marks.Radius = markRadius(len(data))
	p.Add(marks)
}

// markRadius makes marks smaller where they are many, so that they do not bury the lines.
func markRadius(n int) vg.Length {
	const few, least = 100, 1
	return max(least, markSize*vg.Length(min(1, math.Sqrt(few/float64(n)))))
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
