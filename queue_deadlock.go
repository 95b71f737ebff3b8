package eventbus

import "slices"

// This file is the wait-for graph. A node is a drainer, an edge leads from a
// drainer whose handler waits to the queue that it waits on, and from the queue to
// the one that drains it. A handler whose wait would close a cycle must not wait;
// so there is no cycle, and every wait ends. admissionMu guards the graph, which
// spans all buses, since a cycle may run through several.

// A drainer is a goroutine that drains queues, as the graph sees it.
type drainer struct {
	bus  *Bus
	edge *edge         // nil if its handler does not wait; guarded by admissionMu
	site func() uint64 // changes whenever it begins an event or ends one; 0 while it sleeps
}

// An edge says that a drainer's handler waits on a queue: for room, and with
// PublishWait until an event is handled.
type edge struct {
	on         *queue
	site       uint64      // of the drainer when the wait began
	wait       *lineWait   // nil once there was room
	completion *completion // nil if it waits for room alone
	pub        *publication
}

// edgeLocked returns d's edge. One that began at another event, or at none, does not count:
// the handler has returned, and a goroutine that outlived it waits with its context.
// Nor does one whose event is handled, even if the handler has not yet woken. An edge that
// does not count is forgotten: a drainer that slept is at the site of before when it wakes,
// and others may have begun to wait meanwhile because the edge did not count.
func (d *drainer) edgeLocked() *edge {
	if e := d.edge; e != nil && (e.site == 0 || e.site != d.site() || e.completion.isOver()) {
		d.edge = nil
	}
	return d.edge
}

// beginEdgeLocked notes that the handler of pub waits on q.
func (q *queue) beginEdgeLocked(pub *publication, w *lineWait) {
	for i, d := range pub.by {
		e := &pub.edgeOne
		if i > 0 {
			e = new(edge)
		}
		*e = edge{on: q, site: d.site(), wait: w, pub: pub, completion: pub.completion}
		d.edge = e
	}
}

// endEdgeLocked takes back the edges of the wait of w or, if that is nil, for c.
func endEdgeLocked(by []*drainer, w *lineWait, c *completion) {
	for _, d := range by {
		if e := d.edge; e != nil && (w != nil && e.wait == w || c != nil && e.completion == c) {
			d.edge = nil
		}
	}
}

// hasRoomLocked notes that the handler of w waits until its event is handled, and
// for room no more.
func hasRoomLocked(w *lineWait) {
	for _, d := range w.pub.by {
		if d.edge != nil && d.edge.wait == w {
			d.edge.wait = nil
		}
	}
}

// mustNotWaitLocked returns why a handler must not wait on q, nil if it may. by holds the
// drainers that are busy with it. It must not wait if it would wait for itself, or if nobody
// drains q. The waits on a cycle are hastened first, which may break the cycle: free slots
// may have been kept from them.
func (q *queue) mustNotWaitLocked(by []*drainer) error {
	for _, d := range by {
		// A second goroutine with the context of a handler that waits gets the same
		// answer as a cycle, so that a drainer has one edge.
		if d.edgeLocked() != nil || d.bus == q.bus && d.bus.stepping.Load() {
			return ErrWouldDeadlock
		}
	}
	var room [8]*edge // long enough for most chains, so that it is on the stack
	for {
		chain, closed := q.reachLocked(by, room[:0])
		if !closed {
			return q.admission.idle
		}
		if !hastenLocked(chain) {
			return ErrWouldDeadlock
		}
	}
}

// reachLocked follows the graph from q, and reports whether it leads to one of by.
// It appends the edges on the way to chain, which is empty.
func (q *queue) reachLocked(by []*drainer, chain []*edge) (_ []*edge, closed bool) {
	for on := q; ; {
		d := &on.proc.drainer
		if slices.Contains(by, d) {
			return chain, true
		}
		e := d.edgeLocked()
		if e == nil {
			return nil, false
		}
		if slices.Contains(chain, e) {
			panic("eventbus: BUG: handlers wait in a cycle")
		}
		chain = append(chain, e)
		on = e.on
	}
}
