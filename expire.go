package eventbus

import (
	"fmt"
	"time"
)

// open returns the event that e carries, whose turn has come. If it has
// expired, the result has no type, and nobody is its handler: taps, which get
// every type, must not get that one. If it has handlers of its own, they are the
// result too.
func (p *processor) open(e Event) (Event, *handlerList) {
	box := p.queue.unpack(e)
	if rc := box.receipt; rc != nil && rc.join != nil {
		return p.join(rc.join)
	}
	p.sign(box.receipt)
	if box.maxAge > 0 {
		if age := time.Since(box.event.Time); age > box.maxAge {
			err := fmt.Errorf("%w: it is %v old, the limit is %v", ErrExpired, age, box.maxAge)
			p.stale = &HandlerError{Queue: p.queue.id, Event: box.event, Err: err}
			return Event{}, nobody
		}
	}
	return box.event, nil
}

// expire counts and logs the event at hand, which has expired, and passes it
// on.
func (p *processor) expire() {
	h := p.stale
	p.stale = nil
	p.queue.expired.Add(1)
	p.receipt.note(h)
	p.unreported = h
	p.say(telling, func() { p.queue.logExpired(p.ctx, h) })
	p.passOn()
}
