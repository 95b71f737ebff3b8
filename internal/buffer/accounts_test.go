package buffer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/internal/buffer"
)

// A model is what a buffer does, as slices.
type model struct {
	capacity  int
	chunks    []*thing // dead ones too
	deferred  []delayed
	counts    buffer.Counts
	gone      uint64
	running   *thing
	conflates bool
}

type delayed struct {
	ticket uint64
	free   bool
	thing  *thing
}

func (m *model) dead() (n int) {
	for _, v := range m.chunks {
		if v.dead {
			n++
		}
	}
	return n
}

func (m *model) depth() int { return len(m.chunks) - m.dead() }

func (m *model) room() int { return m.capacity - len(m.chunks) + min(m.dead(), m.capacity) }

func (m *model) push(v *thing) {
	m.chunks = append(m.chunks, v)
	m.counts.HighWater = max(m.counts.HighWater, m.depth())
}

// waits returns the item that waits with the key of v. Of several, of which some
// came before the buffer looked at keys, it is the last.
func (m *model) waits(v *thing) *thing {
	if v.key == "" || !m.conflates {
		return nil
	}
	for _, d := range m.deferred {
		if d.thing.key == v.key {
			return d.thing
		}
	}
	for _, o := range m.chunks {
		if o.key == v.key && !o.dead {
			return o
		}
	}
	return nil
}

func (m *model) replace(v *thing) bool {
	o := m.waits(v)
	if o == nil {
		return false
	}
	o.n = v.n
	m.counts.Accepted++
	m.counts.Replaced++
	m.gone++
	return true
}

func (m *model) accept(v *thing) bool {
	if m.room() < 1 {
		return false
	}
	m.counts.Accepted++
	m.push(v)
	return true
}

func (m *model) evictFor(v *thing) *thing {
	var old *thing
	for m.room() < 1 && old == nil {
		if o := m.chunks[0]; !o.dead {
			old = o
			m.counts.Evicted++
			m.gone++
		}
		m.chunks = m.chunks[1:]
	}
	m.accept(v)
	return old
}

func (m *model) deferItem(v *thing, ticket uint64, free bool) {
	m.counts.Accepted++
	i := slices.IndexFunc(m.deferred, func(d delayed) bool { return d.ticket > ticket })
	if i < 0 {
		i = len(m.deferred)
	}
	m.deferred = slices.Insert(m.deferred, i, delayed{ticket, free, v})
}

func (m *model) promote() bool {
	if len(m.deferred) == 0 || m.room() < 1 {
		return false
	}
	v := m.deferred[0].thing
	m.deferred = m.deferred[1:]
	m.push(v)
	return true
}

func (m *model) withdraw(v *thing) {
	v.dead = true
	m.counts.Withdrawn++
	m.gone++
	m.deferred = slices.DeleteFunc(m.deferred, func(d delayed) bool { return d.thing == v })
}

func (m *model) end() {
	if m.running != nil && !m.running.dead {
		m.counts.Ended++
		m.gone++
	}
	m.running = nil
}

func (m *model) begin() *thing {
	m.end()
	v := m.chunks[0]
	m.chunks = m.chunks[1:]
	m.counts.Begun++
	m.running = v
	return v
}

// check compares b with m.
func (m *model) check(t *testing.T, b *things) {
	t.Helper()
	m.counts.Depth, m.counts.Deferred = m.depth(), len(m.deferred)
	want, got := m.counts, b.Counts()
	if m.running != nil && m.running.dead {
		got.Ended = want.Ended // the consumer is at what it has buried: counted when it moves on
	}
	require.Equal(t, want, got)
	require.Equal(t, m.room(), b.Room())
	require.Equal(t, m.counts.Accepted, b.Accepted())
	n, bound := b.Deferred()
	require.Equal(t, len(m.deferred), n)
	free := 0
	for _, d := range m.deferred {
		if d.free {
			free++
		}
	}
	require.Equal(t, n-free, bound)
	if m.running == nil {
		require.Equal(t, m.gone, b.Gone())
		require.Equal(t, len(m.chunks) > 0, b.Ready())
	}
}

// A run drives a buffer and its model with the same random operations.
type run struct {
	*model
	*testing.T
	b      *things
	rand   *rand.Rand
	evicts bool
	n      int
	ticket uint64
}

func (r *run) next() **thing {
	r.n++
	key := ""
	if k := r.rand.IntN(6); k < 3 {
		key = fmt.Sprint(k)
	}
	return withKey(r.n, key)
}

// fresh returns an item with no key or one that no item waits with.
func (r *run) fresh() **thing {
	v := r.next()
	if r.waits(*v) != nil {
		(*v).key = ""
	}
	return v
}

// step does one operation with both.
func (r *run) step() {
	r.b.Gate.Store(uint32(min(1, len(r.deferred)))) // whoever admits closes it then
	switch r.rand.IntN(12) {
	case 0, 1, 2:
		v := r.next()
		want := len(r.deferred) == 0 && (r.replace(*v) || r.accept(*v))
		require.Equal(r, want, r.b.Add(v))
	case 3:
		v := r.fresh()
		require.Equal(r, r.accept(*v), r.b.Push(v))
	case 4:
		v := r.next()
		require.Equal(r, r.waits(*v) != nil, r.b.Waits(v) && r.conflates)
		require.Equal(r, r.replace(*v), r.b.Replace(v))
	case 5:
		r.addAll(1 + r.rand.IntN(40))
	case 6:
		if r.evicts && (r.room() > 0 || r.depth() > 0) {
			v := r.fresh()
			want := r.evictFor(*v)
			old, evicted := r.b.EvictFor(v)
			require.Equal(r, want != nil, evicted)
			require.Same(r, want, old)
		}
	case 7:
		r.ticket++
		v, ticket, free := r.fresh(), r.ticket-uint64(r.rand.IntN(3)), r.rand.IntN(4) == 0
		r.deferItem(*v, ticket, free)
		r.b.Defer(v, ticket, free)
	case 8:
		require.Equal(r, r.promote(), r.b.PromoteFirst())
	case 9:
		r.withdrawOne()
	default:
		r.beginOne()
	}
}

func (r *run) addAll(n int) {
	vs := make([]*thing, n)
	for i := range vs {
		r.n++
		vs[i] = &thing{n: r.n}
	}
	want := len(r.deferred) == 0 && r.room() >= n
	for i := 0; want && i < n; i++ {
		r.accept(vs[i])
	}
	require.Equal(r, want, r.b.AddAll(n, func(i int, place **thing) { *place = vs[i] }))
}

func (r *run) withdrawOne() {
	all := slices.Clone(r.chunks)
	for _, d := range r.deferred {
		all = append(all, d.thing)
	}
	if len(all) == 0 {
		return
	}
	// Room is given back for as many dead items as the capacity.
	if v := all[r.rand.IntN(len(all))]; !v.dead && v.key == "" && r.dead() < r.capacity {
		r.withdraw(v)
		withdraw(r.b, v)
	}
}

func (r *run) beginOne() {
	if r.rand.IntN(3) == 0 {
		r.end()
		r.b.End()
		return
	}
	var v *thing
	if len(r.chunks) == 0 {
		require.False(r, r.b.Begin(&v))
		return
	}
	want := r.begin()
	require.True(r, r.b.Begin(&v))
	require.Same(r, want, v)
	if v.dead {
		r.b.Buried()
	}
}

// Random operations leave a buffer as they leave slices.
func TestCountsAreThoseOfSlices(t *testing.T) {
	for seed := range uint64(200) {
		r := &run{model: new(model), T: t, rand: rand.New(rand.NewPCG(seed, 0)), evicts: seed%2 == 0}
		r.capacity = []int{1, 2, 5, 33, 80}[seed%5]
		r.b = newBuffer(r.capacity, r.evicts)
		if seed%3 > 0 {
			r.b.Conflate()
			r.conflates = true
		}
		for range 300 {
			r.step()
			r.check(t, r.b)
			if t.Failed() {
				t.Fatal("seed", seed)
			}
		}
		r.b.Hold()
		want := slices.Clone(r.chunks)
		for _, d := range r.deferred {
			want = append(want, d.thing)
		}
		got := r.b.Unload()
		require.Len(t, got, len(want), "seed %d", seed)
		for i := range got {
			require.Same(t, want[i], got[i], "seed %d", seed)
		}
	}
}

// Goroutines that add, defer, withdraw and consume at once leave accounts that
// balance at every moment that Counts shows, and each item is met once.
func TestCountsBalanceUnderConcurrency(t *testing.T) {
	const producers, each, capacity = 3, 2000, 40
	b := newBuffer(capacity, false)
	var admission sync.Mutex // of those who admit, as in the bus
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for n := range each {
				v := item(p*each + n)
				if b.Add(v) {
					continue
				}
				admission.Lock()
				if !b.Push(v) {
					b.Gate.Store(1)
					b.Defer(v, uint64(b.Accepted()), false)
				}
				promoteAll(b)
				admission.Unlock()
			}
		})
	}
	var got []int
	for len(got) < producers*each {
		got = append(got, receive(t, b))
		admission.Lock()
		promoteAll(b)
		admission.Unlock()
		require.LessOrEqual(t, b.Counts().Depth, capacity)
	}
	b.End()
	wg.Wait()
	slices.Sort(got)
	require.Equal(t, ints(0, producers*each), got)
	balance(t, b)
	require.LessOrEqual(t, b.Counts().HighWater, capacity)
}

func promoteAll(b *things) {
	promote(b)
	if n, _ := b.Deferred(); n == 0 {
		b.Gate.Store(0)
	}
}
