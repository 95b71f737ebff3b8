package buffer

import "sync/atomic"

// A Site is where the consumer is: how many items it has begun, and whether it is
// busy with the last of them. It changes whenever the consumer begins or ends.
type Site uint64

const (
	busy      Site = 1 << iota // with the item that was begun last
	held                       // the consumer begins no further item until it has released the hold
	siteShift = 2
	one       = Site(1) << siteShift
)

// Begun returns how many items the consumer has begun.
func (s Site) Begun() uint64 { return uint64(s >> siteShift) }

// Busy reports whether the consumer is busy with the last item.
func (s Site) Busy() bool { return s&busy != 0 }

// A Cursor is the word that consumer and holders share. The consumer alone moves
// it, by compare-and-swap; a holder sets one bit. So a holder knows exactly what
// had begun when it held.
type Cursor struct {
	word atomic.Uint64
	own  Site // what the consumer has written last, without the held bit; the consumer's
}

// Site returns where the consumer is.
func (c *Cursor) Site() Site { return Site(c.word.Load()) &^ held }

// begin moves to the next item, unless somebody holds.
func (c *Cursor) begin() bool {
	next := c.own&^busy + one | busy
	if !c.word.CompareAndSwap(uint64(c.own), uint64(next)) {
		return false
	}
	c.own = next
	return true
}

// end leaves the item that was begun last.
func (c *Cursor) end() {
	c.own &^= busy
	c.word.And(^uint64(busy))
}

// Site returns where the consumer is.
func (b *Buffer[T, K]) Site() Site { return b.cursor.Site() }

// Busy reports whether the consumer is busy with the item that it has begun last.
// Only for the consumer.
func (b *Buffer[T, K]) Busy() bool { return b.cursor.own.Busy() }

// Begun returns how many items have been begun. Only for the consumer.
func (b *Buffer[T, K]) Begun() uint64 { return b.cursor.own.Begun() }

// Ended returns how many items the consumer is done with, as Counts does. Only for the
// consumer.
func (b *Buffer[T, K]) Ended() uint64 { return b.endedAt(b.cursor.own) }

// Hold keeps the consumer from beginning another item, and returns where it is. The
// caller sets its request before it holds: see Release.
func (b *Buffer[T, K]) Hold() Site { return Site(b.cursor.word.Or(uint64(held))) &^ held }

// Held reports whether somebody holds. Only for the consumer.
func (b *Buffer[T, K]) Held() bool { return b.cursor.word.Load()&uint64(held) != 0 }

// Release takes the hold off. Only the consumer calls it, and reads the requests after
// it: a request that comes later comes with a hold of its own.
func (b *Buffer[T, K]) Release() {
	if b.Held() {
		b.cursor.word.And(^uint64(held))
	}
}

// Begin takes the next item out into v, and counts it as begun, unless there is
// none or somebody holds. Only for the consumer.
func (b *Buffer[T, K]) Begin(v *T) bool {
	if b.cfg.Evicts {
		return b.beginEvicting(v)
	}
	if b.at == b.end && !b.openNext() || !b.cursor.begin() {
		return false
	}
	b.shift(v)
	if b.open.keyed {
		b.release(v)
	}
	return true
}

// beginEvicting is Begin for a buffer whose producers evict: the item must be the
// consumer's or theirs.
func (b *Buffer[T, K]) beginEvicting(v *T) bool {
	stamp, fresh, begun := b.beginLocked(v)
	if fresh {
		b.tellOpened(stamp, b.Begun()-1)
	}
	return begun
}

// beginLocked begins the next item under mu. It reports whether that is the first which the
// consumer takes out of its chunk, and the chunk's stamp.
func (b *Buffer[T, K]) beginLocked(v *T) (stamp int64, fresh, begun bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == b.end && !b.openNextLocked() || !b.cursor.begin() {
		return 0, false, false
	}
	stamp, fresh, b.open.used = b.open.stamp, !b.open.used, true
	b.shift(v)
	b.releaseLocked(v)
	return stamp, fresh, true
}

// tellOpened tells that the consumer has opened a chunk, after so many items.
func (b *Buffer[T, K]) tellOpened(stamp int64, begun uint64) {
	if b.cfg.Opened != nil {
		b.cfg.Opened(stamp, begun)
	}
}

func (b *Buffer[T, K]) release(v *T) {
	if b.hasKey(v) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.releaseLocked(v)
	}
}

// shift takes the next item out of the open chunk.
func (b *Buffer[T, K]) shift(v *T) {
	var zero T
	place := &b.open.items[b.at]
	*v = *place
	*place = zero // what the item holds is its own from now on
	b.at++
}

// End says that the consumer is done with the item that it has begun last. A
// consumer that begins another one at once need not say so.
func (b *Buffer[T, K]) End() { b.cursor.end() }

// Bury counts the item at hand as one that was withdrawn.
func (b *Buffer[T, K]) Bury() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.buried++
	b.mu.buriedAt = b.cursor.own.Begun()
}

// Rest makes ready what the next item needs: a consumer calls it that has begun all that
// it has opened, before it waits at the door. The item finds the open chunk empty, and
// need not look how full the buffer is; so there is less to do until the consumer has it.
func (b *Buffer[T, K]) Rest() {
	if b.cfg.Evicts {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.open; c != nil && b.at == b.end && b.mu.last == nil {
		c.reset()
		b.open = nil
		b.setLastLocked(c)
	}
	depth := b.cfg.Capacity - b.roomLocked()
	b.mu.limit = b.mu.accepted + uint64(max(0, b.mu.highWater-depth))
}

// Door is where the consumer waits for items, and for a bell. What comes out of it is
// given to Take.
func (b *Buffer[T, K]) Door() <-chan *Chunk[T] { return b.ch }

// Take notes what came out of the door, and reports whether it was a chunk, and no bell.
func (b *Buffer[T, K]) Take(c *Chunk[T]) bool {
	if c == nil {
		b.takeBell()
		return false
	}
	b.taken++
	return true
}

// takeBell notes that the bell came out of the channel. What is told with another one from
// now on, the consumer is woken for.
func (b *Buffer[T, K]) takeBell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.rung = false
}

// Ring wakes a consumer that waits at the door. One that does not may miss the bell: it
// looks at what it is told before it waits.
func (b *Buffer[T, K]) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ringLocked()
}

// Ready reports whether an item waits in a chunk. Only for the consumer.
func (b *Buffer[T, K]) Ready() bool {
	if b.cfg.Evicts {
		return b.isReadyEvicting()
	}
	return b.at < b.end || (b.taken > 0 || len(b.ch) > 0) && b.hasNext()
}

// hasNext reports whether there is a chunk to open.
func (b *Buffer[T, K]) hasNext() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.head != nil
}

func (b *Buffer[T, K]) isReadyEvicting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at < b.end || b.mu.head != nil
}

func (b *Buffer[T, K]) openNext() bool {
	b.mu.Lock()
	ok := b.openNextLocked()
	b.mu.Unlock()
	if ok {
		b.tellOpened(b.open.stamp, b.Begun())
	}
	return ok
}

// openNextLocked opens the next chunk, the head of the list, if there is one: its items
// are the consumer's, and it takes no further ones.
func (b *Buffer[T, K]) openNextLocked() bool {
	c := b.mu.head
	if c == nil {
		return false
	}
	if b.taken > 0 {
		b.taken--
	} else if !b.cfg.Evicts {
		b.receiveLocked()
	}
	b.mu.head = c.next
	if b.mu.last == c {
		b.noteFilledLocked()
		b.setLastLocked(c.next) // an empty one, after sweepLocked
	}
	if old := b.open; old != nil {
		old.reset()
		old.next, b.mu.spare = b.mu.spare, old
	}
	b.open, b.at, b.end, c.used, c.first = c, 0, c.n, false, b.cursor.Site().Begun()
	b.mu.opened += uint64(c.n)
	return c.n > 0
}

// receiveLocked receives a chunk, which is there.
func (b *Buffer[T, K]) receiveLocked() {
	for <-b.ch == nil {
		b.mu.rung = false
	}
}

// reset makes c an empty chunk.
func (c *Chunk[T]) reset() { c.n, c.sent, c.keyed = 0, false, false }
