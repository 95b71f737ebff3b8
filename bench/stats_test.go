package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantileInterpolatesAndLeavesItsInputAlone(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for _, tt := range []struct{ q, want float64 }{
		{0, 1}, {0.25, 1.75}, {0.5, 2.5}, {0.75, 3.25}, {1, 4},
	} {
		require.InDelta(t, tt.want, quantile(values, tt.q), 1e-12, "quantile %v", tt.q)
	}
	require.Equal(t, []float64{4, 1, 3, 2}, values)
	require.Equal(t, 7.0, quantile([]float64{7}, 0.25))
	require.True(t, math.IsNaN(median(nil)))
}

func TestMedianOfAnOddNumberIsTheMiddleOne(t *testing.T) {
	require.Equal(t, 3.0, median([]float64{900, 1, 3}))
}

// The machine gets three times slower in the middle of the run: the medians of the sides would say 2.0, the median of the
// ratios says what is true in every round.
func TestRatiosArePairwise(t *testing.T) {
	bus := []sample{{ns: 120}, {ns: 360}, {ns: 360}}
	hand := []sample{{ns: 100}, {ns: 300}, {ns: 300}}
	for _, r := range ratios(bus, hand) {
		require.InDelta(t, 1.2, r, 1e-12)
	}
	hand[1].ns = 120
	require.Equal(t, []float64{1.2, 3, 1.2}, ratios(bus, hand))
	require.Equal(t, 1.2, median(ratios(bus, hand)))
}

func TestRatiosStopAtTheShorterSide(t *testing.T) {
	require.Len(t, ratios(make([]sample, 3), make([]sample, 2)), 2)
}

func TestRatiosOfAnotherField(t *testing.T) {
	require.Equal(t, []float64{4}, ratiosOf([]sample{{ns: 1, tail: 8}}, []sample{{ns: 1, tail: 2}}, sample.tailNs))
}

func TestGeometricMean(t *testing.T) {
	require.InDelta(t, 2.0, geometricMean([]float64{0.5, 8}), 1e-12)
	require.InDelta(t, 3.0, geometricMean([]float64{3}), 1e-12)
}

func TestTailIsThatOfSingleEventsWhereTheyAreTimed(t *testing.T) {
	require.Equal(t, 8.0, tailNsOf([]sample{{ns: 1, tail: 7}, {ns: 1, tail: 8}, {ns: 1, tail: 900}}))
	require.InDelta(t, 2.98, tailNsOf([]sample{{ns: 1}, {ns: 3}, {ns: 2}}), 1e-12)
}

func TestVerdict(t *testing.T) {
	c := Case{Bar: 1.25, Reach: 1.10}
	for _, tt := range []struct {
		ratio float64
		want  string
	}{
		{1.0, "reached"}, {1.10, "reached"}, {1.11, "made"}, {1.25, "made"}, {1.26, "missed"},
	} {
		require.Equal(t, tt.want, c.verdict(tt.ratio), "ratio %v", tt.ratio)
	}
}
