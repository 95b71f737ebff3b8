package buffer

import (
	"slices"
	"sort"
)

// accounts count items. They are guarded by mu; what the consumer alone writes it may also read
// without.
type accounts struct {
	highWater   int
	evicted     uint64
	replaced    uint64
	removed     uint64 // withdrawn ones that have left without being begun
	withdrawn   uint64 // taken back, wherever they were
	removedHere uint64 // those of them that had a place in a chunk
	buried      uint64 // begun ones that were withdrawn; the consumer alone writes it
	buriedAt    uint64 // how many were begun when the last of them was; likewise
	freeLater   int    // deferred ones that count towards no bound
}

// Counts are a buffer's accounts at one moment:
//
//	Accepted = Ended + Evicted + Replaced + Withdrawn + Depth + Deferred + 1 if the consumer is busy
//
// where Ended leaves out those items that were withdrawn.
type Counts struct {
	Accepted  uint64 // items, replacing ones too
	Begun     uint64 // by the consumer
	Ended     uint64 // those of them that the consumer is done with and that were not withdrawn
	Evicted   uint64 // by EvictFor
	Replaced  uint64 // by an item with their key
	Withdrawn uint64 // by Withdraw
	Depth     int    // items in chunks that are not withdrawn
	Deferred  int    // items beyond them: deferred ones, and free ones in chunks
	HighWater int    // the highest Depth so far
}

// Counts returns the accounts.
func (b *Buffer[T, K]) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	site := b.cursor.Site()
	dead, free := b.weightlessLocked(site)
	return Counts{
		Accepted: b.mu.accepted, Begun: site.Begun(), Ended: b.endedAt(site),
		Evicted: b.mu.evicted, Replaced: b.mu.replaced, Withdrawn: b.mu.withdrawn,
		Depth: b.placesLocked(site) - dead - free, Deferred: b.deferredLocked() + free, HighWater: b.mu.highWater,
	}
}

// endedAt returns how many items the consumer, at site, is done with, those that were
// withdrawn apart. The caller holds mu or is the consumer.
func (b *Buffer[T, K]) endedAt(site Site) uint64 {
	ended := site.Begun() - b.mu.buried
	if site.Busy() && b.mu.buriedAt != site.Begun() {
		ended--
	}
	return ended
}

// Gone returns how many items are done with, in whatever way, at most.
func (b *Buffer[T, K]) Gone() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endedAt(b.cursor.Site()) + b.mu.evicted + b.mu.replaced + b.mu.withdrawn
}

// Left returns how many items wait no more, in whatever way: as Gone, with the item at hand.
func (b *Buffer[T, K]) Left() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cursor.Site().Begun() - b.mu.buried + b.mu.evicted + b.mu.replaced + b.mu.withdrawn
}

// Accepted returns how many items have been accepted.
func (b *Buffer[T, K]) Accepted() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.accepted
}

// Room returns how many more items fit.
func (b *Buffer[T, K]) Room() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.roomLocked()
}

// sweepLocked takes withdrawn items out of the chunks that are not open, and moves the
// others up, in order. The chunks that are empty then stay in the list, and are filled next.
func (b *Buffer[T, K]) sweepLocked() {
	b.noteFilledLocked()
	to, n := b.mu.head, 0
	place, was := b.mu.opened, b.mu.opened
	free := b.mu.free[sort.Search(len(b.mu.free), func(i int) bool { return b.mu.free[i] > place }):]
	for from := b.mu.head; from != nil; from = from.next {
		from.stamp, from.keyed = 0, b.conflates.Load() // it gets others' items
		for i := range from.n {
			v := from.items[i]
			was++
			if b.cfg.Dead(v) {
				b.mu.removed++
				continue
			}
			if n == chunkSize {
				to.n, to, n = n, to.next, 0
			}
			to.items[n] = v
			n, place = n+1, place+1
			b.cfg.Place(v, place)
			if len(free) > 0 && free[0] == was {
				free[0], free = place, free[1:]
			}
		}
	}
	last := to
	for ; to != nil; to, n = to.next, 0 {
		clear(to.items[n:])
		to.n = n
	}
	if last != nil && last.n == chunkSize {
		last = last.next
	}
	b.setLastLocked(last)
	b.mu.pushed = place
	b.mu.dead = slices.DeleteFunc(b.mu.dead, func(p uint64) bool { return p > b.mu.opened })
}

// placesLocked returns how many places of chunks are taken.
func (b *Buffer[T, K]) placesLocked(site Site) int {
	gone := site.Begun() + b.mu.evicted + b.mu.replaced + b.mu.removed
	return int(b.mu.accepted-gone) - b.deferredLocked()
}

// weightlessLocked returns how many places are taken by withdrawn items, and by free
// ones.
func (b *Buffer[T, K]) weightlessLocked(site Site) (dead, free int) {
	passed := site.Begun() + b.mu.evicted + b.mu.removedHere
	isPassed := func(place uint64) bool { return place <= passed }
	b.mu.dead = slices.DeleteFunc(b.mu.dead, isPassed)
	b.mu.free = slices.DeleteFunc(b.mu.free, isPassed)
	return len(b.mu.dead), len(b.mu.free)
}

// roomLocked returns how many more items fit. Places of withdrawn and of free items
// count as room.
func (b *Buffer[T, K]) roomLocked() int {
	site := b.cursor.Site()
	room := b.cfg.Capacity - b.placesLocked(site)
	if len(b.mu.dead)+len(b.mu.free) > 0 {
		dead, free := b.weightlessLocked(site)
		room += dead + free
	}
	return room
}
