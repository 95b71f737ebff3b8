package journal

import (
	"sync"

	"github.com/eventbus-go/eventbus"
)

// An item is an event on its way to the writer, as the tap was called with it.
type item struct {
	event eventbus.Event
	cause *eventbus.Cause
	seq   uint64
	queue eventbus.Queue
}

// A handover is the bounded queue between the processors and the writer.
//
// Invariants: items are taken in the order in which they were put, and none is dropped.
// The position of an item is how many were put up to it. Once err is set, nothing more is
// put or taken. The writer rests only while there are no items.
//
// The processors' side is short: a lock, a copy, no wake-up unless the writer rests or half
// of the room is used. A channel takes about as long, but wakes the writer for each event.
type handover struct {
	bell chan struct{} // of capacity 1: the writer looks again

	mu        sync.Mutex
	room      sync.Cond // there is room, or err is set
	items     []item
	limit     int
	put       uint64     // items put so far
	last      [3]turn    // what was put last, by queue; its number only grows
	refused   [3]refusal // what was not stored last, by queue
	waiters   []waiter   // who waits until something is durable
	synced    uint64     // up to which position items are durable
	manifest  *Manifest  // to be written before the next items
	resting   bool       // the writer waits for the bell, and nothing else
	closing   bool       // Close has been called
	lost      uint64     // items that were not written
	unencoded uint64     // items that were written without their payload
	err       error      // why nothing more is stored; errEnded after Close
}

// A turn is an event's in its queue, as the bus numbers them.
type turn struct {
	seq uint64
	typ eventbus.EventType
	pos uint64 // its position; 0 if it was refused
}

// A refusal is an item whose payload could not be encoded.
type refusal struct {
	pos uint64
	err error
}

// A waiter waits until all items up to a position are durable.
type waiter struct {
	pos  uint64
	done chan error // of capacity 1
}

func newHandover(limit int, m *Manifest) *handover {
	h := &handover{bell: make(chan struct{}, 1), limit: limit, manifest: m}
	h.room.L = &h.mu
	return h
}

// hand hands an item over, unless it was the last of its queue already: the tap and the
// handlers behind Before see the same event. It returns the item's position. It waits for
// room.
func (h *handover) hand(it *item) (pos uint64, err error) {
	h.mu.Lock()
	for {
		// Each time around, since another event of the queue may have been put meanwhile: the
		// bus goes on without a handler that Async has given up.
		if pos, done, err := h.knownLocked(it); done {
			h.mu.Unlock()
			return pos, err
		}
		if len(h.items) < h.limit {
			break
		}
		h.room.Wait()
	}
	pos, wake := h.putLocked(it)
	h.mu.Unlock()
	if wake {
		h.ring()
	}
	return pos, nil
}

// knownLocked reports whether it need not or must not be put, and then what hand returns.
func (h *handover) knownLocked(it *item) (pos uint64, done bool, err error) {
	last := &h.last[it.queue]
	again := last.seq == it.seq && last.typ == it.event.Type
	refused := h.refusesLocked()
	switch {
	case it.seq < last.seq:
		return 0, true, errAbandoned
	case again && last.pos != 0: // whether it is stored, await says, also after Close
		return last.pos, true, nil
	case refused == nil:
		return 0, false, nil
	case !again:
		h.lost++
		*last = turn{seq: it.seq, typ: it.event.Type}
	}
	return 0, true, refused
}

// putLocked puts an item, for which there is room, and reports whether the writer must be
// woken.
func (h *handover) putLocked(it *item) (pos uint64, wake bool) {
	h.items = append(h.items, *it)
	h.put++
	h.last[it.queue] = turn{it.seq, it.event.Type, h.put}
	wake = h.resting || len(h.items) == (h.limit+1)/2
	h.resting = false
	return h.put, wake
}

// refusesLocked returns why nothing is accepted, nil if it is.
func (h *handover) refusesLocked() error {
	if h.err == nil && h.closing {
		return errEnded
	}
	return h.err
}

// ring makes the writer look again.
func (h *handover) ring() {
	select {
	case h.bell <- struct{}{}:
	default: // it is about to
	}
}

// await returns a channel that gets nil when all items up to pos are durable, and an error
// if they never will be.
func (h *handover) await(pos uint64) <-chan error {
	done := make(chan error, 1)
	h.mu.Lock()
	switch {
	case h.synced >= pos: // also after a failure: what is durable stays so
		h.mu.Unlock()
		done <- nil
		return done
	case h.err != nil:
		done <- h.err
		h.mu.Unlock()
		return done
	}
	h.waiters = append(h.waiters, waiter{pos, done})
	h.mu.Unlock()
	h.ring()
	return done
}

// refusalOf returns why the item at pos, the last of its queue, was not stored.
func (h *handover) refusalOf(q eventbus.Queue, pos uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused[q].pos == pos {
		return h.refused[q].err
	}
	return nil
}

// work is what the writer has to do.
type work struct {
	manifest *Manifest
	items    []item
	last     uint64 // the position of the last item that was put
	sync     bool   // somebody waits
	closing  bool
}

// take returns what there is to do. spare is given to the processors to put items into.
func (h *handover) take(spare []item) work {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := work{h.manifest, h.items, h.put, len(h.waiters) > 0, h.closing}
	h.manifest, h.items = nil, spare[:0]
	if len(w.items) > 0 {
		h.room.Broadcast()
	}
	return w
}

// rest says that the writer is about to wait for the bell and has nothing left to write.
// It reports whether that is so.
func (h *handover) rest() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resting = len(h.items) == 0 && h.manifest == nil
	return h.resting
}

// refuse notes that the item at pos is stored without its payload.
func (h *handover) refuse(q eventbus.Queue, pos uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unencoded++
	h.refused[q] = refusal{pos, err}
}

// complete says that all items up to pos are durable.
func (h *handover) complete(pos uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced = pos
	left := h.waiters[:0]
	for _, w := range h.waiters {
		if w.pos <= pos {
			w.done <- nil // of capacity 1, and sent to once
		} else {
			left = append(left, w)
		}
	}
	clear(h.waiters[len(left):])
	h.waiters = left
}

// end says that nothing more is stored, for err. So many items that were taken are lost. Only
// the first end counts: an error handler may end the writer's goroutine while that fails.
func (h *handover) end(err error, lost uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return
	}
	h.err = err
	h.lost += lost + uint64(len(h.items))
	h.items = nil
	for _, w := range h.waiters {
		w.done <- err
	}
	h.waiters = nil
	h.room.Broadcast()
}

// count puts the counters into s.
func (h *handover) count(s *Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Waiting, s.Failed, s.Unencoded = len(h.items), h.lost, h.unencoded
}

// awaitAll is await for all items so far, and for those that were refused: they never will
// be durable.
func (h *handover) awaitAll() <-chan error {
	h.mu.Lock()
	pos, lost, err := h.put, h.lost, h.refusesLocked()
	h.mu.Unlock()
	if lost > 0 {
		done := make(chan error, 1)
		done <- err
		return done
	}
	return h.await(pos)
}

// announce makes m the manifest that is written next.
func (h *handover) announce(m *Manifest) {
	h.mu.Lock()
	h.manifest = m
	h.resting = false
	h.mu.Unlock()
	h.ring()
}

// close makes the writer end when it has written what there is. Who waits for room is
// refused.
func (h *handover) close() {
	h.mu.Lock()
	h.closing = true
	h.room.Broadcast()
	h.mu.Unlock()
	h.ring()
}

// failure returns why the journal has failed, nil if it has not.
func (h *handover) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == errEnded {
		return nil
	}
	return h.err
}
