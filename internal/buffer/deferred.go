package buffer

import (
	"slices"
	"sort"
)

// The list of deferred items is written under mu by those who admit, one at a time.
// So they may read it without mu: Deferred, FirstTicket and Between are for them.

// Defer accepts v without room; it may replace an item as in Push. ticket says when it came, and so which deferred
// items are ahead of it. A free item counts towards no bound.
func (b *Buffer[T, K]) Defer(v *T, ticket uint64, free bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replaceLocked(v) {
		return
	}
	b.mu.accepted++
	b.registerLocked(v)
	b.compactLocked()
	i := len(b.mu.deferred)
	for i > b.mu.gone && b.mu.deferred[i-1].ticket > ticket {
		i--
	}
	b.mu.deferred = slices.Insert(b.mu.deferred, i, deferred[T]{ticket, free, *v})
	b.cfg.Place(*v, 0) // none yet
	b.mu.limit = 0     // Reserve looks how full the buffer is again
	if free {
		b.mu.freeLater++
	}
}

// compactLocked moves the deferred items to the front once half of the list is
// gone, so that a list that is never empty stays bounded.
func (b *Buffer[T, K]) compactLocked() {
	if len(b.mu.deferred) == cap(b.mu.deferred) && b.mu.gone > len(b.mu.deferred)/2 {
		n := copy(b.mu.deferred, b.mu.deferred[b.mu.gone:])
		clear(b.mu.deferred[n:])
		b.mu.deferred, b.mu.gone = b.mu.deferred[:n], 0
	}
}

// Deferred returns how many items are deferred, and how many of them count
// towards a bound.
func (b *Buffer[T, K]) Deferred() (n, bound int) {
	n = b.deferredLocked()
	return n, n - b.mu.freeLater
}

func (b *Buffer[T, K]) deferredLocked() int { return len(b.mu.deferred) - b.mu.gone }

// FirstTicket returns the ticket of the first deferred item, if there is one.
func (b *Buffer[T, K]) FirstTicket() (ticket uint64, ok bool) {
	if b.deferredLocked() == 0 {
		return 0, false
	}
	return b.mu.deferred[b.mu.gone].ticket, true
}

// Between reports whether an item is deferred whose ticket lies between two.
func (b *Buffer[T, K]) Between(low, high uint64) bool {
	later := b.mu.deferred[b.mu.gone:]
	i := sort.Search(len(later), func(i int) bool { return later[i].ticket > low })
	return i < len(later) && later[i].ticket < high
}

// PromoteFirst moves the first deferred item into a chunk if there is room, and
// reports whether it did.
func (b *Buffer[T, K]) PromoteFirst() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deferredLocked() == 0 || b.roomLocked() < 1 {
		return false
	}
	d := &b.mu.deferred[b.mu.gone]
	if d.free {
		b.mu.freeLater--
	}
	v := d.item
	*d = deferred[T]{}
	b.mu.gone++
	if b.mu.gone == len(b.mu.deferred) {
		b.mu.deferred, b.mu.gone = b.mu.deferred[:0], 0
	}
	b.pushLocked(&v)
	b.raiseLocked()
	b.mu.limit = 0
	return true
}

// Withdraw takes back an item, if revoke says so: it is called under the lock, and
// returns the place that the item has in a chunk. The item is dead from then on, and
// none with its key takes its place. A deferred one leaves at once; one in a chunk
// gives its room back and leaves when its turn comes. One that is begun by then is the
// consumer's to bury.
func (b *Buffer[T, K]) Withdraw(key K, is func(T) bool, revoke func() (place uint64, ok bool)) (withdrawn bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	place, ok := revoke()
	if !ok {
		return false
	}
	b.mu.withdrawn++
	b.forgetLocked(key, is)
	if i := slices.IndexFunc(b.mu.deferred[b.mu.gone:], func(d deferred[T]) bool { return is(d.item) }); i >= 0 {
		b.removeLocked(b.mu.gone + i)
		return true
	}
	b.mu.free = slices.DeleteFunc(b.mu.free, func(p uint64) bool { return p == place })
	b.mu.dead = append(b.mu.dead, place)
	if len(b.mu.dead) >= b.cfg.Capacity {
		b.sweepLocked()
	}
	return true
}

// removeLocked takes the deferred item at i out, which was withdrawn.
func (b *Buffer[T, K]) removeLocked(i int) {
	if b.mu.deferred[i].free {
		b.mu.freeLater--
	}
	b.mu.deferred = slices.Delete(b.mu.deferred, i, i+1)
	b.mu.removed++
}

// Unload takes out all items that are not begun, in order, and returns those that are
// not withdrawn. Nothing may be accepted any more, and the consumer must be held or
// gone. What is returned stays in the accounts: it is what is left.
func (b *Buffer[T, K]) Unload() (left []T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteFilledLocked()
	take := func(waiting []T) {
		for _, v := range waiting {
			if b.keepLocked(v) {
				left = append(left, v)
			}
		}
		clear(waiting)
	}
	if b.open != nil {
		take(b.open.items[b.nextLocked():b.end])
	}
	for c := b.mu.head; c != nil; c = c.next {
		take(c.items[:c.n])
	}
	b.mu.head, b.mu.tail = nil, nil
	b.setLastLocked(nil)
	for _, d := range b.mu.deferred[b.mu.gone:] {
		if b.keepLocked(d.item) {
			left = append(left, d.item)
		}
	}
	b.mu.deferred, b.mu.gone, b.mu.freeLater, b.mu.dead, b.mu.free = nil, 0, 0, nil, nil
	clear(b.mu.keys)
	return left
}

// keepLocked reports whether v, which is unloaded, is not withdrawn by then.
func (b *Buffer[T, K]) keepLocked(v T) bool {
	if !b.cfg.Dead(v) {
		if !b.cfg.Unload(v) {
			return true
		}
		b.mu.withdrawn++
	}
	b.mu.removed++
	return false
}

// nextLocked returns where the next item is in the open chunk. A consumer that
// has begun an item may not have taken it out, so at may lag behind.
func (b *Buffer[T, K]) nextLocked() int {
	if b.cfg.Evicts {
		return b.at
	}
	return int(b.cursor.Site().Begun() - b.open.first)
}
