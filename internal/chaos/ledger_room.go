package chaos

import (
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
)

// patienceWithRoom is how long a publish may wait though the queue has room: one
// wake-up for many costs less than one for each.
const patienceWithRoom = time.Millisecond

// A level is how many events a queue holds from one time on.
type level struct {
	from time.Time
	held int
}

// verifyRoom sees to it that no publish waits for longer than a millisecond
// while its queue has room. In a bubble time passes when all goroutines are
// blocked, so the ledger knows how much the queue held at each time, at most.
func (l *ledger) verifyRoom(q eventbus.Queue, subscribers []*subscriber) {
	plan := l.plan.queues[q]
	if !l.isExact() || plan.keys || plan.evicts() {
		return
	}
	levels := l.levels(q, subscribers)
	for _, e := range l.entries {
		if e.queue != q || e.way == byWait || e.batch != nil && e.batch != e {
			continue
		}
		if waited := e.settledAt.Sub(e.at); waited <= patienceWithRoom {
			continue
		}
		from := e.at.Add(patienceWithRoom)
		i, _ := slices.BinarySearchFunc(levels, from, func(v level, t time.Time) int { return v.from.Compare(t) })
		for i = max(i-1, 0); i < len(levels)-1 && levels[i].from.Before(e.settledAt); i++ {
			if v, until := levels[i], levels[i+1].from; v.held < plan.Capacity && until.After(from) && until.After(v.from) {
				l.violated("%v: it waits for %v, though from %v to %v the queue held %d of %d events",
					e, e.settledAt.Sub(e.at), v.from.Format("05.000000"), until.Format("05.000000"), v.held, plan.Capacity)
				return
			}
		}
	}
}

// levels returns how much the queue has held, at most. An event that enters at
// an unknown time counts from its publish on, a late joiner until it leaves.
func (l *ledger) levels(q eventbus.Queue, subscribers []*subscriber) (levels []level) {
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	for _, e := range l.entries {
		if e.queue != q || e.acceptance(l.plan.queues[q]) == refused {
			continue
		}
		entered := e.settledAt
		if e.way == byWait || e.way == byBatch {
			entered = e.at
		}
		changes = append(changes, change{entered, 1})
		if !e.turnAt.IsZero() {
			changes = append(changes, change{e.turnAt, -1})
		}
	}
	for _, s := range subscribers {
		if s.home != int(q) {
			continue
		}
		changes = append(changes, change{s.cameAt, 1})
		if s.gone.Load() != 0 {
			changes = append(changes, change{s.goneAt, -1})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	held := 0
	for _, c := range changes {
		held += c.by
		if n := len(levels); n > 0 && levels[n-1].from.Equal(c.at) {
			levels[n-1].held = held
			continue
		}
		levels = append(levels, level{c.at, held})
	}
	return levels
}
