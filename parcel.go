package eventbus

import (
	"sync"
	"time"
)

// A parcel is an event with what its queue must know beside it. It travels
// through the channel and the line as the Data of another event, its carrier.
// The processor opens it when the event's turn has come.
//
// While it waits in a queue that packs, depot.mu guards its fields; elsewhere
// they do not change.
type parcel struct {
	event   Event
	key     conflationKey
	maxAge  time.Duration // 0 if it never gets too old
	mayGo   bool          // its rule is DropOldest; parcels that are not in a line need not say so
	receipt *receipt      // nil if nobody waits until the event is handled
}

func (box *parcel) carrier() Event { return Event{Type: box.event.Type, Data: box} }

// A depot is what a queue needs whose events all travel in parcels. Its mutex
// is taken after lineMu and never before.
type depot struct {
	mu      sync.Mutex
	waiting map[conflationKey]*parcel // guarded by mu: the accepted event of each key that is not begun
	free    []*parcel                 // guarded by mu
}

func (d *depot) getLocked() *parcel {
	n := len(d.free)
	if n == 0 {
		return new(parcel)
	}
	box := d.free[n-1]
	d.free = d.free[:n-1]
	return box
}

// unpack returns what is in the parcel that e carries, or what would be if it
// carries none. A queue that packs takes the parcel back: no event replaces
// this one any more.
func (q *queue) unpack(e Event) parcel {
	box, ok := e.Data.(*parcel)
	if !ok {
		return parcel{event: e, maxAge: q.cfg.MaxAge}
	}
	if !q.packs.Load() {
		return *box
	}
	d := &q.depot
	d.mu.Lock()
	defer d.mu.Unlock()
	return q.takeLocked(box)
}

// takeLocked returns what is in box and takes the parcel back; depot.mu is held.
func (q *queue) takeLocked(box *parcel) parcel {
	p := *box
	delete(q.depot.waiting, p.key)
	q.recycleLocked(box)
	return p
}

// discard unpacks e, which is not to be handled, and tells who waits for it.
func (q *queue) discard(e Event, why error) Event {
	p := q.unpack(e)
	rc := p.receipt
	rc.complete(why)
	if rc != nil && rc.join != nil {
		if why == ErrDropped {
			q.bus.arrive(rc.join)
		}
		return Event{} // nobody published it
	}
	return p.event
}

// recycle takes back the parcel of an event that was refused.
func (q *queue) recycle(e Event) {
	if box, ok := e.Data.(*parcel); ok && q.packs.Load() {
		q.depot.mu.Lock()
		defer q.depot.mu.Unlock()
		q.recycleLocked(box)
	}
}

// recycleLocked keeps as many parcels as the queue holds.
func (q *queue) recycleLocked(box *parcel) {
	*box = parcel{}
	if len(q.depot.free) < q.cfg.Capacity {
		q.depot.free = append(q.depot.free, box)
	}
}
