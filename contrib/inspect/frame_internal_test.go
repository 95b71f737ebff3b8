package inspect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// histogram returns one with counts from the bucket first on.
func histogram(first int, counts ...uint64) eventbus.Histogram {
	return eventbus.Histogram{First: first, Counts: counts}
}

func TestQuantilesSinceCountsWhatIsNew(t *testing.T) {
	bound := func(i int) float64 { return histogram(i, 1).Bound(0).Seconds() }
	for name, c := range map[string]struct {
		now, base eventbus.Histogram
		want      quantiles
	}{
		"nothing at all":        {want: quantiles{}},
		"nothing new":           {histogram(-40, 3, 0, 2), histogram(-40, 3, 0, 2), quantiles{}},
		"no base":               {histogram(-40, 50, 0, 50), histogram(0), quantiles{bound(-40), bound(-38)}},
		"a base that is higher": {histogram(-40, 7, 0, 2), histogram(-38, 2), quantiles{bound(-40), bound(-40)}},
		"a base within":         {histogram(-40, 1, 9, 2, 5), histogram(-39, 9, 1), quantiles{bound(-37), bound(-37)}},
	} {
		t.Run(name, func(t *testing.T) {
			before := append([]uint64(nil), c.now.Counts...)
			require.Equal(t, c.want, quantilesSince(c.now, c.base))
			require.Equal(t, before, c.now.Counts, "what Latencies returned must stay")
		})
	}
}

func TestHistoryComparesWithOneToTwoWindowsAgo(t *testing.T) {
	var h history
	at := time.Unix(1e9, 0)
	for i := range 100 {
		h.next(at.Add(time.Duration(i)*interval), eventbus.Stats{}, eventbus.Latencies{Wait: [3]eventbus.Histogram{histogram(-40, uint64(i))}})
		if i < 20 {
			require.Empty(t, h.base.Wait[0].Counts, "the first frames are of all that was measured")
			continue
		}
		age := time.Duration(uint64(i)-h.base.Wait[0].Counts[0]) * interval
		require.GreaterOrEqual(t, age, window)
		require.LessOrEqual(t, age, 2*window)
	}
}

func TestHistoryTakesNoCounterForFalling(t *testing.T) {
	var h history
	stats := func(n uint64) (s eventbus.Stats) {
		s.Queues[0].Accepted, s.Queues[0].Handled = n, n
		s.Handlers = []eventbus.HandlerStats{{ID: 1, Calls: n}}
		return s
	}
	h.next(time.Unix(1, 0), stats(10), eventbus.Latencies{})
	f := h.next(time.Unix(2, 0), stats(9), eventbus.Latencies{})
	require.Zero(t, f.Queues[0].In)
	require.Zero(t, f.Handlers[0].Rate)
	f = h.next(time.Unix(4, 0), stats(29), eventbus.Latencies{})
	require.InDelta(t, 10, f.Queues[0].In, 1e-9)
	require.InDelta(t, 10, f.Handlers[0].Rate, 1e-9)
}

func TestHistoryBoundsHandlers(t *testing.T) {
	var h history
	f := h.next(time.Unix(1, 0), eventbus.Stats{Handlers: make([]eventbus.HandlerStats, maxHandlers+7)}, eventbus.Latencies{})
	require.Len(t, f.Handlers, maxHandlers)
	require.Equal(t, 7, f.Hidden)
}

const profile = `goroutine profile: total 5
2 @ 0x1 0x2
#	0x47b1a4	main.unlabelled+0x44	/src/main.go:10

1 @ 0x1 0x2
# labels: {"eventbus":"order"}
#	0x47b1a4	main.ofAsync[...]+0x44		/src/a b.go:11

1 @ 0x1 0x2 0x3
# labels: {"desk":"eq", "eventbus":"order, signal, data"}
#	0x47b1a4	main.broker+0x44							/src/main.go:12
#	0x47b1a4	github.com/eventbus-go/eventbus.(*processor).dispatch+0x44		/src/processor.go:13

1 @ 0x1 0x2
# labels: {"eventbus":"data"}
#	0x47b1a4	main.feed+0x44	/src/main.go:14
`

func TestStacksOfFindsTheGoroutinesOfAQueue(t *testing.T) {
	require.Equal(t, []string{
		"goroutines with this stack: 1\nmain.broker\n    /src/main.go:12\ngithub.com/eventbus-go/eventbus.(*processor).dispatch\n    /src/processor.go:13\n",
		"goroutines with this stack: 1\nmain.ofAsync[...]\n    /src/a b.go:11\n",
	}, stacksOf(eventbus.OrderQueue, profile))
	require.Len(t, stacksOf(eventbus.DataQueue, profile), 2)
	require.Empty(t, stacksOf(eventbus.DataQueue, ""))
}

func TestShortenCutsNoRune(t *testing.T) {
	require.Equal(t, "ab", shorten("ab", 2))
	require.Equal(t, "aé…", shorten("aéé", 4))
}
