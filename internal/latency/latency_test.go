package latency_test

import (
	"math"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/latency"
	"github.com/stretchr/testify/require"
)

// Each duration is in the bucket whose bounds it lies between, as Prometheus's schema 3
// has them.
func TestBucketHoldsTheDurationsUpToItsBound(t *testing.T) {
	for i := 1; i < latency.Buckets-1; i++ {
		low, high := latency.Bound(i-1), latency.Bound(i)
		want := math.Exp2(float64(i+latency.First+1)/8) * 1e9
		require.InDelta(t, want, float64(high), 1, "bucket %d", i)
		if low < high {
			require.Equal(t, i, latency.Bucket(high), "the bound %v", high)
		}
		if low+1 < high {
			require.Equal(t, i, latency.Bucket(low+1), "just above the bound before, %v", low)
		}
	}
	require.Equal(t, 0, latency.Bucket(-time.Second))
	require.Equal(t, 0, latency.Bucket(0))
	require.Equal(t, latency.Buckets-1, latency.Bucket(1000*time.Hour))
}

func TestRecorderCountsAndSums(t *testing.T) {
	var r latency.Recorder
	r.Record(time.Millisecond, 3)
	r.Record(time.Second, 1)
	r.Record(-time.Second, 1)
	counts, sum := r.Counts()
	require.EqualValues(t, 3, counts[latency.Bucket(time.Millisecond)])
	require.EqualValues(t, 1, counts[latency.Bucket(time.Second)])
	require.EqualValues(t, 1, counts[0])
	require.Equal(t, time.Second+3*time.Millisecond, sum)
	require.Zero(t, testing.AllocsPerRun(10, func() { r.Record(time.Second, 1) }))
}

// A batch whose items take long is recorded with their turns; one that is quick with the
// wait of its first item.
func TestWaitRecordsTheItemsOfABatchByTheirTurns(t *testing.T) {
	var w latency.Wait
	w.Take(time.Hour, 1) // of no batch
	w.Open(0, time.Millisecond)
	w.Take(17*time.Millisecond, 16) // a millisecond each
	w.Take(33*time.Millisecond, 16)
	counts, sum := w.Counts()
	n := uint64(0)
	for i, c := range counts {
		n += c
		if c > 0 {
			require.GreaterOrEqual(t, latency.Bound(i), time.Millisecond)
			require.Less(t, latency.Bound(i), 35*time.Millisecond)
		}
	}
	require.EqualValues(t, 32, n)
	exact := 32 * (time.Millisecond + 31*time.Millisecond/2)
	require.InDelta(t, float64(exact), float64(sum), float64(exact)/7)
	w.Open(40*time.Millisecond, 50*time.Millisecond)
	w.Take(50*time.Millisecond+10, 10)
	require.True(t, w.IsOpen())
	w.Close()
	require.False(t, w.IsOpen())
	w.Take(time.Hour, 100)
	w.Open(0, 60*time.Millisecond)
	w.Take(time.Hour, 1)
	counts, _ = w.Counts()
	require.EqualValues(t, 10, counts[latency.Bucket(10*time.Millisecond)])
	require.EqualValues(t, 1, counts[latency.Bucket(60*time.Millisecond)], "a single item counts with its wait, not with its handlers")
	require.Zero(t, counts[latency.Bucket(time.Hour)])
}
