package main

import (
	"context"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

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
