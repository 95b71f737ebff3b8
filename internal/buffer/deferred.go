package buffer

import "slices"

// The list of deferred items is written under mu by those who admit, one at a time.
// So they may read it without mu: Deferred, FirstTicket and Between are for them.

// Defer accepts v without room. ticket says when it came, and so which deferred
// items are ahead of it. A free item counts towards no bound.
func (b *Buffer[T, K]) Defer(v *T, ticket uint64, free bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.accepted++
	b.registerLocked(v)
	b.compactLocked()
	i := len(b.mu.deferred)
	for i > b.mu.gone && b.mu.deferred[i-1].ticket > ticket {
		i--
	}
	b.mu.deferred = slices.Insert(b.mu.deferred, i, deferred[T]{ticket, free, *v})
	if free {
		b.mu.free++
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
	return n, n - b.mu.free
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
	for _, d := range b.mu.deferred[b.mu.gone:] {
		if d.ticket > low {
			return d.ticket < high
		}
	}
	return false
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
		b.mu.free--
	}
	v := d.item
	*d = deferred[T]{}
	b.mu.gone++
	if b.mu.gone == len(b.mu.deferred) {
		b.mu.deferred, b.mu.gone = b.mu.deferred[:0], 0
	}
	b.pushLocked(&v)
	b.raiseLocked()
	return true
}

// Withdraw takes back an accepted item, which is dead from now on and has the given
// key: no other may take its place. A deferred one leaves at once, one in a chunk
// gives its room back and leaves when its turn comes.
func (b *Buffer[T, K]) Withdraw(key K, is func(T) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.withdrawn++
	delete(b.mu.keys, key)
	for i := b.mu.gone; i < len(b.mu.deferred); i++ {
		if d := &b.mu.deferred[i]; is(d.item) {
			if d.free {
				b.mu.free--
			}
			copy(b.mu.deferred[i:], b.mu.deferred[i+1:])
			b.mu.deferred[len(b.mu.deferred)-1] = deferred[T]{}
			b.mu.deferred = b.mu.deferred[:len(b.mu.deferred)-1]
			b.mu.removed++
			return
		}
	}
	b.mu.dead++
}

// Unload takes out all items that are not begun, in order. Nothing may be accepted
// any more, and the consumer must be held or gone. The accounts stay: what was
// unloaded is what is left.
func (b *Buffer[T, K]) Unload() (items []T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	take := func(waiting []T) {
		items = append(items, waiting...)
		clear(waiting)
	}
	take(b.open.items[b.nextLocked():b.open.n])
	for c := b.mu.head; c != nil; c = c.next {
		take(c.items[:c.n])
		c.n = 0 // whoever has received it opens an empty chunk
	}
	b.mu.head, b.mu.last, b.mu.tail = nil, nil, nil
	for _, d := range b.mu.deferred[b.mu.gone:] {
		items = append(items, d.item)
	}
	b.mu.deferred, b.mu.gone, b.mu.free = nil, 0, 0
	clear(b.mu.keys)
	return items
}

// nextLocked returns where the next item is in the open chunk. A consumer that
// has begun an item may not have taken it out, so at may lag behind.
func (b *Buffer[T, K]) nextLocked() int {
	if b.cfg.Evicts {
		return b.at
	}
	return int(b.cursor.Site().Begun() - b.open.first)
}
