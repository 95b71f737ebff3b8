package journal

import (
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// encode appends the line of an item. A payload that cannot be encoded is missing in the
// record, which says why: the numbers have no gap, and what the event has led to can still
// be traced to it.
func (w *writer) encode(it *item) {
	w.n++
	w.buffered++
	e := &it.event
	r := Record{N: w.n, Session: w.session, Queue: it.queue, Seq: it.seq, Type: e.Type, Source: e.Source, Cause: causeOf(it.cause)}
	var err error
	if r.Data, err = w.config.payloads.encode(e); err == nil {
		var ok bool
		if r.Time, ok = nanoseconds(e.Time); !ok {
			err = fmt.Errorf("its time is %v, want one from 1678 to 2261", e.Time)
		}
	}
	if err != nil {
		r.Data, r.Error = nil, err.Error()
		w.refuse(it, err)
	}
	w.lines = appendRecord(w.lines, &r)
}

// refuse tells that the payload of an item is missing: Before always, the error handler
// once a type.
func (w *writer) refuse(it *item, err error) {
	err = fmt.Errorf("%w: the payload of %s cannot be encoded: %w", ErrNotStored, it.event.Type, err)
	w.handover.refuse(it.queue, w.encoded, err)
	if !w.told[it.event.Type] && len(w.told) < maxTold {
		w.told[it.event.Type] = true
		w.report(err)
	}
}

// maxTold bounds what is remembered of types that were reported, in case a program makes up
// types without end.
const maxTold = 4096

// encode returns the payload of an event as JSON, nil if it has none.
func (p *payloads) encode(e *eventbus.Event) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its encoding panicked: %v", r)
		}
	}()
	if one, ok := p.byType[e.Type]; ok {
		data, err = one.encode(e.Data)
	} else {
		data, err = encodeAny(e.Data)
	}
	if err == nil && len(data) > maxLine/2 {
		return nil, fmt.Errorf("it takes %d bytes, want %d at most", len(data), maxLine/2)
	}
	return data, err
}

func causeOf(c *eventbus.Cause) *Cause {
	if c == nil {
		return nil
	}
	rootTime, _ := nanoseconds(c.Root.Time) // 0 if it does not fit: the root's own record says so
	return &Cause{c.Queue, c.Seq, Origin{c.Root.Queue, c.Root.Seq, c.Root.Type, rootTime}, c.Hops}
}

var errNoDelivery = errors.New("the context is not that of a handler")
