//go:build race

package lockrank_test

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/lockrank"
	"github.com/stretchr/testify/require"
)

func TestMutexPanicsWhenLocksAreTakenInTheWrongOrder(t *testing.T) {
	var first, second, beside lockrank.Mutex
	first.SetRank(lockrank.LifeCycle)
	second.SetRank(lockrank.Table)
	beside.SetRank(lockrank.Table)
	first.Lock()
	second.Lock()
	require.PanicsWithValue(t, "eventbus: BUG: a lock of rank 3 is taken while one of rank 3 is held", beside.Lock)
	first.Unlock() // in any order
	require.PanicsWithValue(t, "eventbus: BUG: a lock of rank 1 is taken while one of rank 3 is held", first.Lock)
	second.Unlock()
	first.Lock()
	first.Unlock()
}
