package figure

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
)

// zigzag is a line of n points that crosses itself nowhere and turns everywhere.
func zigzag(n int) (line []Point) {
	for i := range n {
		line = append(line, Point{X: float64(i) * 86400, Y: float64(10 + i%2)})
	}
	return line
}

// The time that a picture of pixels takes for a path grows with the square of its points.
func TestPlotIsDrawnInShortPaths(t *testing.T) {
	points := func(n int) (all int) {
		f := New(t.Context(), "zigzag", "up", "down")
		f.Upper.Line("zigzag", zigzag(n), Grey, 1)
		var canvas recorder.Canvas
		f.draw(draw.NewCanvas(&canvas, width, height))
		for _, action := range canvas.Actions {
			if stroke, ok := action.(*recorder.Stroke); ok {
				require.LessOrEqual(t, len(stroke.Path), 65)
				all += len(stroke.Path)
			}
		}
		return all
	}
	short, long := points(1000), points(8000)
	require.Greater(t, long, 4*short)
	require.Less(t, long, 9*short)
}

func TestInterruptEndsTheDrawing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	f := New(ctx, "zigzag", "up", "down")
	f.Upper.Line("zigzag", zigzag(100), Grey, 1)
	cancel(errors.New("enough"))
	file := filepath.Join(t.TempDir(), "zigzag.png")
	require.EqualError(t, f.Save(file), "enough: "+file+" is not written")
	require.NoFileExists(t, file)
}

func TestMarksShrinkWhereTheyAreMany(t *testing.T) {
	require.Equal(t, markSize, markRadius(1))
	require.Equal(t, markSize, markRadius(100))
	require.Equal(t, markSize/2, markRadius(400))
	require.EqualValues(t, 1, markRadius(8192))
}

func TestAmountLabelsAreRound(t *testing.T) {
	for _, c := range []struct {
		value, span float64
		want        string
	}{
		{0.1 + 0.2, 1, "0.3"}, {5.5e-17, 1, "0"}, {1234567.5, 10, "1234567.5"}, {0.00000175, 0.000001, "0.00000175"}, {-0.7000000000000001, 1, "-0.7"},
	} {
		require.Equal(t, c.want, amountLabel(c.value, c.span))
	}
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func TestTimeTicksAreRoundAndFew(t *testing.T) {
	for _, c := range []struct {
		from, to time.Time
		first    string
		count    int
	}{
		{day(2000, 1, 3), day(2020, 4, 17), "2002", 10},
		{day(2020, 1, 1), day(2020, 12, 31), "Jan 2020", 12},
		{day(2020, 1, 1), day(2020, 1, 9), "1 Jan", 9},
		{day(2020, 1, 1), day(2020, 1, 1).Add(10 * time.Hour), "1 Jan 00:00", 11},
		{day(2020, 1, 1), day(2020, 1, 1).Add(30 * time.Minute), "00:00", 7},
		{day(2020, 1, 1), day(2020, 1, 1), "00:00", 1},
		{day(1, 1, 1), day(9999, 1, 1), "", 0},
	} {
		ticks := timeTicks{}.Ticks(Seconds(c.from), Seconds(c.to))
		require.Len(t, ticks, c.count, "%s to %s", c.from, c.to)
		if c.count > 0 {
			require.Equal(t, c.first, ticks[0].Label)
		}
	}
}
