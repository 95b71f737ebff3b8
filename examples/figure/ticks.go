package figure

import (
	"math"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/eventbus-go/eventbus/examples/amount"
)

// Seconds is a time as a Point has it.
func Seconds(t time.Time) float64 {
	return float64(t.UnixMilli()) / 1000
}

// timeTicks labels a time axis at round dates; gonum's own ticks are round in seconds and fall on odd ones.
type timeTicks struct{}

func (timeTicks) Ticks(from, to float64) []plot.Tick {
	const most = 12
	begin, end := time.Unix(int64(from), 0).UTC(), time.Unix(int64(math.Ceil(to)), 0).UTC()
	for _, step := range timeSteps {
		var ticks []plot.Tick
		for t := step.floor(begin); !t.After(end) && len(ticks) <= most; t = step.next(t) {
			if !t.Before(begin) {
				ticks = append(ticks, plot.Tick{Value: Seconds(t), Label: t.Format(step.layout)})
			}
		}
		if len(ticks) <= most {
			return ticks
		}
	}
	return nil
}

// timeStep is a distance in months or else a duration.
type timeStep struct {
	months int
	length time.Duration
	layout string
}

var timeSteps = []timeStep{
	{length: time.Minute, layout: "15:04"},
	{length: 5 * time.Minute, layout: "15:04"},
	{length: 15 * time.Minute, layout: "15:04"},
	{length: time.Hour, layout: "2 Jan 15:04"},
	{length: 6 * time.Hour, layout: "2 Jan 15:04"},
	{length: 24 * time.Hour, layout: "2 Jan"},
	{length: 7 * 24 * time.Hour, layout: "2 Jan"},
	{months: 1, layout: "Jan 2006"},
	{months: 3, layout: "Jan 2006"},
	{months: 12, layout: "2006"},
	{months: 24, layout: "2006"},
	{months: 60, layout: "2006"},
	{months: 120, layout: "2006"},
	{months: 1200, layout: "2006"},
}

func (s timeStep) floor(t time.Time) time.Time {
	if s.months == 0 {
		return t.Truncate(s.length)
	}
	month := (t.Year()*12 + int(t.Month()) - 1) / s.months * s.months
	return time.Date(month/12, time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC)
}

func (s timeStep) next(t time.Time) time.Time {
	if s.months == 0 {
		return t.Add(s.length)
	}
	return t.AddDate(0, s.months, 0)
}

// amountTicks are gonum's, with commas between the thousands.
type amountTicks struct{}

func (amountTicks) Ticks(from, to float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(from, to)
	for i, tick := range ticks {
		if tick.Label != "" {
			ticks[i].Label = amount.Group(amountLabel(tick.Value, to-from))
		}
	}
	return ticks
}

// amountLabel leaves out what a sum of floats adds to a round number.
func amountLabel(value, span float64) string {
	const digits = 12
	if math.Abs(value) < span*1e-9 {
		return "0"
	}
	value, _ = strconv.ParseFloat(strconv.FormatFloat(value, 'g', digits, 64), 64)
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// downPyramid is draw.PyramidGlyph upside down.
type downPyramid struct{}

func (downPyramid) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.SetColor(style.Color)
	half := style.Radius * vg.Length(math.Cos(math.Pi/6))
	rise := style.Radius * vg.Length(math.Sin(math.Pi/6))
	var path vg.Path
	path.Move(vg.Point{X: at.X, Y: at.Y - style.Radius})
	path.Line(vg.Point{X: at.X - half, Y: at.Y + rise})
	path.Line(vg.Point{X: at.X + half, Y: at.Y + rise})
	path.Close()
	c.Fill(path)
}
