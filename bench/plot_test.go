package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
)

func TestEvenTicksAreFewRoundAndLabelled(t *testing.T) {
	for _, tt := range []struct {
		high float64
		want []string
	}{
		{250, []string{"0", "50", "100", "150", "200", "250"}},
		{99, []string{"0", "20", "40", "60", "80"}},
		{3100, []string{"0", "500", "1,000", "1,500", "2,000", "2,500", "3,000"}},
		{40_000, []string{"0", "10,000", "20,000", "30,000", "40,000"}},
	} {
		require.Equal(t, tt.want, labels(evenTicks(0, tt.high)), "up to %v", tt.high)
	}
	for high := 1.0; high < 1e6; high *= 1.1 {
		n := len(evenTicks(0, high))
		require.GreaterOrEqual(t, n, 5, "up to %v", high)
		require.LessOrEqual(t, n, 10, "up to %v", high)
	}
}

func TestLogTicksDivideEachDecade(t *testing.T) {
	require.Equal(t, []string{"50", "100", "200", "500", "1,000", "2,000"}, labels(logTicks(45, 2400)))
}

func labels(ticks []plot.Tick) (texts []string) {
	for _, tick := range ticks {
		texts = append(texts, tick.Label)
	}
	return texts
}

func TestPlotHasRoomAboveWhatItDraws(t *testing.T) {
	for _, s := range []series{byHandlers(), byTypes(), byPayload()} {
		c := curve{series: s}
		for i := range s.points {
			cost := float64(100 * (i + 1))
			c.duels = append(c.duels, duel{bus: []sample{{ns: cost}}, hand: []sample{{ns: 2 * cost}}})
		}
		low, high := c.bounds()
		require.Equal(t, 100.0, low)
		require.Equal(t, float64(200*len(s.points)), high)
		p := c.newPlot()
		top := p.Y.Scale.Normalize(p.Y.Min, p.Y.Max, high)
		require.InDelta(t, 1/(1+headroom), top, 1e-9, s.name)
	}
}
