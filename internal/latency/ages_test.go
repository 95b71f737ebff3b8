package latency_test

import (
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/latency"
	"github.com/stretchr/testify/require"
)

// The oldest item has waited at least since the first time by which more had been accepted
// than have left.
func TestOldestIsOfTheFirstTimeThatIsNotOver(t *testing.T) {
	var a latency.Ages
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	require.Zero(t, a.Oldest(at(1), 0))
	a.Note(at(1), 5, 0)
	a.Note(at(2), 8, 3)
	a.Note(at(3), 8, 3) // nothing new
	require.Equal(t, 9*time.Second, a.Oldest(at(10), 3))
	require.Equal(t, 8*time.Second, a.Oldest(at(10), 5))
	require.Zero(t, a.Oldest(at(10), 8))
	a.Note(at(11), 9, 8)
	require.Equal(t, time.Second, a.Oldest(at(12), 8))
}

// Of a queue that stands still the first mark stays, however many come.
func TestNoteKeepsTheFirstMark(t *testing.T) {
	var a latency.Ages
	for s := range 100_000 {
		a.Note(time.Unix(int64(s), 0), uint64(s+1), 0)
	}
	require.Equal(t, 100_000*time.Second, a.Oldest(time.Unix(100_000, 0), 0))
	late := a.Oldest(time.Unix(100_000, 0), 99_000)
	require.LessOrEqual(t, late, 1_000*time.Second)
	require.Less(t, testing.AllocsPerRun(1, func() { a.Note(time.Unix(200_000, 0), 200_000, 0) }), 2.0)
}
