package buffer_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/internal/buffer"
)

func TestSiteTellsWhereTheConsumerIs(t *testing.T) {
	both(t, 4, func(t *testing.T, b *things) {
		at := func() []uint64 { return []uint64{b.Site().Begun(), b.Counts().Ended, b.Begun()} }
		add(t, b, 0, 2)
		require.Equal(t, []uint64{0, 0, 0}, at())
		before := b.Site()
		begin(t, b)
		require.Equal(t, []uint64{1, 0, 1}, at())
		require.True(t, b.Site().Busy())
		require.True(t, b.Busy())
		require.NotEqual(t, before, b.Site())
		begin(t, b) // without an End before
		require.Equal(t, []uint64{2, 1, 2}, at())
		balance(t, b)
		b.End()
		require.Equal(t, []uint64{2, 2, 2}, at())
		require.False(t, b.Site().Busy())
		require.False(t, b.Busy())
		var v *thing
		require.False(t, b.Begin(&v))
		balance(t, b)
	})
}

func TestHoldKeepsTheConsumerFromBeginning(t *testing.T) {
	both(t, 4, func(t *testing.T, b *things) {
		add(t, b, 0, 3)
		begin(t, b)
		require.False(t, b.Held())
		site := b.Hold()
		require.Equal(t, b.Site(), site)
		require.EqualValues(t, 1, b.Hold().Begun(), "held twice")
		require.True(t, b.Held())
		var v *thing
		require.False(t, b.Begin(&v))
		b.End()
		require.False(t, b.Begin(&v))
		require.True(t, b.Ready())
		b.Release()
		require.False(t, b.Held())
		require.Equal(t, []int{1, 2}, drain(b))
	})
}

func TestReadyAndTheDoorTellOfItems(t *testing.T) {
	both(t, 40, func(t *testing.T, b *things) {
		require.False(t, b.Ready())
		require.Empty(t, b.Door())
		add(t, b, 0, 40)
		require.True(t, b.Ready())
		b.Take(<-b.Door())
		require.True(t, b.Ready())
		require.Equal(t, ints(0, 40), drain(b))
		require.False(t, b.Ready())
	})
}

// A bell is no item: it wakes a consumer that waits at the door, once for however many
// have rung, and is in nobody's way.
func TestRingWakesTheConsumer(t *testing.T) {
	both(t, 70, func(t *testing.T, b *things) {
		for range 3 {
			b.Ring()
			b.Ring()
			require.False(t, b.Ready())
			require.False(t, b.Take(<-b.Door()))
			require.Empty(t, b.Door())
		}
		for n := range 3 { // a bell before the chunk, which the consumer passes over, and one after it
			b.Ring()
			add(t, b, n, n+1)
			b.Ring()
			require.True(t, b.Ready())
			require.Equal(t, n, begin(t, b))
			require.False(t, b.Ready())
		}
		for len(b.Door()) > 0 {
			require.False(t, b.Take(<-b.Door()))
		}
		b.Ring()
		require.False(t, b.Take(<-b.Door()), "it rings after all that")
		add(t, b, 0, 70)
		b.Ring() // there is room for it
		require.Equal(t, ints(0, 70), drain(b))
	})
}

// The bell has a place of its own beside as many chunks as there can be: 48 withdrawn items
// and 49 that are not.
func TestRingFindsRoomBesideAllChunks(t *testing.T) {
	b := newBuffer(49, false)
	for n := range 48 {
		v := item(n)
		require.True(t, b.Push(v))
		require.True(t, withdraw(b, *v))
	}
	add(t, b, 0, 49)
	rang := make(chan struct{})
	go func() { b.Ring(); close(rang) }()
	select {
	case <-rang:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "it waits for room")
	}
	require.Len(t, b.Door(), cap(b.Door()), "the channel is no larger than it must be")
}

// A consumer that may not begin an item, since its queue is paused, takes chunks out of
// the door all the same. It opens them later, in order.
func TestTakeOpensNothing(t *testing.T) {
	b := newBuffer(100, false)
	add(t, b, 0, 40)
	require.True(t, b.Take(<-b.Door()))
	require.True(t, b.Take(<-b.Door()))
	require.Empty(t, b.Door())
	require.True(t, b.Ready())
	add(t, b, 40, 64) // the last chunk takes items until it is open
	require.Empty(t, b.Door())
	add(t, b, 64, 100)
	require.Equal(t, ints(0, 100), drain(b))
	balance(t, b)
}

// A consumer that rests changes neither what is in the buffer nor what it counts.
func TestRestLeavesItemsAndCountsAlone(t *testing.T) {
	both(t, 40, func(t *testing.T, b *things) {
		b.Rest() // nothing was ever opened
		for _, n := range []int{1, 3, 40} {
			add(t, b, 0, n)
			require.Equal(t, n, b.Counts().HighWater)
			if n == 40 {
				v := item(40)
				require.False(t, b.Add(v), "there is no more room than before")
			}
			require.Equal(t, 0, begin(t, b))
			b.Rest() // not all that is open has begun
			require.Equal(t, ints(1, n), drain(b))
			b.Rest()
			b.Rest()
			balance(t, b)
		}
		add(t, b, 0, 2)
		b.Hold()
		require.Equal(t, ints(0, 2), numbersOf(b.Unload()))
	})
}

// An item that comes while its chunk is open goes into the next one.
func TestAnOpenChunkTakesNoFurtherItems(t *testing.T) {
	both(t, 10, func(t *testing.T, b *things) {
		add(t, b, 0, 2)
		require.Equal(t, 0, begin(t, b))
		add(t, b, 2, 4)
		require.Equal(t, []int{1, 2, 3}, drain(b))
	})
}

func TestUnloadTakesOutAllThatIsNotBegun(t *testing.T) {
	var received *buffer.Chunk[*thing]
	cases := map[string]func(t *testing.T, b *things) (begun int){
		"nothing is begun":    func(*testing.T, *things) int { return 0 },
		"some are begun":      func(t *testing.T, b *things) int { return beginAll(t, b, 2) },
		"a chunk is used up":  func(t *testing.T, b *things) int { return beginAll(t, b, 32) },
		"a chunk is received": func(_ *testing.T, b *things) int { received = <-b.Door(); return 0 },
		"the next chunk is received": func(t *testing.T, b *things) int {
			begun := beginAll(t, b, 32)
			received = <-b.Door()
			return begun
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			both(t, 70, func(t *testing.T, b *things) {
				b.Conflate()
				require.True(t, b.Add(withKey(0, "a")))
				add(t, b, 1, 70)
				b.Defer(item(70), 1, false)
				b.Defer(withKey(71, "b"), 2, true)
				received = nil
				begun := prepare(t, b)
				b.Hold()
				left := b.Counts()
				left.Depth, left.Deferred = left.Depth+left.Deferred, 0
				require.Equal(t, ints(begun, 72), numbersOf(b.Unload()))
				require.Equal(t, left, b.Counts(), "what was unloaded is what is left")
				require.False(t, b.Waits(withKey(0, "a")))
				require.False(t, b.Waits(withKey(0, "b")))
				if received != nil { // it is in no list any more
					b.Take(received)
					b.Release()
					require.Empty(t, drain(b))
				}
			})
		})
	}
}

func numbersOf(vs []*thing) (ns []int) {
	for _, v := range vs {
		ns = append(ns, v.n)
	}
	return ns
}

func beginAll(t *testing.T, b *things, n int) int {
	t.Helper()
	for i := range n {
		require.Equal(t, i, begin(t, b))
	}
	return n
}

// Several producers add while one consumer begins: it gets all, and those of each
// producer in order.
func TestProducersAndConsumerMeet(t *testing.T) {
	const producers, each = 4, 3000
	for name, capacity := range map[string]int{"one": 1, "a chunk": 32, "some chunks": 100} {
		t.Run(name, func(t *testing.T) {
			b := keyed(capacity, false)
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					for n := range each {
						for v := item(p*each + n); !b.Add(v); {
							time.Sleep(time.Microsecond)
						}
					}
				})
			}
			rang := make(chan struct{})
			go func() {
				defer close(rang)
				for range each {
					b.Ring()
				}
			}()
			var next [producers]int
			for range producers * each {
				n := receive(t, b)
				p := n / each
				require.Equal(t, next[p], n%each)
				next[p]++
			}
			b.End()
			wg.Wait()
			<-rang
			balance(t, b)
			require.LessOrEqual(t, b.Counts().HighWater, capacity)
		})
	}
}

// receive returns the next item, for which it waits at the door.
func receive(t *testing.T, b *things) int {
	t.Helper()
	for v := (*thing)(nil); ; {
		if b.Begin(&v) {
			return v.n
		}
		b.Rest()
		select {
		case c := <-b.Door():
			b.Take(c)
		case <-time.After(30 * time.Second):
			require.FailNow(t, "no item comes")
		}
	}
}

// Producers that evict and a consumer that begins get each item once between them.
func TestEvictForAndBeginShareTheItems(t *testing.T) {
	const producers, each = 3, 3000
	b := newBuffer(40, true)
	var evicted [producers][]int
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for n := range each {
				evicted[p] = append(evicted[p], numbersOf(evictFor(b, item(p*each+n)))...)
			}
		})
	}
	all := make(chan struct{})
	go func() { wg.Wait(); close(all) }()
	var got []int
	for finished := false; !finished; {
		select {
		case c := <-b.Door():
			b.Take(c)
		case <-all:
			finished = true
		}
		got = append(got, drain(b)...)
	}
	for _, ns := range evicted {
		got = append(got, ns...)
	}
	slices.Sort(got)
	require.Equal(t, ints(0, producers*each), got)
	balance(t, b)
}

// Whoever holds knows exactly what has begun, whatever the consumer does meanwhile:
// what is unloaded then is the rest.
func TestHoldSplitsWhatIsBegunFromWhatIsLeft(t *testing.T) {
	const n = 70
	for round := range 300 {
		b := keyed(n, round%2 == 0)
		add(t, b, 0, n)
		var got []int
		consumed, begun := make(chan struct{}), atomic.Int32{}
		go func() {
			defer close(consumed)
			for v := (*thing)(nil); b.Begin(&v); begun.Add(1) {
				got = append(got, v.n)
			}
			b.End()
		}()
		for int(begun.Load()) < round%n {
			time.Sleep(0)
		}
		held := int(b.Hold().Begun())
		left := numbersOf(b.Unload())
		<-consumed
		require.Equal(t, ints(0, held), got)
		require.Equal(t, ints(held, n), left)
	}
}

// A hold that comes while the consumer takes the last one off is not lost.
func TestReleaseLosesNoHold(t *testing.T) {
	b := newBuffer(32, false)
	var asked, answered atomic.Int32
	consumed := make(chan struct{})
	const requests = 2000
	go func() {
		defer close(consumed)
		for n := 0; answered.Load() < requests; n++ {
			b.Push(item(n))
			var v *thing
			if b.Begin(&v) {
				b.End()
				continue
			}
			b.Release()
			answered.Store(asked.Load()) // reads what it was told after the release
		}
	}()
	for range requests {
		asked.Add(1)
		b.Hold()
	}
	select {
	case <-consumed:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "a hold is lost")
	}
	require.EqualValues(t, requests, answered.Load())
}
