package eventbusprometheus_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// waits are from a nanosecond to ten hours, which is longer than the last bucket's bound.
var waits = []time.Duration{
	1, 2, 100, 953, 954, time.Microsecond, 100 * time.Microsecond, time.Millisecond,
	time.Second, 2 * time.Second, 16 * time.Second, 17 * time.Second, time.Minute, 10 * time.Hour,
}

// measured returns a bus whose handler took each of the waits, and what it has measured.
// Every eighth event is a sample.
func measured(t *testing.T) (*eventbus.Bus, eventbus.Histogram) {
	b := newBus(t, eventbus.WithLatencies(), eventbus.WithSlowHandler(0))
	n := 0
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error {
		time.Sleep(waits[n/8])
		n++
		return nil
	}, eventbus.WithName("slow"))
	step(t, b, 8*len(waits))
	took := b.Latencies().Handlers[0].Took
	require.EqualValues(t, len(waits), took.Count())
	return b, took
}

// A native histogram has each duration in the bucket whose bounds it lies between, and the
// same counts and sum as the bus.
func TestCollectorHistogramsAreNative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, want := measured(t)
		h := scrape(t, registry(t, collector(b)), "eventbus_handler_duration_seconds")[0].GetHistogram()
		require.EqualValues(t, 3, h.GetSchema())
		require.Equal(t, want.Count(), h.GetSampleCount())
		require.Equal(t, want.Sum.Seconds(), h.GetSampleSum())
		require.Nil(t, h.GetCreatedTimestamp())
		got := decode(h)
		for i, n := range want.Counts {
			seconds := want.Bound(i).Seconds() // rounded down to a whole ns
			index := int(math.Ceil(8 * math.Log2(seconds)))
			if n == 0 {
				continue
			}
			require.EqualValues(t, n, got[index], "bucket that ends at %v", want.Bound(i))
			require.InDelta(t, math.Exp2(float64(index)/8), seconds, 1e-9)
			delete(got, index)
		}
		require.Empty(t, got)
	})
}

// decode returns how many the buckets hold, by their index.
func decode(h *dto.Histogram) map[int]int64 {
	counts := map[int]int64{}
	index, count, delta := 0, int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			count += h.GetPositiveDelta()[delta]
			delta++
			if count > 0 {
				counts[index] = count
			}
			index++
		}
	}
	return counts
}

// The classic buckets are exact, and the same ones whatever was measured.
func TestCollectorHistogramsAreClassicToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := measured(t)
		h := scrape(t, registry(t, collector(b)), "eventbus_handler_duration_seconds")[0].GetHistogram()
		require.Len(t, h.GetBucket(), 13)
		bound := math.Exp2(-20)
		for _, bucket := range h.GetBucket() {
			require.Equal(t, bound, bucket.GetUpperBound())
			var want uint64
			for _, d := range waits {
				if d.Seconds() <= bound {
					want++
				}
			}
			require.Equal(t, want, bucket.GetCumulativeCount(), "up to %v s", bound)
			bound *= 4
		}

		few := newBus(t, eventbus.WithLatencies())
		few.SubscribeFunc(tick, nothing)
		step(t, few, 100)
		h = scrape(t, registry(t, collector(few)), "eventbus_queue_wait_seconds")[0].GetHistogram()
		require.Len(t, h.GetBucket(), 13)
	})
}

// Without WithLatencies nothing is measured, and empty histograms would say that nothing
// waits.
func TestCollectorExportsNoEmptyHistograms(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc(tick, nothing)
	step(t, b, 100)
	reg := registry(t, collector(b))
	for _, name := range []string{"eventbus_queue_wait_seconds", "eventbus_handler_duration_seconds", "eventbus_root_to_handler_seconds"} {
		require.Empty(t, scrape(t, reg, name), name)
	}
}
