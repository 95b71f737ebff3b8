package eventbus

import (
	"fmt"
	"time"
)

// A conflationKey tells which events replace each other. Those of a topic with
// a key of its own replace none of another type.
type conflationKey struct {
	eventType EventType // "" if the key is of the queue's ConflateBy
	key       string    // "" for an event that replaces none
}

// label completes p with what rule r or, where that says nothing, the queue's
// wants of its event. It runs user code.
func (q *queue) label(p *parcel, r *rule) (err error) {
	key, maxAge := q.cfg.ConflateBy, q.cfg.MaxAge
	if r != nil && r.maxAge > 0 {
		maxAge = r.maxAge
	}
	if r != nil && r.key != nil {
		key, p.key.eventType = r.key, p.event.Type
	}
	p.maxAge = maxAge
	stamp(&p.event, maxAge)
	if key == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: ConflateBy panicked on it: %v", ErrInvalidEvent, v)
		}
	}()
	p.key.key = key(p.event)
	return nil
}

// stamp sets the time of an event that must not get older than maxAge, unless
// that is 0.
func stamp(e *Event, maxAge time.Duration) {
	if maxAge > 0 && e.Time.IsZero() {
		e.Time = time.Now()
	}
}

// prepare gets q ready for the events of a topic with rule r.
func (q *queue) prepare(r *rule) {
	if (r.key != nil || r.maxAge > 0) && !q.packs.Load() {
		lineMu.Lock()
		q.beginPackingLocked()
		lineMu.Unlock()
	}
	if !r.inherits {
		q.mix(r)
	}
}

// beginPackingLocked makes all publishers put their events into parcels.
func (q *queue) beginPackingLocked() {
	q.packs.Store(true)
	q.state.Or(packing)
}

// post is the fast path of a queue that packs. If it does not accept the event,
// it returns the carrier.
func (q *queue) post(p parcel) (carrier Event, accepted bool) {
	d := &q.depot
	d.mu.Lock()
	defer d.mu.Unlock()
	free := !p.receipt.ofHandler()
	if free && q.state.Load()&(closing|closed) == 0 && q.replaceLocked(&p) {
		return Event{}, true
	}
	box := d.getLocked()
	*box = p
	carrier = box.carrier()
	accepted = free && q.accept(&carrier, packing)
	if accepted {
		d.noteLocked(box)
	}
	return carrier, accepted
}

// offer accepts e if there is room or if it can replace the event that waits
// with its key, and reports whether it did. Only for those who hold lineMu, and
// so have seen that the queue is open.
func (q *queue) offer(e Event) bool {
	box, ok := e.Data.(*parcel)
	if !ok || box.key.key == "" {
		return q.insert(e, 1)
	}
	d := &q.depot
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.mergeLocked(box) {
		return true
	}
	if !q.insert(e, 1) {
		return false
	}
	d.noteLocked(box)
	return true
}

// merge lets e replace the event that waits with its key, and reports whether
// there is one.
func (q *queue) merge(e Event) bool {
	box, ok := e.Data.(*parcel)
	if !ok || box.key.key == "" {
		return false
	}
	q.depot.mu.Lock()
	defer q.depot.mu.Unlock()
	return q.mergeLocked(box)
}

// enlist merges e, and if it cannot, makes it the event that waits with its key:
// the caller counts it and puts it in line.
func (q *queue) enlist(e Event) (merged bool) {
	box, ok := e.Data.(*parcel)
	if !ok || box.key.key == "" {
		return false
	}
	d := &q.depot
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.mergeLocked(box) {
		return true
	}
	d.noteLocked(box)
	return false
}

// mergeLocked is merge; depot.mu is held.
func (q *queue) mergeLocked(box *parcel) bool {
	if !q.replaceLocked(box) {
		return false
	}
	q.recycleLocked(box)
	return true
}

// replaceLocked puts the event in p where the one with its key waits, if there
// is one; depot.mu is held.
func (q *queue) replaceLocked(p *parcel) bool {
	old := q.depot.waiting[p.key]
	if old == nil {
		return false
	}
	old.receipt.complete(ErrDropped)
	old.event, old.maxAge, old.mayGo, old.receipt = p.event, p.maxAge, p.mayGo, p.receipt
	q.countReplaced()
	return true
}

// noteLocked makes box the one that waits with its key.
func (d *depot) noteLocked(box *parcel) {
	if box.key.key != "" {
		d.waiting[box.key] = box
	}
}
