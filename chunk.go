package eventbus

// chunkSize is how many events a chunk has room for: enough to make the channel
// cost little, few enough for a queue of 50 to need no more memory than it would
// in single events.
const chunkSize = 32

// A chunk is what travels through a queue's channel: events in the order in
// which they were accepted. Publishers and processor meet at the channel once a
// chunk and not once an event. The last chunk in the channel takes further
// events until it is full or the processor opens it, so that an event never
// waits for others to fill a chunk.
type chunk struct {
	n      int    // how many events are in it; guarded by queue.mu until it is open
	next   *chunk // among the empty ones; guarded by queue.mu
	events [chunkSize]Event
}

// accept accepts e if the queue's state is s and there is room, and reports
// whether it did. It is all that a publish needs that finds room.
func (q *queue) accept(e *Event, s uint32) bool {
	q.mu.Lock()
	ok := q.state.Load() == s && (q.accepted < q.limit || q.extendLocked())
	if ok {
		q.accepted++
		q.pushLocked(e)
	}
	q.mu.Unlock()
	return ok
}

// extendLocked looks, while nothing is in line, how full the queue is, and reports
// whether one more event may be accepted. If so, publishers need not look again
// before the queue might be fuller than it ever was: to look each time would cost
// them a cache miss an event.
func (q *queue) extendLocked() bool {
	gone := q.goneLocked()
	depth := int(q.accepted - gone)
	if depth >= q.cfg.Capacity {
		return false
	}
	q.raiseLocked(depth + 1)
	q.limit = gone + uint64(q.highWater)
	return true
}

// raiseLocked notes that the queue holds depth events.
func (q *queue) raiseLocked(depth int) { q.highWater = max(q.highWater, depth) }

// goneLocked returns how many of the accepted events have left the queue.
func (q *queue) goneLocked() uint64 {
	taken := q.taken
	if !q.evicts {
		taken = q.mark().begun()
	}
	return taken + q.evicted.Load() + q.conflated.Load()
}

// insert puts e into the last chunk if there is room, and counts it as n accepted
// events: 1, or 0 if it is accepted already and in line. Only for those who hold
// lineMu, and so have seen that the queue is open.
func (q *queue) insert(e Event, n uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.roomLocked()
	if room < 1 {
		return false
	}
	q.accepted += n
	q.pushLocked(&e)
	q.raiseLocked(q.cfg.Capacity - room + 1)
	return true
}

// room returns how many more events the queue has room for. Only for those who
// hold lineMu.
func (q *queue) room() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.roomLocked()
}

func (q *queue) roomLocked() int {
	return q.cfg.Capacity + q.line.accepted() - int(q.accepted-q.goneLocked())
}

// pushLocked puts e into the last chunk.
func (q *queue) pushLocked(e *Event) {
	c := q.lastLocked()
	c.events[c.n] = *e
	q.grownLocked(c, 1)
}

// lastLocked returns the last chunk, which is not full.
func (q *queue) lastLocked() *chunk {
	if q.last == nil {
		q.last = q.emptyChunkLocked()
	}
	return q.last
}

// grownLocked counts n events that were put into c. A chunk is sent with its
// first ones, which does not wait: all chunks in the channel but the last are
// full, and so no more than the channel is made for.
func (q *queue) grownLocked(c *chunk, n int) {
	c.n += n
	if c.n == n {
		q.ch <- c
		if q.evicts {
			q.ring()
		}
	}
	if c.n == chunkSize {
		q.last = nil
	}
}

// makeChunks makes the channel and what travels through it: as many chunks as
// the events fill that fit into the queue, one that is not full, and one that
// the processor has emptied and not given back. Those that are never needed are
// never touched, and so cost nothing.
func (q *queue) makeChunks() {
	full := (q.cfg.Capacity - 1) / chunkSize
	q.ch = make(chan *chunk, full+1)
	q.unused = make([]chunk, full+2)
}

func (q *queue) emptyChunkLocked() *chunk {
	if c := q.spare; c != nil {
		q.spare = c.next
		return c
	}
	c := &q.unused[0]
	q.unused = q.unused[1:]
	return c
}

// ring tells a processor that waits for the bell to look.
func (q *queue) ring() {
	select {
	case q.bell <- nil:
	default:
	}
}

// door is what the processor waits at for q. In a queue that evicts, publishers
// take chunks out of the channel too, and the oldest must be known to them; so
// the processor does not take one before it holds mu.
func (q *queue) door() <-chan *chunk {
	if q.evicts {
		return q.bell
	}
	return q.ch
}

// openChunk makes c, which was taken out of the channel, the open chunk: its events
// are the processor's, and it takes no further ones.
func (q *queue) openChunk(c *chunk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.openChunkLocked(c)
}

func (q *queue) openChunkLocked(c *chunk) {
	if q.last == c {
		q.last = nil
	}
	q.chunk, q.at = c, 0
	for used := q.used; used != nil; used = q.used {
		q.used, used.next, q.spare = used.next, q.spare, used
	}
}

// openNext opens the next chunk, if there is one.
func (q *queue) openNext() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.openNextLocked()
}

func (q *queue) openNextLocked() bool {
	select {
	case c := <-q.ch:
		q.openChunkLocked(c)
		return true
	default:
		return false
	}
}

// shift takes the next event out of the open chunk, into e.
func (q *queue) shift(e *Event) {
	c := q.chunk
	*e = c.events[q.at]
	c.events[q.at] = Event{} // what the event holds is its own from now on
	q.at++
	if q.at == c.n {
		q.setAside(c)
	}
}

// setAside puts the open chunk aside, whose last event was taken, until mu is held
// anyway.
func (q *queue) setAside(c *chunk) {
	c.n, c.next = 0, q.used
	q.chunk, q.used = nil, c
}

// evictOldest takes the event out that has waited longest, if there is one.
func (q *queue) evictOldest() (e Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.chunk == nil && !q.openNextLocked() {
		return Event{}, false
	}
	q.evicted.Add(1)
	q.shift(&e)
	return e, true
}

// hasEvents reports whether there are events in the channel or the open chunk. Only
// for the processor.
func (q *queue) hasEvents() bool {
	if q.evicts {
		q.mu.Lock()
		defer q.mu.Unlock()
	}
	return q.chunk != nil || len(q.ch) > 0
}

// depth returns how many events wait in the channel and the open chunk.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := int(q.accepted-q.goneLocked()) - int(q.deferred.Load()) - int(q.leftover.Load())
	return min(max(0, n), q.cfg.Capacity) // deferred is written a moment after the line has changed
}

// highest returns what the highest depth has been.
func (q *queue) highest() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.highWater
}

// countReplaced counts an event as accepted that replaces another: at once, since
// it takes no room.
func (q *queue) countReplaced() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.accepted++
	q.conflated.Add(1)
}

// count counts n more events as accepted, which are in line.
func (q *queue) count(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.accepted += uint64(n)
}

// acceptedSoFar returns how many events have been accepted.
func (q *queue) acceptedSoFar() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.accepted
}
