package eventbusnats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Events are stored together where that is sooner, and batches are not given up for ever.
func TestExportPacesItself(t *testing.T) {
	p := newPace()
	require.False(t, p.together(maxBatch), "nothing is known of single events")
	p.noteSingle(40 * time.Microsecond)
	require.False(t, p.together(100), "in the process, 100 single ones are sooner")
	require.True(t, p.together(maxBatch))
	require.False(t, p.together(1))

	p = newPace()
	p.noteSingle(time.Millisecond) // to a cluster
	require.True(t, p.together(6))
	p.noteBatch(10 * time.Second) // it was gone
	require.False(t, p.together(maxBatch))
	n := 0
	for ; !p.together(maxBatch) && n < 20_000; n++ {
		p.noteSingle(time.Millisecond)
	}
	require.Less(t, n, 20_000, "soon enough")
	require.Greater(t, n, 1000, "not at once")
}
