package chaos

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
	n := []int{1, 2, 2, 3, 3, 16, capacity, capacity + 1, 2*capacity + 4}[d.below(9)]
	return min(n, numbersPerPublish-1)
}

// errNotTried is the ledger's error for the events of a batch after the one that
// was refused.
var errNotTried = errors.New("refused with an event before it")

func (b *subject) publishBatch(ctx context.Context, first *entry, event eventbus.Event) error {
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
			b.enter(e)
		}
		e.batch = first
		event.Data = e
		entries, events = append(entries, e), append(events, event)
	}
	n, err := b.bus.PublishBatch(ctx, first.queue, events)
	if n < 0 || n > len(events) || (n == len(events)) != (err == nil) {
		b.violated("PublishBatch of %d events returned %d, %v", len(events), n, err)
	}
	b.settleBatch(entries, n, err)
	return err
}

// settleBatch notes what became of the events of a batch.
func (b *subject) settleBatch(entries []*entry, accepted int, err error) {
	for i, e := range entries {
		b.settled(e)
		switch {
		case i < accepted:
		case i > accepted && !law && b.plan.queues[e.queue].keys: // those are taken one by one
			e.err = errNotTried
		default:
			e.err = err
		}
	}
}

// verifyBatches sees to it that nothing comes between the events of a batch but
// what handlers publish, unless events have places of their own.
func (l *ledger) verifyBatches(q eventbus.Queue, all []*entry) {
	if l.plan.queues[q].keys {
		return
	}
	last := make(map[*entry]int) // where the last event of each batch is
	group, before := -1, -1      // where the last event is that interrupts others, and the last one of another publish
	for i, e := range all {
		foreign := group
		if group >= 0 && e.batch != nil && all[group].batch == e.batch {
			foreign = before
		}
		if at, seen := last[e.batch]; e.batch != nil && seen && foreign > at {
			l.violated("%v queue: %v comes after %v, which is not of its batch", q, e, all[foreign])
		}
		last[e.batch] = i
		if mayInterrupt(e) {
			continue
		}
		if group < 0 || e.batch == nil || all[group].batch != e.batch {
			before = group
		}
		group = i
	}
}

// mayInterrupt reports whether e may come between the events of a batch that
// waits.
func mayInterrupt(e *entry) bool { return law && e.from != outside }
