package figure

import (
	"context"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Point is at a time, in seconds since 1970.
type Point = plotter.XY

// Line draws data as a line, so many points wide, and explains it in the legend if it has a name.
func (p Panel) Line(name string, data []Point, c color.Color, width float64) {
	if len(data) == 0 {
		return
	}
	line := &plotter.Line{XYs: data, LineStyle: draw.LineStyle{Color: c, Width: vg.Points(width)}}
	p.plot.Add(pieces{line, p.figure.ctx})
	p.figure.explain(name, line)
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

// What a mark looks like.
var (
	Up   draw.GlyphDrawer = draw.PyramidGlyph{}
	Down draw.GlyphDrawer = downPyramid{}
)

// Marks draws data as marks, and explains them in the legend.
func (p Panel) Marks(name string, data []Point, shape draw.GlyphDrawer, c color.Color) {
	if len(data) == 0 {
		return
	}
	marks := plotter.Scatter{XYs: data, GlyphStyle: draw.GlyphStyle{Shape: shape, Color: c, Radius: markSize}}
	explained := marks
	p.figure.explain(name, &explained)
	marks.Radius = markRadius(len(data))
	p.plot.Add(&marks)
}

// markRadius makes marks smaller where they are many, so that they do not bury the lines.
func markRadius(n int) vg.Length {
	const few, least = 100, 1
	return max(least, markSize*vg.Length(min(1, math.Sqrt(few/float64(n)))))
}
