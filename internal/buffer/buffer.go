// Package buffer holds what a queue has accepted and its consumer has not begun:
// chunks of items behind a channel, and items that are deferred until there is
// room. It knows nothing of what an item is, of rules, or of goroutines.
//
// Invariants:
//
//   - An item is in a chunk or deferred from the moment it is accepted until it is
//     begun, evicted, replaced or withdrawn.
//   - The accounts balance under mu: accepted = begun + evicted + replaced +
//     removed + what is in chunks and deferred.
//   - Places in chunks are numbered, and are passed in that order: an item is begun,
//     or has left otherwise, if and only if its place is at most passed.
//   - What becomes of an item is decided where it is counted, under mu: nothing leaves
//     the accounts twice.
//   - For each chunk of the list from head on, the channel holds it, in the same order, or
//     the consumer has taken it out: what comes out says that there is a chunk, and the
//     list says which. All but the last are full, and there is one bell at most, so that
//     to send never waits. Where producers evict, the channel holds the bell alone. After
//     Unload there is no list, and what is in the channel means nothing.
//   - The items of the open chunk are the consumer's. Nobody else reads or writes
//     them, but for a producer that evicts, under mu, and Unload, once the
//     consumer is held.
package buffer

import (
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/lockrank"
)

// chunkSize is how many items a chunk has room for: enough to make the channel
// cost little, few enough for a queue of 50 to need no more memory than it would
// in single items. 16 and 64 made no clear difference.
const chunkSize = 32

// A Chunk is what travels through the channel: items in the order in which they
// were accepted. Producers and consumer meet at the channel once a chunk and not
// once an item. The last chunk takes further items until it is full or open, so
// that an item never waits for others to fill a chunk.
type Chunk[T any] struct {
	n     int       // how many items are in it; guarded by mu, and fixed once it is open; see filled
	first uint64    // how many items were begun when it was opened; guarded by mu
	sent  bool      // it is in the list; guarded by mu
	stamp int64     // when its first item was put in, 0 if it has no stamp; guarded by mu
	keyed bool      // items in it may have a key; guarded by mu, and fixed once it is open
	used  bool      // the consumer has taken an item out of it; guarded by mu, and kept with Evicts alone
	next  *Chunk[T] // in the list, or among the spare ones; guarded by mu
	_     cacheLine
	items [chunkSize]T
}

// A Config describes a buffer.
type Config[T any, K comparable] struct {
	Capacity int  // how many items fit, those that are deferred apart
	Evicts   bool // producers take the oldest items out

	// Hooks, called under the buffer's lock, Key also without: three questions about an item, and four
	// events in its life. Items are passed by value: a pointer would make them escape.
	Key     func(T) K               // the key of an item, the zero K if it has none
	Same    func(a, b T) bool       // whether two items with the same key are one
	Place   func(v T, place uint64) // v has got a place in a chunk; see Withdraw
	Replace func(waiting, v T)      // the place of the item that waits with v's key is v's now
	Evict   func(T)                 // an item was evicted
	Dead    func(T) bool            // whether an item was withdrawn
	Unload  func(T) (taken bool)    // an item is unloaded; whether it was withdrawn with that

	// Every second chunk is stamped with its first item, and Opened is told when the
	// consumer opens it. Both are nil if nobody wants to know how long items wait.
	Stamp  func() int64                    // now; not 0
	Opened func(stamp int64, begun uint64) // a chunk, 0 if it has no stamp, after so many items; on the consumer's goroutine, without a lock
}

// A Buffer is what a queue has accepted. All methods may be called concurrently,
// but for those of the consumer, which is one goroutine at a time.
type Buffer[T any, K comparable] struct {
	// Gate is zero while Reserve, Add and AddAll may accept. Its bits belong to those who admit.
	Gate atomic.Uint32

	conflates atomic.Bool // some items have had a key; for good, written under mu

	ch  chan *Chunk[T]
	cfg Config[T, K]

	_ [16 + lineSize]byte // what producers write, from the beginning of a line on: Go puts 8 bytes before a Buffer

	mu struct {
		lockrank.Mutex

		// What Reserve needs stands on one cache line with the lock.
		accepted uint64 // items, replacing ones too
		limit    uint64 // with as many accepted, look how full the buffer is: see extendLocked
		chunks[T]

		rung   bool   // a bell is in the channel
		stamps uint64 // how many chunks could have been stamped
		pushed uint64 // the last place that was given out; may lag behind as n does
		opened uint64 // the last place of the open chunk
		gone   int    // how many of deferred are there no more
		accounts
		deferred []deferred[T]
		dead     []uint64   // the places of withdrawn items; those that were passed are purged
		free     []uint64   // the places of free items, likewise
		unused   []Chunk[T] // those that nobody has needed yet

		keys map[K]T // the item that waits with each key
	}

	_ cacheLine // what the consumer writes

	cursor Cursor
	open   *Chunk[T] // the consumer's, nil once it has given it back; replaced under mu
	at     int       // of its items, the next one; with Evicts guarded by mu
	end    int       // how many of them there are; replaced under mu
	taken  int       // how many chunks came out of the door and are not opened

	_ cacheLine
}

// chunks are the list of those that are sent and not open, and what grows it.
type chunks[T any] struct {
	last   *Chunk[T] // the youngest, if it is not full
	filled int       // how many items are in last, whose n may lag behind: see noteFilledLocked
	head   *Chunk[T] // the oldest that is not open; nil if there is none
	tail   *Chunk[T] // the youngest
	spare  *Chunk[T] // empty ones
}

// A cacheLine keeps fields apart that different goroutines write. It has 128 bytes,
// since amd64 fetches lines in pairs and some arm64 lines are that long.
type cacheLine [lineSize]byte

const lineSize = 128

// A deferred is an item that is accepted beyond the capacity. Its ticket is its place
// among the deferred items and the waits of the admission.
type deferred[T any] struct {
	ticket uint64
	free   bool // it counts towards no bound
	item   T
}

// New returns an empty buffer.
func New[T any, K comparable](cfg Config[T, K]) *Buffer[T, K] {
	b := &Buffer[T, K]{cfg: cfg}
	b.mu.SetRank(lockrank.Buffer)
	b.mu.keys = make(map[K]T)
	b.makeChunks()
	return b
}

// makeChunks makes the channel and what travels through it: as many chunks as the
// items fill that fit, one that is not full, and one that is open. Those that are never
// needed are never touched, and so cost nothing. Withdrawn items may take as many places
// again; their chunks are made when needed. So the channel has room for twice the chunks
// that are full, for one that is not and one that withdrawn items begin, and for a bell.
func (b *Buffer[T, K]) makeChunks() {
	full := (b.cfg.Capacity - 1) / chunkSize
	b.mu.unused = make([]Chunk[T], full+2)
	if b.cfg.Evicts {
		b.ch = make(chan *Chunk[T], 1)
		return
	}
	b.ch = make(chan *Chunk[T], 2*full+3)
}

// Reserve returns the place of the next item, which must have no key, with the lock
// held, or nil if the gate is shut or there is no room. The place is empty: whoever gets
// it writes the item there, and calls Commit at once. It is all that a publish needs
// that finds room.
func (b *Buffer[T, K]) Reserve() *T {
	if !b.mu.TryLock() {
		b.lock()
	}
	if b.Gate.Load() != 0 || b.mu.accepted >= b.mu.limit && !b.extendLocked() {
		b.mu.Unlock()
		return nil
	}
	b.mu.accepted++
	n, c := b.mu.filled, b.mu.last
	if b.cfg.Evicts || n == chunkSize-1 || c == nil || n == 0 && (c.sent || b.cfg.Stamp != nil) {
		return b.growLocked()
	}
	b.mu.filled = n + 1
	if n == 0 { // what Rest has made ready is sent here, without a call that costs an idle bus more than its work
		b.linkLocked(c)
		b.ch <- c
	}
	return &c.items[n]
}

// Commit says that the item is in the place that Reserve has returned.
func (b *Buffer[T, K]) Commit() { b.mu.Unlock() }

// lockTries is how often a publish that finds the lock taken looks again before it
// waits as sync.Mutex does, which spins for a microsecond at a time: the lock is held for
// some ten nanoseconds. Four publishers were a quarter slower without, and 4, 16 and 64
// tries no better than 32.
const lockTries = 32

// lock locks mu for a publish that may find room.
func (b *Buffer[T, K]) lock() {
	for range lockTries {
		if b.mu.TryLock() {
			return
		}
	}
	b.mu.Lock()
}

// growLocked is Reserve for the last item of a chunk, and for the first of one that Rest has
// not made ready.
func (b *Buffer[T, K]) growLocked() *T {
	place := &b.lastLocked().items[b.mu.filled]
	b.grownLocked(1)
	return place
}

// extendLocked looks how full the buffer is and reports whether one more item
// fits. If so, producers need not look again before the buffer might be fuller
// than it ever was: to look each time would cost them a cache miss an item.
func (b *Buffer[T, K]) extendLocked() bool {
	room := b.roomLocked()
	if room < 1 {
		return false
	}
	depth := b.cfg.Capacity - room
	b.mu.highWater = max(b.mu.highWater, depth+1)
	b.mu.limit = b.mu.accepted + uint64(b.mu.highWater-depth)
	return true
}

// lastLocked returns the last chunk, which is not full. It has room from the filled-th
// item on.
func (b *Buffer[T, K]) lastLocked() *Chunk[T] {
	if b.mu.last == nil {
		b.setLastLocked(b.emptyChunkLocked())
	}
	return b.mu.last
}

// noteFilledLocked brings the last chunk's n, and what depends on it, up to date. What is
// put into that chunk is counted beside the lock: so an item that finds room touches no
// cache line but that of the lock and its own. Whoever looks at a chunk's n or at pushed
// calls noteFilledLocked before.
func (b *Buffer[T, K]) noteFilledLocked() {
	if c := b.mu.last; c != nil {
		b.mu.pushed += uint64(b.mu.filled - c.n)
		c.n = b.mu.filled
	}
}

func (b *Buffer[T, K]) setLastLocked(c *Chunk[T]) {
	b.mu.last, b.mu.filled = c, 0
	if c != nil {
		b.mu.filled = c.n
	}
}

func (b *Buffer[T, K]) emptyChunkLocked() *Chunk[T] {
	if c := b.mu.spare; c != nil {
		b.mu.spare = c.next
		return c
	}
	if len(b.mu.unused) == 0 {
		return new(Chunk[T])
	}
	c := &b.mu.unused[0]
	b.mu.unused = b.mu.unused[1:]
	return c
}

// grownLocked counts n items that were put into the last chunk, or are before the lock is
// released. A chunk is sent with its first items.
func (b *Buffer[T, K]) grownLocked(n int) {
	c := b.mu.last
	b.mu.filled += n
	if !c.sent {
		b.sendLocked(c)
	}
	if b.mu.filled == chunkSize {
		b.noteFilledLocked()
		b.setLastLocked(c.next) // an empty one, after sweepLocked
	}
}

// sendLocked sends c. That does not wait: the channel has room for all chunks that are
// full, for one more, and for a bell. Where producers evict, they open chunks too, under
// the lock: the channel carries bells alone.
func (b *Buffer[T, K]) sendLocked(c *Chunk[T]) {
	b.linkLocked(c)
	if b.cfg.Stamp != nil {
		b.stampLocked(c)
	}
	if b.cfg.Evicts {
		b.ringLocked()
		return
	}
	b.ch <- c
}

// stampLocked stamps every second chunk: to read the clock for each would cost an item
// twice as much.
func (b *Buffer[T, K]) stampLocked(c *Chunk[T]) {
	c.stamp = 0
	if b.mu.stamps++; b.mu.stamps%2 == 0 {
		c.stamp = b.cfg.Stamp()
	}
}

func (b *Buffer[T, K]) linkLocked(c *Chunk[T]) {
	c.next, c.sent = nil, true
	if b.mu.head == nil {
		b.mu.head = c
	} else {
		b.mu.tail.next = c
	}
	b.mu.tail = c
}

// ringLocked sends a bell, nil, if none is on its way.
func (b *Buffer[T, K]) ringLocked() {
	if !b.mu.rung {
		b.mu.rung = true
		b.ch <- nil
	}
}

// Add accepts v if the gate is open and there is room, or if an item waits with its
// key, and reports whether it did.
func (b *Buffer[T, K]) Add(v *T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Gate.Load() == 0 && b.addLocked(v)
}

// AddAll accepts n items, which fill writes into their places, if the gate is
// open and there is room for all of them. They must have no key.
func (b *Buffer[T, K]) AddAll(n int, fill func(i int, place *T)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Gate.Load() != 0 || b.roomLocked() < n {
		return false
	}
	b.mu.accepted += uint64(n)
	for i := 0; i < n; {
		free := b.lastLocked().items[b.mu.filled:]
		m := min(n-i, len(free))
		for j := range m {
			fill(i+j, &free[j])
		}
		b.grownLocked(m)
		i += m
	}
	b.raiseLocked()
	return true
}

// addLocked lets v replace the item that waits with its key, or accepts it if there is
// room, and reports whether it did one of them.
func (b *Buffer[T, K]) addLocked(v *T) bool {
	return b.replaceLocked(v) || b.roomLocked() > 0 && b.acceptLocked(v) && b.raiseLocked()
}

// Push is Add whatever the gate. It and the methods below are for those who admit. Where
// they accept an item and one waits with its key by now, which came by way of Add, the item
// replaces that one: no two wait with one key.
func (b *Buffer[T, K]) Push(v *T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addLocked(v)
}

// Replace lets v replace the item that waits with its key, and reports whether
// there is one.
func (b *Buffer[T, K]) Replace(v *T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.replaceLocked(v)
}

// Waits reports whether an item waits with v's key.
func (b *Buffer[T, K]) Waits(v *T) bool {
	var none K
	key := b.cfg.Key(*v)
	if key == none {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.mu.keys[key]
	return ok
}

// PushFree accepts v, which takes nobody's room. Only for a buffer that evicts, whose
// list of chunks may be as long as it will.
func (b *Buffer[T, K]) PushFree(v *T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acceptLocked(v)
	b.mu.free = append(b.mu.free, b.mu.pushed)
}

// EvictFor accepts v, which may replace an item as in Push. Until there is room, it takes out
// the oldest items, which it appends to evicted. Only for a buffer that evicts.
func (b *Buffer[T, K]) EvictFor(v *T, evicted []T) []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replaceLocked(v) {
		return evicted
	}
	for b.roomLocked() < 1 {
		if old, alive := b.takeOldestLocked(); alive {
			evicted = append(evicted, old)
		}
	}
	b.acceptLocked(v)
	b.raiseLocked()
	return evicted
}

// takeOldestLocked takes out the oldest item, and reports whether it was not
// withdrawn. There is one.
func (b *Buffer[T, K]) takeOldestLocked() (old T, alive bool) {
	if b.at == b.end {
		b.openNextLocked()
	}
	b.shift(&old)
	b.releaseLocked(&old)
	if b.cfg.Dead(old) {
		b.mu.removed++
		b.mu.removedHere++
		return old, false
	}
	b.mu.evicted++
	b.cfg.Evict(old)
	return old, true
}

// raiseLocked raises the high-water mark to how full the buffer is. It returns true, so
// that a condition can end with it.
func (b *Buffer[T, K]) raiseLocked() bool {
	b.mu.highWater = max(b.mu.highWater, b.cfg.Capacity-b.roomLocked())
	return true
}

// acceptLocked accepts v, for which there is room. It is true.
func (b *Buffer[T, K]) acceptLocked(v *T) bool {
	b.mu.accepted++
	b.registerLocked(v)
	b.pushLocked(v)
	return true
}

// pushLocked puts v into the last chunk.
func (b *Buffer[T, K]) pushLocked(v *T) {
	c := b.lastLocked()
	c.items[b.mu.filled], c.keyed = *v, c.keyed || b.hasKey(v)
	b.grownLocked(1)
	b.noteFilledLocked()
	b.cfg.Place(*v, b.mu.pushed)
}

// registerLocked makes v the item that waits with its key, if it has one.
func (b *Buffer[T, K]) registerLocked(v *T) {
	if b.hasKey(v) {
		b.mu.keys[b.cfg.Key(*v)] = *v
	}
}

func (b *Buffer[T, K]) hasKey(v *T) bool {
	var none K
	return b.conflates.Load() && b.cfg.Key(*v) != none
}

// Conflate makes the buffer look at the keys of its items, from the first item
// on that has one.
func (b *Buffer[T, K]) Conflate() {
	if !b.conflates.Load() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.conflates.Store(true)
	}
}

func (b *Buffer[T, K]) replaceLocked(v *T) bool {
	var none K
	key := b.cfg.Key(*v)
	if key == none {
		return false
	}
	waiting, ok := b.mu.keys[key]
	if !ok {
		return false
	}
	b.cfg.Replace(waiting, *v)
	b.mu.accepted++
	b.mu.replaced++
	return true
}

// releaseLocked notes that v waits no more with its key.
func (b *Buffer[T, K]) releaseLocked(v *T) {
	if b.hasKey(v) {
		b.forgetLocked(b.cfg.Key(*v), func(o T) bool { return b.cfg.Same(o, *v) })
	}
}

// forgetLocked takes the item meant from the keys. If it was withdrawn, another may
// wait with its key by now.
func (b *Buffer[T, K]) forgetLocked(key K, meant func(T) bool) {
	if v, ok := b.mu.keys[key]; ok && meant(v) {
		delete(b.mu.keys, key)
	}
}
