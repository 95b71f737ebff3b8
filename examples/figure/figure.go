// Package figure draws lines and marks over time in two panels, one above the other, as pixels or as SVG.
package figure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of Okabe and Ito, which colour-blind people can tell apart, and greys.
var (
	Grey       = color.RGBA{R: 120, G: 120, B: 120, A: 255}
	Dark       = color.RGBA{R: 60, G: 60, B: 60, A: 255}
	Orange     = color.RGBA{R: 230, G: 159, A: 255}
	Blue       = color.RGBA{G: 114, B: 178, A: 255}
	Green      = color.RGBA{G: 158, B: 115, A: 255}
	Vermillion = color.RGBA{R: 213, G: 94, A: 255}
	light      = color.RGBA{R: 222, G: 222, B: 222, A: 255}
)

const (
	width        = 12 * vg.Inch
	height       = 8 * vg.Inch
	dpi          = 144
	lowerShare   = 0.34 // of the height
	margin       = vg.Length(10)
	legendHeight = vg.Length(22)
	legendGap    = vg.Length(18)
	markSize     = vg.Length(4.5)
)

func init() { plot.DefaultFont.Variant = "Sans" }

// Figure is two panels over the same dates. Make one with New; one goroutine at a time may use it.
type Figure struct {
	Upper, Lower Panel
	legend       []plot.Legend // of one entry each, drawn side by side under the title, where they hide no data
	ctx          context.Context
}

// Panel is one of the two.
type Panel struct {
	plot   *plot.Plot
	figure *Figure
}

// New begins a figure whose drawing ends with ctx. The labels are of the vertical axes.
func New(ctx context.Context, title, upper, lower string) *Figure {
	f := &Figure{ctx: ctx}
	f.Upper, f.Lower = Panel{newPlot(upper), f}, Panel{newPlot(lower), f}
	p := f.Upper.plot
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(14)
	p.Title.Padding = legendHeight + vg.Points(4)
	return f
}

func newPlot(label string) *plot.Plot {
	p := plot.New()
	p.Y.Label.Text = label
	p.Y.Label.TextStyle.Font.Size = vg.Points(12)
	p.X.Tick.Marker, p.Y.Tick.Marker = timeTicks{}, amountTicks{}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Padding = 0
		axis.LineStyle.Color = Grey
		axis.Tick.LineStyle.Color = Grey
		axis.Tick.Label.Font.Size = vg.Points(10)
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = light, light
	p.Add(grid)
	return p
}

// Save draws into the file, whose extension, .svg or .png, is its format. When the figure's context ends, so does the
// drawing, and no file is written.
func (f *Figure) Save(file string) error {
	canvas := newCanvas(file)
	f.draw(draw.New(canvas))
	if f.ctx.Err() != nil {
		return fmt.Errorf("%w: %s is not written", context.Cause(f.ctx), file)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}

func newCanvas(file string) interface {
	vg.CanvasSizer
	io.WriterTo
} {
	if strings.EqualFold(filepath.Ext(file), ".svg") {
		return vgsvg.New(width, height)
	}
	return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
}

func (f *Figure) explain(name string, thumbnail plot.Thumbnailer) {
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
func (f *Figure) draw(c draw.Canvas) {
	for _, p := range []*plot.Plot{f.Upper.plot, f.Lower.plot} {
		widen(&p.X, 0.01, (12 * time.Hour).Seconds())
		widen(&p.Y, 0.05, 0)
	}
	f.Lower.plot.X.Min, f.Lower.plot.X.Max = f.Upper.plot.X.Min, f.Upper.plot.X.Max

	c = draw.Crop(c, margin, -margin, margin, -margin)
	high := c.Max.Y - c.Min.Y
	top := draw.Crop(c, 0, 0, high*lowerShare+margin, 0)
	bottom := draw.Crop(c, 0, 0, 0, -high*(1-lowerShare))
	upper, lower := f.Upper.plot.DataCanvas(top), f.Lower.plot.DataCanvas(bottom)
	left := max(upper.Min.X, lower.Min.X)
	right := min(upper.Max.X, lower.Max.X)
	f.Upper.plot.Draw(draw.Crop(top, left-upper.Min.X, right-upper.Max.X, 0, 0))
	f.Lower.plot.Draw(draw.Crop(bottom, left-lower.Min.X, right-lower.Max.X, 0, 0))

	strip := c
	strip.Rectangle = vg.Rectangle{
		Min: vg.Point{X: left, Y: upper.Max.Y},
		Max: vg.Point{X: right, Y: upper.Max.Y + legendHeight},
	}
	f.drawLegend(strip)
}

func (f *Figure) drawLegend(strip draw.Canvas) {
	for _, entry := range f.legend {
		entry.Draw(strip)
		strip.Min.X += entry.Rectangle(strip).Size().X + legendGap
	}
}

// widen keeps what is drawn off the edges. A single point, and a line that never changed, have no extent to widen.
func widen(axis *plot.Axis, share, least float64) {
	space := (axis.Max - axis.Min) * share
	if space == 0 {
		space = cmp.Or(least, math.Abs(axis.Max)*share, 1)
	}
	axis.Min, axis.Max = axis.Min-space, axis.Max+space
}
