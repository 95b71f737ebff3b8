package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Blue and orange stay apart for readers who do not see red from green.
var (
	busColor  = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	handColor = color.RGBA{R: 0xd9, G: 0x6f, B: 0x0e, A: 0xff}
	gridColor = color.Gray{Y: 0xdd}
)

// draw writes the curve as a plot; the file's extension chooses the format.
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
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, path)
}

// newPlot prepares the axes: y is logarithmic where the cost must grow with x and the slope is what matters.
func (c curve) newPlot() *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = "Cost of an event, by " + c.name
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = c.axis
	p.Y.Label.Text = "ns an event"
	p.X.Min, p.X.Max = c.extent()
	p.X.Tick.Marker = c.ticks()
	if c.scaled {
		p.X.Scale = plot.LogScale{}
	}
	if c.steep {
		p.Y.Label.Text += " (logarithmic)"
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = plot.TickerFunc(logTicks)
	} else {
		p.Y.Tick.Marker = plot.TickerFunc(evenTicks)
		p.Y.Min, p.Y.Max = 0, c.top()
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

// top is a tenth above everything that is drawn.
func (c curve) top() (high float64) {
	for _, d := range c.duels {
		for _, samples := range [][]sample{d.bus, d.hand} {
			high = max(high, 1.1*quantile(pick(samples, sample.nsPerEvent), 0.75))
		}
	}
	return high
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
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(v)})
			}
		}
	}
	return ticks
}

// evenTicks labels the ticks that the library would choose, without a fraction.
func evenTicks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = fmt.Sprintf("%.0f", t.Value)
		}
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
	return addErrors(p, color.Black, s)
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
