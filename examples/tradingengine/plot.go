package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth   = 12 * vg.Inch
	plotHeight  = 8 * vg.Inch
	plotDPI     = 144
	equityShare = 0.34 // of the height, below the prices
)

// The colours of Okabe and Ito, which colour-blind people can tell apart, and greys.
var (
	priceColor  = color.RGBA{R: 120, G: 120, B: 120, A: 255}
	fastColor   = color.RGBA{R: 230, G: 159, A: 255}
	slowColor   = color.RGBA{G: 114, B: 178, A: 255}
	buyColor    = color.RGBA{G: 158, B: 115, A: 255}
	sellColor   = color.RGBA{R: 213, G: 94, A: 255}
	equityColor = color.RGBA{R: 60, G: 60, B: 60, A: 255}
	gridColor   = color.RGBA{R: 222, G: 222, B: 222, A: 255}
)

func init() { plot.DefaultFont.Variant = "Sans" }

// save draws what the chart has recorded. The file's extension, .svg or .png, is its format.
// No handler may run any more. When ctx ends, so does the drawing, and no file is written.
func (c *chart) save(ctx context.Context, file, title string) error {
	if len(c.points) == 0 {
		return errors.New("-plot: there is no candle to draw")
	}
	f, err := c.figure(ctx, title)
	if err != nil {
		return fmt.Errorf("-plot: %w", err)
	}
	canvas := newCanvas(file)
	f.draw(draw.New(canvas))
	if ctx.Err() != nil {
		return fmt.Errorf("-plot: %w: %s is not written", context.Cause(ctx), file)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("-plot: %w", err)
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}

func newCanvas(file string) interface {
	vg.CanvasSizer
	io.WriterTo
} {
	if strings.EqualFold(filepath.Ext(file), ".svg") {
		return vgsvg.New(plotWidth, plotHeight)
	}
	return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI))}
}

func (c *chart) figure(ctx context.Context, title string) (*figure, error) {
	f := newFigure(ctx, title)
	closes, fast, slow, equity := c.lines()
	buys, sells := c.marks()
	f.line(f.prices, "close", closes, priceColor, vg.Points(0.7))
	f.line(f.prices, fmt.Sprintf("average of %d", c.fast.Len()), fast, fastColor, vg.Points(1.4))
	f.line(f.prices, fmt.Sprintf("average of %d", c.slow.Len()), slow, slowColor, vg.Points(1.4))
	f.marks(f.prices, "buy", buys, draw.PyramidGlyph{}, buyColor)
	f.marks(f.prices, "sell", sells, downPyramid{}, sellColor)
	f.line(f.equity, "", equity, equityColor, vg.Points(1))
	return f, f.err
}

func (c *chart) lines() (closes, fast, slow, equity plotter.XYs) {
	for _, p := range c.points {
		closes = appendRange(closes, p.time, p.low, p.high)
		equity = appendRange(equity, p.time, p.lowEquity, p.topEquity)
		if !math.IsNaN(p.fast) {
			fast = append(fast, plotter.XY{X: p.time, Y: p.fast})
		}
		if !math.IsNaN(p.slow) {
			slow = append(slow, plotter.XY{X: p.time, Y: p.slow})
		}
	}
	return closes, fast, slow, equity
}

func appendRange(line plotter.XYs, x, low, high float64) plotter.XYs {
	line = append(line, plotter.XY{X: x, Y: low})
	if high != low {
		line = append(line, plotter.XY{X: x, Y: high})
	}
	return line
}

func (c *chart) marks() (buys, sells plotter.XYs) {
	for _, p := range c.points {
		if !math.IsNaN(p.buy) {
			buys = append(buys, plotter.XY{X: p.time, Y: p.buy})
		}
		if !math.IsNaN(p.sell) {
			sells = append(sells, plotter.XY{X: p.time, Y: p.sell})
		}
	}
	return buys, sells
}
