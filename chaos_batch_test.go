package eventbus_test

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus"
)

// A batch is events that one PublishBatch publishes. The first is the one that
// its publication is about; the others differ in their number and key.

// numbersPerPublish is how far apart the numbers of publishes are, so that those
// of a batch lie between.
const numbersPerPublish = 101

func (d *decoder) batch(capacity int) int {
	n := []int{1, 2, 2, 3, 3, 16, capacity, capacity + 1}[d.below(8)]
	return min(n, numbersPerPublish-1)
}

// errNotTried is that of the events of a batch after the one that was refused,
// in a queue that takes them one by one.
var errNotTried = errors.New("refused with an event before it")

func (c *chaos) publishBatch(ctx context.Context, first *entry, event eventbus.Event) error {
	entries := make([]*entry, 0, first.size)
	events := make([]eventbus.Event, 0, first.size)
	for i := range first.size {
		e := first
		if i > 0 {
			e = &entry{publication: first.publication, from: first.from, source: first.source, at: first.at, stamp: first.stamp}
			e.number = first.number + i
			if e.key > 0 {
				e.key = 1 + (e.key-1+i)%6
			}
			c.enter(e)
		}
		e.batch = first
		event.Data = e
		entries, events = append(entries, e), append(events, event)
	}
	n, err := c.bus.PublishBatch(ctx, first.queue, events)
	if n < 0 || n > len(events) || (n == len(events)) != (err == nil) {
		c.violated("PublishBatch of %d events returned %d, %v", len(events), n, err)
	}
	c.settleBatch(entries, n, err)
	return err
}

// settleBatch notes what became of the events of a batch.
func (c *chaos) settleBatch(entries []*entry, accepted int, err error) {
	now := c.now()
	for i, e := range entries {
		e.settled = now
		switch {
		case i < accepted:
		case i > accepted && c.plan.queues[e.queue].keys:
			e.err = errNotTried
		default:
			e.err = err
		}
	}
}

// verifyBatches sees to it that nothing comes between the events of a batch,
// unless events have places of their own or may get ahead of others.
func (l *ledger) verifyBatches(q eventbus.Queue, all []*entry) {
	if plan := l.plan.queues[q]; plan.keys || plan.mixes() {
		return
	}
	past := make(map[*entry]bool)
	var batch *entry
	for _, e := range all {
		if e.batch == batch {
			continue
		}
		if past[batch] = true; e.batch != nil && past[e.batch] {
			l.violated("%v queue: %v comes after other events than those of its batch, %v", q, e, e.batch)
		}
		batch = e.batch
	}
}
