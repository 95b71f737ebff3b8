package eventbusprometheus

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/eventbus-go/eventbus"
)

// The buckets of an eventbus.Histogram are those of a native histogram of schema 3: bucket i
// ends at 2^((i+1)/8) s. Prometheus numbers buckets by their upper bounds, so it calls the
// same one i+1.
const (
	schema  = 3
	perFold = 1 << schema // buckets a doubling of the bound
)

// The classic bounds are bounds of native buckets too, so their counts are exact. There are
// as few as tell a microsecond from a second: each is a series for each queue and handler.
const (
	classicFirst = -20 * perFold // 2^-20 s, about 1 µs
	classicLast  = 4 * perFold   // 16 s
	classicStep  = 2 * perFold   // fourfold
)

// A histogram is a native histogram that has classic buckets too. The native one that it
// wraps keeps the constant labels.
type histogram struct {
	prometheus.Metric
	classic []*dto.Bucket
}

// newHistogram returns h as a metric. h must not be empty: an empty native histogram cannot
// be told from a classic one.
func newHistogram(d *prometheus.Desc, h eventbus.Histogram, labels []string) prometheus.Metric {
	buckets := make(map[int]int64, len(h.Counts))
	for i, n := range h.Counts {
		if n > 0 {
			buckets[h.First+i+1] = int64(n)
		}
	}
	native := prometheus.MustNewConstNativeHistogram(d, h.Count(), h.Sum.Seconds(), buckets, nil, 0, schema, 0, time.Time{}, labels...)
	return histogram{native, classicBuckets(h)}
}

// classicBuckets returns the same bounds for every h: a series must not come and go.
func classicBuckets(h eventbus.Histogram) (buckets []*dto.Bucket) {
	var count uint64
	next := h.First + 1 // the bound of Counts[0]
	for bound := classicFirst; bound <= classicLast; bound += classicStep {
		for ; next <= bound && next-h.First-1 < len(h.Counts); next++ {
			count += h.Counts[next-h.First-1]
		}
		seconds, upTo := math.Exp2(float64(bound)/perFold), count
		buckets = append(buckets, &dto.Bucket{UpperBound: &seconds, CumulativeCount: &upTo})
	}
	return buckets
}

// Write writes both kinds of buckets. It leaves out when the histogram began: the collector
// may be younger than the bus, and a server would take all that was before for an increase.
func (m histogram) Write(out *dto.Metric) error {
	if err := m.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = m.classic
	out.Histogram.CreatedTimestamp = nil
	return nil
}
