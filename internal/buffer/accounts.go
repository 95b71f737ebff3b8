package buffer

// accounts count items. They are guarded by mu.
type accounts struct {
	accepted  uint64
	evicted   uint64
	replaced  uint64
	withdrawn uint64 // by Withdraw
	removed   uint64 // withdrawn ones that have left without being begun
	buried    uint64 // withdrawn ones that were begun
	dead      int    // withdrawn ones that are still in chunks; less than 0 for a moment if the consumer is faster
	free      int    // deferred ones that count towards no bound
	highWater int
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
	Deferred  int    // items beyond them
	HighWater int    // the highest Depth so far
}

// Counts returns the accounts.
func (b *Buffer[T, K]) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	site := b.cursor.Site()
	return Counts{
		Accepted: b.mu.accepted, Begun: site.Begun(), Ended: site.Ended() - b.mu.buried,
		Evicted: b.mu.evicted, Replaced: b.mu.replaced, Withdrawn: b.mu.withdrawn,
		Depth: b.placesLocked(site) - b.mu.dead, Deferred: b.deferredLocked(), HighWater: b.mu.highWater,
	}
}

// Gone returns how many items are done with, in whatever way, at most.
func (b *Buffer[T, K]) Gone() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cursor.Site().Ended() + b.mu.evicted + b.mu.replaced + b.mu.removed + uint64(max(0, b.mu.dead))
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

// placesLocked returns how many places of chunks are taken.
func (b *Buffer[T, K]) placesLocked(site Site) int {
	gone := site.Begun() + b.mu.evicted + b.mu.replaced + b.mu.removed
	return int(b.mu.accepted-gone) - b.deferredLocked()
}

// roomLocked counts as room what dead items take, up to the capacity: the channel
// has room for as many chunks again.
func (b *Buffer[T, K]) roomLocked() int {
	dead := min(max(0, b.mu.dead), b.cfg.Capacity)
	return b.cfg.Capacity - b.placesLocked(b.cursor.Site()) + dead
}
