package eventbus

import (
	"fmt"
	"time"
)

// open returns the event that e carries, whose turn has come. If it has
// expired, the result has no type and so no handler.
func (p *processor) open(e Event) Event {
	q := p.queue
	e, rc := q.unpack(e)
	p.sign(rc)
	if limit := q.cfg.MaxAge; limit > 0 {
		if age := time.Since(e.Time); age > limit {
			err := fmt.Errorf("%w: it is %v old, the limit is %v", ErrExpired, age, limit)
			p.stale = &HandlerError{Queue: q.id, Event: e, Err: err}
			return Event{}
		}
	}
	return e
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
