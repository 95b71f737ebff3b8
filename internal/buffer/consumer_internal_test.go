package buffer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The consumer has begun the first item and not yet taken it out when it is held and
// the rest is unloaded: the item is the consumer's.
func TestUnloadLeavesTheItemThatIsBegunAndNotTakenOut(t *testing.T) {
	b := New(Config[int, int]{
		Capacity: 4, Key: func(int) int { return 0 }, Place: func(int, uint64) {}, Dead: func(int) bool { return false },
		Unload: func(int) bool { return false },
	})
	for n := range 4 {
		require.True(t, b.Push(&n))
	}
	require.True(t, b.openNext())
	require.True(t, b.cursor.begin())
	require.EqualValues(t, 1, b.Hold().Begun())
	require.Equal(t, []int{1, 2, 3}, b.Unload())
	v := -1
	b.shift(&v)
	require.Zero(t, v)
	require.Equal(t, 3, b.Counts().Depth)
}
