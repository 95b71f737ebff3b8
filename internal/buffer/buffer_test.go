package buffer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/internal/buffer"
)

// A thing is an item of a buffer in these tests.
type thing struct {
	n       int
	key     string // "" for none
	place   uint64
	dead    bool
	evicted bool
	closing bool // it is withdrawn when it is unloaded
}

type things = buffer.Buffer[*thing, string]

func newBuffer(capacity int, evicts bool) *things {
	return buffer.New(buffer.Config[*thing, string]{
		Capacity: capacity, Evicts: evicts,
		Key:     func(v *thing) string { return v.key },
		Same:    func(a, b *thing) bool { return a == b },
		Place:   func(v *thing, place uint64) { v.place = place },
		Replace: func(waiting, v *thing) { waiting.n = v.n },
		Evict:   func(v *thing) { v.evicted = true },
		Dead:    func(v *thing) bool { return v.dead },
		Unload:  func(v *thing) bool { v.dead = v.closing; return v.closing },
	})
}

// keyed returns a buffer that looks at the keys of its items.
func keyed(capacity int, evicts bool) *things {
	b := newBuffer(capacity, evicts)
	b.Conflate()
	return b
}

// item returns the item number n without a key.
func item(n int) **thing { return withKey(n, "") }

func withKey(n int, key string) **thing {
	v := &thing{n: n, key: key}
	return &v
}

// add accepts the items from low to below high.
func add(t *testing.T, b *things, low, high int) {
	t.Helper()
	for n := low; n < high; n++ {
		require.True(t, b.Add(item(n)), "item %d", n)
	}
}

// begin returns the next item.
func begin(t *testing.T, b *things) int {
	t.Helper()
	var v *thing
	require.True(t, b.Begin(&v))
	return v.n
}

// drain begins and ends all items and returns them.
func drain(b *things) (got []int) {
	for v := (*thing)(nil); b.Begin(&v); {
		got = append(got, v.n)
	}
	b.End()
	return got
}

// withdraw takes back v, as its queue does, and reports whether that was in time.
func withdraw(b *things, v *thing) bool {
	return b.Withdraw(v.key, func(o *thing) bool { return o == v }, func() (uint64, bool) {
		if v.dead || v.evicted {
			return 0, false
		}
		v.dead = true
		return v.place, true
	})
}

// evictFor accepts v and returns the items that had to go for it.
func evictFor(b *things, v **thing) []*thing { return b.EvictFor(v, nil) }

// balance checks the accounts against each other.
func balance(t *testing.T, b *things) {
	t.Helper()
	c, running := b.Counts(), uint64(0)
	if b.Site().Busy() {
		running = 1
	}
	require.Equal(t, c.Accepted, c.Ended+c.Evicted+c.Replaced+c.Withdrawn+uint64(c.Depth+c.Deferred)+running, "%+v", c)
}

func ints(low, high int) (ns []int) {
	for n := low; n < high; n++ {
		ns = append(ns, n)
	}
	return ns
}

// both runs f with a buffer that evicts and with one that does not.
func both(t *testing.T, capacity int, f func(t *testing.T, b *things)) {
	t.Run("keeps", func(t *testing.T) { f(t, newBuffer(capacity, false)) })
	t.Run("evicts", func(t *testing.T) { f(t, newBuffer(capacity, true)) })
}

func TestAddKeepsTheOrderUpToTheCapacity(t *testing.T) {
	for _, capacity := range []int{1, 2, 31, 32, 33, 64, 65, 200} {
		both(t, capacity, func(t *testing.T, b *things) {
			for round := range 3 {
				add(t, b, 0, capacity)
				require.False(t, b.Add(item(capacity)), "round %d", round)
				require.False(t, b.Push(item(capacity)))
				require.Zero(t, b.Room())
				balance(t, b)
				require.Equal(t, ints(0, capacity), drain(b))
				require.Equal(t, capacity, b.Room())
			}
			require.Equal(t, capacity, b.Counts().HighWater)
			require.EqualValues(t, 3*capacity, b.Accepted())
			require.EqualValues(t, 3*capacity, b.Gone())
			balance(t, b)
		})
	}
}

func TestAddIsRefusedWhileTheGateIsClosed(t *testing.T) {
	both(t, 4, func(t *testing.T, b *things) {
		b.Gate.Store(1)
		require.False(t, b.Add(item(1)))
		require.False(t, b.AddAll(1, func(int, **thing) { t.Error("nothing is to be written") }))
		require.True(t, b.Push(item(2)), "those who admit pass")
		b.Gate.Store(0)
		require.True(t, b.Add(item(3)))
		require.Equal(t, []int{2, 3}, drain(b))
	})
}

func TestAddTakesTheRoomThatTheConsumerMakes(t *testing.T) {
	both(t, 3, func(t *testing.T, b *things) {
		add(t, b, 0, 3)
		for n := range 100 {
			require.False(t, b.Add(item(n)))
			require.Equal(t, n, begin(t, b))
			require.True(t, b.Add(item(n+3)))
			balance(t, b)
		}
		require.Equal(t, 3, b.Counts().HighWater)
	})
}

func TestAddAllTakesAllOrNothing(t *testing.T) {
	both(t, 100, func(t *testing.T, b *things) {
		fill := func(from int) func(int, **thing) {
			return func(i int, place **thing) { *place = &thing{n: from + i} }
		}
		require.True(t, b.AddAll(70, fill(0))) // three chunks
		require.False(t, b.AddAll(31, fill(70)))
		require.True(t, b.AddAll(0, nil))
		require.True(t, b.AddAll(30, fill(70)))
		require.Equal(t, 100, b.Counts().HighWater)
		balance(t, b)
		require.Equal(t, ints(0, 100), drain(b))
	})
}

func TestEvictForTakesTheOldest(t *testing.T) {
	for _, capacity := range []int{1, 3, 32, 40, 100} {
		b := newBuffer(capacity, true)
		for n := range capacity {
			require.Empty(t, evictFor(b, item(n)))
		}
		for n := range 3 * capacity {
			require.Equal(t, []int{n}, numbersOf(evictFor(b, item(capacity+n))))
			balance(t, b)
		}
		require.EqualValues(t, 3*capacity, b.Counts().Evicted)
		require.EqualValues(t, 3*capacity, b.Gone())
		require.Equal(t, ints(3*capacity, 4*capacity), drain(b))
	}
}

// The consumer has opened the chunk whose items are evicted.
func TestEvictForTakesFromTheOpenChunk(t *testing.T) {
	b := newBuffer(3, true)
	add(t, b, 0, 3)
	require.Equal(t, 0, begin(t, b))
	for n := 3; n < 6; n++ {
		evictFor(b, item(n))
	}
	require.True(t, b.Busy())
	require.Equal(t, ints(3, 6), drain(b))
	require.EqualValues(t, 2, b.Counts().Evicted)
}

// What is dead has given its room back: it is no item to evict.
func TestEvictForPassesOverTheDead(t *testing.T) {
	b := newBuffer(2, true)
	first := item(0)
	require.True(t, b.Push(first))
	add(t, b, 1, 2)
	require.True(t, withdraw(b, *first))
	add(t, b, 2, 3)
	require.Equal(t, []int{1}, numbersOf(evictFor(b, item(3))))
	balance(t, b)
	require.Equal(t, ints(2, 4), drain(b))
	require.EqualValues(t, 1, b.Counts().Withdrawn)
	require.EqualValues(t, 1, b.Counts().Evicted)
}

func TestReplaceTakesThePlaceOfTheItemWithTheKey(t *testing.T) {
	for _, evicts := range []bool{false, true} {
		b := newBuffer(2, evicts)
		require.True(t, b.Add(withKey(1, "a")))
		require.False(t, b.Replace(withKey(2, "a")), "the buffer does not look at keys yet")
		b.Conflate()
		b.Conflate()
		require.True(t, b.Add(withKey(3, "b")))
		require.False(t, b.Replace(withKey(4, "a")), "the first one had no key when it came")
		require.False(t, b.Replace(item(5)), "nor has this one")
		require.True(t, b.Waits(withKey(6, "b")))
		require.False(t, b.Waits(withKey(6, "c")))
		require.False(t, b.Waits(item(6)))
		require.True(t, b.Replace(withKey(6, "b")))
		require.True(t, b.Add(withKey(7, "b")), "though there is no room")
		require.False(t, b.Add(item(8)))
		balance(t, b)
		require.Equal(t, []int{1, 7}, drain(b))
		require.EqualValues(t, 2, b.Counts().Replaced)
		require.False(t, b.Waits(withKey(8, "b")), "it waits no more")
	}
}

func TestEvictForForgetsTheKey(t *testing.T) {
	b := keyed(1, true)
	evictFor(b, withKey(1, "a"))
	evictFor(b, item(2))
	require.False(t, b.Waits(withKey(3, "a")))
	require.Equal(t, []int{2}, drain(b))
}
