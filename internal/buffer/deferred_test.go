package buffer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// promote moves all deferred items that there is room for, and returns how many.
func promote(b *things) (n int) {
	for b.PromoteFirst() {
		n++
	}
	return n
}

func TestDeferredItemsEnterInTheOrderOfTheirTickets(t *testing.T) {
	both(t, 2, func(t *testing.T, b *things) {
		require.False(t, b.PromoteFirst(), "nothing is deferred")
		_, ok := b.FirstTicket()
		require.False(t, ok)
		add(t, b, 0, 2)
		b.Defer(item(3), 20, false)
		b.Defer(item(4), 30, false)
		b.Defer(item(2), 10, false)
		require.False(t, b.PromoteFirst(), "there is no room")
		n, bound := b.Deferred()
		require.Equal(t, []int{3, 3}, []int{n, bound})
		ticket, ok := b.FirstTicket()
		require.True(t, ok)
		require.EqualValues(t, 10, ticket)
		balance(t, b)
		require.Equal(t, []int{0, 1}, drain(b))
		require.Equal(t, 2, promote(b))
		ticket, _ = b.FirstTicket()
		require.EqualValues(t, 30, ticket)
		require.Equal(t, []int{2, 3}, drain(b))
		require.Equal(t, 1, promote(b))
		require.Equal(t, []int{4}, drain(b))
		require.EqualValues(t, 5, b.Accepted())
		balance(t, b)
	})
}

func TestBetweenLooksAtTicketsAlone(t *testing.T) {
	b := newBuffer(1, false)
	require.False(t, b.Between(0, 100))
	for _, ticket := range []uint64{10, 20} {
		b.Defer(item(0), ticket, false)
	}
	require.True(t, b.Between(5, 11))
	require.True(t, b.Between(10, 30), "not itself, but the one at 20")
	require.False(t, b.Between(10, 20))
	require.False(t, b.Between(20, 30))
	require.False(t, b.Between(1, 10))
}

func TestFreeItemsCountTowardsNoBound(t *testing.T) {
	b := newBuffer(1, false)
	add(t, b, 0, 1)
	free := item(1)
	b.Defer(free, 1, true)
	b.Defer(item(2), 2, false)
	left := item(3)
	b.Defer(left, 3, true)
	n, bound := b.Deferred()
	require.Equal(t, []int{3, 1}, []int{n, bound})
	withdraw(b, *left)
	n, bound = b.Deferred()
	require.Equal(t, []int{2, 1}, []int{n, bound})
	require.Equal(t, []int{0}, drain(b))
	require.Equal(t, 1, promote(b))
	n, bound = b.Deferred()
	require.Equal(t, []int{1, 1}, []int{n, bound})
	balance(t, b)
}

// A list that is never empty stays as long as what is in it.
func TestDeferredItemsLeaveNoTrace(t *testing.T) {
	b := newBuffer(1, false)
	add(t, b, 0, 1)
	b.Defer(item(1), 1, false)
	allocated := testing.AllocsPerRun(10, func() {
		for n := uint64(2); n < 1000; n++ {
			b.Defer(item(int(n)), n, false)
			drain(b)
			b.PromoteFirst()
		}
	})
	require.Less(t, allocated, 5000.0, "what the items and slices of the test take")
	n, _ := b.Deferred()
	require.Equal(t, 1, n)
	balance(t, b)
}

func TestADeferredItemIsReplacedInItsPlace(t *testing.T) {
	both(t, 1, func(t *testing.T, b *things) {
		b.Conflate()
		add(t, b, 0, 1)
		b.Defer(withKey(1, "a"), 1, false)
		b.Defer(item(2), 2, false)
		require.True(t, b.Replace(withKey(3, "a")))
		require.Equal(t, []int{0}, drain(b))
		require.Equal(t, 1, promote(b))
		require.True(t, b.Replace(withKey(4, "a")), "it waits in a chunk")
		require.Equal(t, []int{4}, drain(b))
		balance(t, b)
	})
}

func TestWithdrawTakesADeferredItemOutAtOnce(t *testing.T) {
	both(t, 1, func(t *testing.T, b *things) {
		b.Conflate()
		add(t, b, 0, 1)
		v := withKey(1, "a")
		b.Defer(v, 1, false)
		b.Defer(item(2), 2, false)
		withdraw(b, *v)
		require.False(t, b.Waits(withKey(3, "a")))
		n, _ := b.Deferred()
		require.Equal(t, 1, n)
		balance(t, b)
		require.EqualValues(t, 1, b.Gone())
		require.Equal(t, []int{0}, drain(b))
		promote(b)
		require.Equal(t, []int{2}, drain(b))
		require.EqualValues(t, 1, b.Counts().Withdrawn)
	})
}

// An item in a chunk gives its room back at once. It leaves when its turn comes or, at
// the latest, when as many as the capacity are withdrawn.
func TestWithdrawGivesBackTheRoomOfAnItemInAChunk(t *testing.T) {
	both(t, 40, func(t *testing.T, b *things) {
		var vs []*thing
		for n := range 40 {
			v := item(n)
			vs = append(vs, *v)
			require.True(t, b.Push(v))
		}
		for n, v := range vs {
			require.Zero(t, b.Room())
			withdraw(b, v)
			require.Equal(t, 1, b.Room())
			require.EqualValues(t, n+1, b.Gone())
			require.True(t, b.Push(item(40+n)))
			balance(t, b)
		}
		require.Equal(t, 40, b.Counts().Depth)
		var got []int
		for v := (*thing)(nil); b.Begin(&v); {
			if v.dead {
				b.Bury()
				continue
			}
			got = append(got, v.n)
		}
		b.End()
		require.Equal(t, ints(40, 80), got)
		c := b.Counts()
		require.EqualValues(t, []uint64{80, 40, 40, 40}, []uint64{c.Accepted, c.Begun, c.Ended, c.Withdrawn})
		require.Equal(t, 40, b.Room())
		balance(t, b)
	})
}

// An item that enters from the deferred ones takes room: Add looks how full the buffer is
// again, also if it came between Defer and the closing of the gate.
func TestAddNeverOverfillsWhenADeferredItemEnters(t *testing.T) {
	both(t, 2, func(t *testing.T, b *things) {
		add(t, b, 0, 2)
		b.Defer(item(2), 1, false)
		require.Equal(t, []int{0, 1}, drain(b))
		require.True(t, b.Add(item(3)))
		require.True(t, b.PromoteFirst())
		require.Zero(t, b.Room())
		require.False(t, b.Add(item(4)))
		balance(t, b)
	})
}

// pushDead accepts an item and takes it back.
func pushDead(t *testing.T, b *things) {
	t.Helper()
	v := item(-1)
	require.True(t, b.Push(v))
	require.True(t, withdraw(b, *v))
}

// Items that were withdrawn take as many places as the capacity at most, and those of the
// open chunk.
func TestWithdrawSweepsOutTheDead(t *testing.T) {
	for _, capacity := range []int{1, 4, 40} {
		both(t, capacity, func(t *testing.T, b *things) {
			for range 1000 {
				pushDead(t, b)
				require.Equal(t, capacity, b.Room())
			}
			require.Less(t, len(drain(b)), capacity)
			balance(t, b)
		})
	}
}

// No item is evicted while the dead make room, however many they are.
func TestEvictForEvictsNoneWhileTheDeadMakeRoom(t *testing.T) {
	for _, capacity := range []int{1, 2} {
		b := newBuffer(capacity, true)
		for range capacity + 1 {
			pushDead(t, b)
		}
		for n := range capacity {
			require.Empty(t, evictFor(b, item(n)))
		}
		require.Equal(t, []int{0}, numbersOf(evictFor(b, item(capacity))))
		balance(t, b)
	}
}

// A free item takes nobody's room, also if it moves up when the dead are swept out.
func TestPushFreeTakesNoRoomAfterASweep(t *testing.T) {
	b := newBuffer(2, true)
	pushDead(t, b)
	free := item(0)
	b.PushFree(free)
	pushDead(t, b) // sweeps
	require.Equal(t, 2, b.Room())
	require.True(t, b.Push(item(1)))
	require.Equal(t, 0, begin(t, b))
	require.Equal(t, 1, b.Room())
	require.Equal(t, 1, b.Counts().Depth)
	require.True(t, b.Push(item(2)))
	require.False(t, b.Push(item(3)))
	require.Equal(t, []int{1, 2}, drain(b))
	balance(t, b)
}

// Chunks that a sweep has emptied are filled before others are, though the consumer has
// opened the last one with items by then: an empty one stands before no item, and there
// are never more than the channel takes.
func TestWithdrawLeavesNoEmptyChunkBeforeAnItem(t *testing.T) {
	const capacity = 33
	both(t, capacity, func(t *testing.T, b *things) {
		push := func(from, n int) (vs []*thing) {
			for i := range n {
				v := item(from + i)
				require.True(t, b.Push(v))
				vs = append(vs, *v)
			}
			return vs
		}
		push(0, 1)
		leaving := push(1, capacity-2)
		for range capacity - 1 {
			pushDead(t, b)
		}
		leaving = append(leaving, push(1, 1)...) // in the third chunk
		for _, v := range leaving {
			require.True(t, withdraw(b, v))
		}
		pushDead(t, b)
		pushDead(t, b) // sweeps: two chunks are empty
		require.Equal(t, 0, begin(t, b))
		push(1, capacity-1)
		for range capacity - 1 {
			pushDead(t, b)
		}
		push(capacity, 1) // in the third chunk
		require.Zero(t, b.Room())
		var got []int
		for v := (*thing)(nil); b.Begin(&v); {
			if v.dead {
				b.Bury()
				continue
			}
			got = append(got, v.n)
		}
		b.End()
		require.Equal(t, ints(1, capacity+1), got)
		balance(t, b)
	})
}
