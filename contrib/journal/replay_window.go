package journal

import "github.com/eventbus-go/eventbus"

// A recorded event is a record in the window.
type recorded struct {
	Record
	outside   bool
	published bool // by Replay
	gone      bool // handled, or never to be
}

func (r *recorded) place() place { return place{r.Session, r.Queue, r.Seq} }

// A window is the part of a session that replay looks at: from the first record that is
// not handled yet to the last that had to be read.
//
// Invariants: records holds all that are not gone, in order. Each is in one list of its
// queue: unpublished, waiting or byHandlers. Within a queue, events from outside are
// published in their order.
type window struct {
	reader  *reader
	ahead   *recorded // read, and of a later session
	session uint64
	last    uint64 // the number of the last record to read
	limit   int    // how many records are looked at for one that a handler has published
	records fifo
	queues  [3]windowQueue
}

// A windowQueue is the window's records of one queue.
type windowQueue struct {
	unpublished fifo   // from outside, not published yet
	waiting     fifo   // from outside, published, not begun
	byHandlers  fifo   // published by handlers that day
	upTo        uint64 // the number up to which records may be published
}

// windowLimit is more than what the queues of a bus can hold, by far: of two events, how far
// apart they can be handled in another order.
func windowLimit(s eventbus.Stats) int {
	n := 4096
	for _, q := range s.Queues {
		n += 4 * q.Capacity
	}
	return n
}

// begin makes session the one at hand. Records of sessions before it are passed over.
func (w *window) begin(session uint64) {
	w.session = session
	w.records, w.queues = fifo{}, [3]windowQueue{}
}

// load reads one more record of the session, and returns false if there is none.
func (w *window) load() (bool, error) {
	for {
		r, err := w.read()
		switch {
		case r == nil || err != nil:
			return false, err
		case r.Session > w.session:
			w.ahead = r
			return false, nil
		case r.Session == w.session:
			w.records.push(r)
			q := &w.queues[r.Queue]
			if r.outside {
				q.unpublished.push(r)
			} else {
				q.byHandlers.push(r)
			}
			return true, nil
		}
	}
}

// read returns the next record of the file, nil if there is none.
func (w *window) read() (*recorded, error) {
	if r := w.ahead; r != nil {
		w.ahead = nil
		return r, nil
	}
	for {
		l, err := w.reader.next()
		switch {
		case isEnd(err):
			return nil, nil
		case err != nil:
			return nil, err
		case l.Manifest == nil && l.N > w.last:
			return nil, nil
		case l.Manifest == nil:
			return &recorded{Record: l.Record, outside: l.FromOutside()}, nil
		}
	}
}

// head returns the next record of the session, nil if all are gone.
func (w *window) head() (*recorded, error) {
	for {
		if r := w.records.front(); r != nil {
			return r, nil
		}
		if more, err := w.load(); !more || err != nil {
			return nil, err
		}
	}
}

// drop says that r was handled, or will never be.
func (w *window) drop(r *recorded) { r.gone = true }

// want says that r may be published, and what is before it in its queue.
func (w *window) want(r *recorded) {
	q := &w.queues[r.Queue]
	q.upTo = max(q.upTo, r.N)
}

// wantBefore says that what is before the limits may be published.
func (w *window) wantBefore(l limits) error {
	for q, before := range l {
		if before == 0 {
			continue
		}
		w.queues[q].upTo = max(w.queues[q].upTo, before-1)
		for last := w.records.back(); last == nil || last.N < before; last = w.records.back() {
			if more, err := w.load(); !more || err != nil {
				return err
			}
		}
	}
	return nil
}

// wanted returns the next record of a queue that is to be published, nil if there is none.
func (w *window) wanted(q int) *recorded {
	if r := w.queues[q].unpublished.front(); r != nil && r.N <= w.queues[q].upTo {
		return r
	}
	return nil
}

// published says that r, which wanted has returned, is in its queue.
func (w *window) published(r *recorded) {
	r.published = true
	q := &w.queues[r.Queue]
	q.unpublished.pop()
	q.waiting.push(r)
}

// outside returns the record of an event from outside that begins. Records before it in
// its queue were published, and have been evicted, replaced or too old.
func (w *window) outside(q eventbus.Queue, e eventbus.Event) *recorded {
	waiting := &w.queues[q].waiting
	for i, r := range waiting.all() {
		if !r.gone && r.Type == e.Type && r.Source == e.Source && (r.Time == 0 || r.Time == e.Time.UnixNano()) {
			waiting.cut(i + 1)
			return r
		}
	}
	return nil
}

// caused returns the record of an event of a type that a handler has published, nil if
// there is none. Those before it may still come.
func (w *window) caused(q eventbus.Queue, t eventbus.EventType) (*recorded, error) {
	w.queues[q].byHandlers.front() // lets go of what is gone
	seen := 0
	for {
		list := w.queues[q].byHandlers.all()
		for ; seen < len(list); seen++ {
			if r := list[seen]; !r.gone && r.Type == t {
				return r, nil
			}
		}
		if len(w.records.all()) >= w.limit {
			return nil, nil
		}
		if more, err := w.load(); !more || err != nil {
			return nil, err
		}
	}
}

// A fifo is a list of records that are taken at its front.
type fifo struct {
	list []*recorded
	gone int // so many at the front are taken
}

func (f *fifo) push(r *recorded) { f.list = append(f.list, r) }
func (f *fifo) all() []*recorded { return f.list[f.gone:] }
func (f *fifo) pop()             { f.cut(1) }

// cut takes n records.
func (f *fifo) cut(n int) {
	clear(f.list[f.gone : f.gone+n])
	if f.gone += n; f.gone > len(f.list)/2 {
		n := copy(f.list, f.list[f.gone:])
		clear(f.list[n:])
		f.list, f.gone = f.list[:n], 0
	}
}

// front returns the first record that is not gone, nil if there is none.
func (f *fifo) front() *recorded {
	for f.gone < len(f.list) {
		if r := f.list[f.gone]; !r.gone {
			return r
		}
		f.pop()
	}
	return nil
}

// back returns the last record, nil if there is none.
func (f *fifo) back() *recorded {
	if f.gone == len(f.list) {
		return nil
	}
	return f.list[len(f.list)-1]
}
