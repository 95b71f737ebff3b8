package journal

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// encode appends the line of an item. A payload that cannot be encoded is missing in the
// record, which says why: the numbers have no gap, and what the event has led to can still
// be traced to it.
func (w *writer) encode(it *item) {
	w.n++
	e := &it.event
	r := Record{N: w.n, Session: w.session, Queue: it.queue, Seq: it.seq, Type: e.Type, Source: e.Source, Cause: causeOf(it.cause)}
	var err error
	if r.Data, err = w.config.payloads.encode(e); err == nil {
		var ok bool
		if r.Time, ok = nanoseconds(e.Time); !ok {
			err = fmt.Errorf("its time is %v, want one from 1678 to 2261", e.Time)
		}
	}
	if len(e.Type) > maxName || len(e.Source) > maxName {
		err = fmt.Errorf("its type takes %d bytes and its source %d, want %d at most", len(e.Type), len(e.Source), maxName)
	}
	if err != nil {
		r.Data, r.Error = nil, clip(err.Error())
		r.Type, r.Source = eventbus.EventType(clip(string(r.Type))), clip(r.Source)
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

// clip returns as much of s as a record may hold.
func clip(s string) string { return s[:min(len(s), maxName)] }

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
	if err == nil && len(data) > maxData {
		return nil, fmt.Errorf("it takes %d bytes, want %d at most", len(data), maxData)
	}
	return data, err
}

func causeOf(c *eventbus.Cause) *Cause {
	if c == nil {
		return nil
	}
	rootTime, _ := nanoseconds(c.Root.Time) // 0 if it does not fit: the root's own record says so
	return &Cause{c.Queue, c.Seq, Origin{c.Root.Queue, c.Root.Seq, eventbus.EventType(clip(string(c.Root.Type))), rootTime}, c.Hops}
}
