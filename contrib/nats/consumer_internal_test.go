package eventbusnats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A message is done if neither its sequence nor its time is later than that of what is done.
func TestImportKnowsWhatIsDone(t *testing.T) {
	at := time.Now()
	c := consumer{last: 100} // as a new importer finds its group
	require.False(t, c.isDone(91, at), "the end was lost before this importer has done anything")
	c.noteDone(101, at)
	require.True(t, c.isDone(101, at))
	require.True(t, c.isDone(91, at.Add(-time.Second)))
	require.False(t, c.isDone(102, at))
	require.False(t, c.isDone(91, at.Add(time.Nanosecond)), "it replaces an event that the server has lost")
	c.noteDone(91, at.Add(time.Nanosecond))
	require.False(t, c.isDone(92, at), "the sequences behind it are to come")
	c.noteDone(92, at.Add(-time.Second))
	require.True(t, c.isDone(91, at.Add(time.Nanosecond)), "another leader's clock is late")
}
