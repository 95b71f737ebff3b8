package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Blue and orange stay apart for readers who do not see red from green.
var (
	busColor  = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	handColor = color.RGBA{R: 0xd9, G: 0x6f, B: 0x0e, A: 0xff}
	gridColor = color.Gray{Y: 0xdd}
)

// draw writes the curve as a plot in SVG.
func (c curve) draw(path string) error {
	p := c.newPlot()
	for i, side := range []struct {
		name    string
		color   color.Color
		samples func(duel) []sample
	}{
		{"bus", busColor, func(d duel) []sample { return d.bus }},
		{"by hand", handColor, func(d duel) []sample { return d.hand }},
	} {
		spread := c.spreads(i, side.samples)
		addSide := addBars
		if c.scaled {
			addSide = addLine
		}
		if err := addSide(p, side.name, side.color, spread); err != nil {
			return err
		}
	}
	return save(p, path)
}

// save draws p within a margin. A reader without the font gets one of the same widths.
func save(p *plot.Plot, path string) error {
	const margin = 8
	canvas := vgsvg.New(16*vg.Centimeter, 10*vg.Centimeter)
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	p.Draw(draw.Crop(dc, margin, -2*margin, margin, -margin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	fonts := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, fonts, 0o644)
}

// newPlot prepares the axes: y is logarithmic where the cost must grow with x and the slope is what matters.
func (c curve) newPlot() *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = "Cost of an event, by " + c.name
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = c.axis
	p.Y.Label.Text = "ns an event"
	p.X.Label.Padding, p.Y.Label.Padding = vg.Points(6), vg.Points(6)
	p.X.Min, p.X.Max = c.extent()
	p.X.Tick.Marker = c.ticks()
	if c.scaled {
		p.X.Scale = plot.LogScale{}
	}
	low, high := c.bounds()
	if c.steep {
		p.Y.Label.Text += " (logarithmic)"
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = plot.TickerFunc(logTicks)
		p.Y.Min, p.Y.Max = low, high*math.Pow(high/low, headroom)
	} else {
		p.Y.Tick.Marker = plot.TickerFunc(evenTicks)
		p.Y.Min, p.Y.Max = 0, high*(1+headroom)
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = gridColor
	p.Add(grid)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)
	return p
}

// extent leaves room to the left of the first point and to the right of the last, also for half a label.
func (c curve) extent() (low, high float64) {
	last := len(c.points) - 1
	if c.scaled {
		first, last := c.points[0].x, c.points[last].x
		room := math.Pow(last/first, 0.06)
		return first / room, last * room
	}
	return -0.5, float64(last) + 0.5
}

// headroom is the part of the height of what is drawn that is left above it, for the legend.
const headroom = 0.25

// bounds are the lowest and the highest value that is drawn.
func (c curve) bounds() (low, high float64) {
	low = math.Inf(1)
	for _, d := range c.duels {
		for _, samples := range [][]sample{d.bus, d.hand} {
			values := pick(samples, sample.nsPerEvent)
			low, high = min(low, quantile(values, 0.25)), max(high, quantile(values, 0.75))
		}
	}
	return low, high
}

// ticks marks the points that were measured, and no others.
func (c curve) ticks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i, p := range c.points {
		ticks = append(ticks, plot.Tick{Value: c.at(i), Label: p.label})
	}
	return ticks
}

func (c curve) at(i int) float64 {
	if c.scaled {
		return c.points[i].x
	}
	return float64(i)
}

// logTicks labels 1, 2 and 5 of each decade.
func logTicks(low, high float64) (ticks []plot.Tick) {
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := decade * digit; v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: grouped(v)})
			}
		}
	}
	return ticks
}

// evenTicks labels five to ten multiples of 1, 2 or 5 times a power of ten.
func evenTicks(low, high float64) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, larger := range []float64{5, 2} {
		if larger*step <= (high-low)/4 {
			step *= larger
			break
		}
	}
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: grouped(v)})
	}
	return ticks
}

// A spread is a median with the quartiles around it, for each point.
type spread struct {
	plotter.XYs
	plotter.YErrors
}

// spreads returns one side of the curve; bars of the two sides stand beside each other.
func (c curve) spreads(side int, samples func(duel) []sample) (s spread) {
	for i, d := range c.duels {
		values := pick(samples(d), sample.nsPerEvent)
		mid := median(values)
		x := c.at(i)
		if !c.scaled {
			x += float64(side)*0.3 - 0.15
		}
		s.XYs = append(s.XYs, plotter.XY{X: x, Y: mid})
		s.YErrors = append(s.YErrors, struct{ Low, High float64 }{mid - quantile(values, 0.25), quantile(values, 0.75) - mid})
	}
	return s
}

func addLine(p *plot.Plot, name string, c color.Color, s spread) error {
	line, points, err := plotter.NewLinePoints(s.XYs)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	points.Color, points.Shape, points.Radius = c, draw.CircleGlyph{}, vg.Points(3)
	p.Add(line, points)
	p.Legend.Add(name, line, points)
	return addErrors(p, c, s)
}

func addBars(p *plot.Plot, name string, c color.Color, s spread) error {
	heights := make(plotter.Values, len(s.XYs))
	for i, xy := range s.XYs {
		heights[i] = xy.Y
	}
	bars, err := plotter.NewBarChart(heights, vg.Points(32))
	if err != nil {
		return err
	}
	bars.Color, bars.LineStyle.Width = c, 0
	bars.XMin = s.XYs[0].X
	p.Add(bars)
	p.Legend.Add(name, bars)
	if err := addErrors(p, color.Black, s); err != nil {
		return err
	}
	return addHeights(p, s)
}

// addHeights writes the medians above the bars and what shows their spread: a low bar beside a high one cannot be read off the axis.
func addHeights(p *plot.Plot, s spread) error {
	var at plotter.XYLabels
	for i, xy := range s.XYs {
		at.XYs = append(at.XYs, plotter.XY{X: xy.X, Y: xy.Y + s.YErrors[i].High})
		at.Labels = append(at.Labels, grouped(math.Round(xy.Y)))
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font = font.From(plot.DefaultFont, vg.Points(9))
		labels.TextStyle[i].XAlign = text.XCenter
	}
	labels.Offset.Y = vg.Points(4)
	p.Add(labels)
	return nil
}

func addErrors(p *plot.Plot, c color.Color, s spread) error {
	bars, err := plotter.NewYErrorBars(s)
	if err != nil {
		return err
	}
	bars.Color = c
	p.Add(bars)
	return nil
}
