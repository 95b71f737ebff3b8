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
	free      map[*thing]bool
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

// depth returns how many items in chunks take room: dead and free ones do not.
func (m *model) depth() (n int) {
	for _, v := range m.chunks {
		if !v.dead && !m.free[v] {
			n++
		}
	}
	return n
}

// roomless returns how many free items are in chunks.
func (m *model) roomless() (n int) {
	for _, v := range m.chunks {
		if !v.dead && m.free[v] {
			n++
		}
	}
	return n
}

func (m *model) room() int { return m.capacity - m.depth() }

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

func (m *model) evictFor(v *thing) (evicted []*thing) {
	for m.room() < 1 {
		if o := m.chunks[0]; !o.dead {
			evicted = append(evicted, o)
			m.counts.Evicted++
			m.gone++
		}
		m.chunks = m.chunks[1:]
	}
	m.accept(v)
	return evicted
}

func (m *model) pushFree(v *thing) {
	m.free[v] = true
	m.counts.Accepted++
	m.chunks = append(m.chunks, v)
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

// begin takes v out, which the consumer has begun. What was ahead of it is gone: items
// that were withdrawn may leave before their turn.
func (m *model) begin(t *testing.T, v *thing) {
	t.Helper()
	m.end()
	for ; m.chunks[0] != v; m.chunks = m.chunks[1:] {
		require.True(t, m.chunks[0].dead, "an item is lost, or out of order")
	}
	m.chunks = m.chunks[1:]
	m.counts.Begun++
	m.running = v
}

// check compares b with m.
func (m *model) check(t *testing.T, b *things) {
	t.Helper()
	m.counts.Depth, m.counts.Deferred = m.depth(), len(m.deferred)+m.roomless()
	require.Equal(t, m.counts, b.Counts())
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
		if m.depth()+m.roomless() > 0 {
			require.True(t, b.Ready())
		}
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
	switch r.rand.IntN(22) {
	case 0, 1, 2:
		v := r.next()
		want := len(r.deferred) == 0 && (r.replace(*v) || r.accept(*v))
		require.Equal(r, want, r.b.Add(v))
	case 3:
		v := r.next()
		require.Equal(r, r.replace(*v) || r.accept(*v), r.b.Push(v))
	case 4:
		v := r.next()
		require.Equal(r, r.waits(*v) != nil, r.b.Waits(v) && r.conflates)
		require.Equal(r, r.replace(*v), r.b.Replace(v))
	case 5:
		r.addAll(1 + r.rand.IntN(40))
	case 6:
		if r.evicts {
			v := r.next()
			var evicted []*thing
			if !r.replace(*v) {
				evicted = r.evictFor(*v)
			}
			require.Equal(r, evicted, evictFor(r.b, v))
		}
	case 7:
		r.ticket++
		v, ticket, free := r.next(), r.ticket-uint64(r.rand.IntN(3)), r.rand.IntN(4) == 0
		if !r.replace(*v) {
			r.deferItem(*v, ticket, free)
		}
		r.b.Defer(v, ticket, free)
	case 8:
		require.Equal(r, r.promote(), r.b.PromoteFirst())
	case 9:
		r.withdrawOne()
	case 10:
		for range r.rand.IntN(100) {
			r.withdrawOne()
		}
	case 11:
		r.churn()
	case 12:
		for range r.rand.IntN(50) {
			r.pushFree()
		}
	case 13:
		r.b.Rest()
	case 14:
		r.b.Ring()
	case 15:
		for range r.rand.IntN(4) { // a consumer whose queue is paused, or one that has just woken
			select {
			case c := <-r.b.Door():
				r.b.Take(c)
			default:
			}
		}
	case 16, 17:
		for range 1 + r.rand.IntN(40) {
			r.reserve()
		}
	default:
		r.beginOne()
	}
}

// reserve publishes an item without a key.
func (r *run) reserve() {
	v := r.next()
	(*v).key = ""
	place := r.b.Reserve()
	require.Equal(r, len(r.deferred) == 0 && r.accept(*v), place != nil)
	if place != nil {
		*place = *v
		r.b.Commit()
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

// churn accepts items and takes them back, more of them than fit.
func (r *run) churn() {
	for range r.rand.IntN(3 * r.capacity) {
		v := r.fresh()
		if !r.accept(*v) {
			return
		}
		require.True(r, r.b.Push(v))
		if r.rand.IntN(4) > 0 {
			r.withdraw(*v)
			require.True(r, withdraw(r.b, *v))
		}
	}
}

func (r *run) pushFree() {
	if r.evicts {
		v := r.next()
		(*v).key = ""
		r.model.pushFree(*v)
		r.b.PushFree(v)
	}
}

func (r *run) withdrawOne() {
	all := slices.DeleteFunc(slices.Clone(r.chunks), func(v *thing) bool {
		return v.dead || v.place == 0 // what came by Add or AddAll is nobody's to withdraw
	})
	for _, d := range r.deferred {
		all = append(all, d.thing)
	}
	if len(all) == 0 {
		return
	}
	v := all[r.rand.IntN(len(all))]
	r.withdraw(v)
	require.True(r, withdraw(r.b, v))
	require.False(r, withdraw(r.b, v), "again")
}

func (r *run) beginOne() {
	if r.rand.IntN(3) == 0 {
		r.end()
		r.b.End()
		return
	}
	var v *thing
	if !r.b.Begin(&v) {
		require.Zero(r, r.depth()+r.roomless(), "it begins none of them")
		return
	}
	r.begin(r.T, v)
	if !v.dead && v.place > 0 && r.rand.IntN(5) == 0 { // the consumer has not looked yet
		r.withdraw(v)
		require.True(r, withdraw(r.b, v))
	}
	if v.dead {
		r.b.Bury()
	}
}

// unload takes out the rest, of which some items are withdrawn by that.
func (r *run) unload() {
	r.b.Hold()
	var want []*thing
	keep := func(v *thing) {
		if v.dead {
			return
		}
		if v.closing = r.rand.IntN(3) == 0; v.closing {
			r.counts.Withdrawn++
			return
		}
		want = append(want, v)
	}
	for _, v := range r.chunks {
		keep(v)
	}
	for _, d := range r.deferred {
		keep(d.thing)
	}
	require.Equal(r, want, r.b.Unload())
	r.counts.Depth, r.counts.Deferred = len(want), 0
	require.Equal(r, r.counts, r.b.Counts())
}

// Random operations leave a buffer as they leave slices: with items that are free, that
// are withdrawn with and without keys, wherever they are, and more of them than fit.
func TestCountsAreThoseOfSlices(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		r := &run{model: &model{free: make(map[*thing]bool)}, T: t, rand: rand.New(rand.NewPCG(seed, 0)), evicts: seed%2 == 0}
		r.capacity = []int{1, 2, 5, 32, 33, 64, 65, 80}[(seed/2)%8]
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
		r.unload()
		if t.Failed() {
			t.Fatal("seed", seed)
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
