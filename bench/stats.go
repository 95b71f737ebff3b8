package main

import (
	"math"
	"slices"
)

// quantile returns the q-quantile of values, interpolated between neighbours: 0.5 is the median. It is NaN without
// values, and leaves them as they are.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	rest := at - float64(low)
	return sorted[low]*(1-rest) + sorted[low+1]*rest
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// ratios divides a by b pair by pair: round by round, what disturbs the machine for a while weighs on both.
func ratios(a, b []sample) []float64 { return ratiosOf(a, b, sample.nsPerEvent) }

// ratiosOf is ratios of one field.
func ratiosOf(a, b []sample, field func(sample) float64) []float64 {
	rs := make([]float64, min(len(a), len(b)))
	for i := range rs {
		rs[i] = field(a[i]) / field(b[i])
	}
	return rs
}

func geometricMean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// pick returns one field of every sample.
func pick(samples []sample, field func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = field(s)
	}
	return values
}

func (s sample) nsPerEvent() float64     { return s.ns }
func (s sample) allocsPerEvent() float64 { return s.allocs }
func (s sample) tailNs() float64         { return s.tail }
func (s sample) farNs() float64          { return s.far }
func (s sample) worstNs() float64        { return s.worst }
func (s sample) lateNs() float64         { return s.late }

// lost adds up what all rounds lost.
func lost(samples []sample) (n int) {
	for _, s := range samples {
		n += s.lost
	}
	return n
}
