package chaos

import (
	"slices"

	"github.com/eventbus-go/eventbus"
)

// A place is when an event got its place in a queue: not before one time, and
// by another. An event that has replaced others has theirs.
type place struct {
	began, settled int64
	shared         bool // it may have replaced another event
}

// verifyPlaces finds the places of all, which is what remained of the queue, in
// order. Where it conflates, it sees to it that each event that has vanished may
// have been replaced by another one with its key, and that no two of them waited
// at the same time.
func (l *ledger) verifyPlaces(q eventbus.Queue, all, vanished []*entry) {
	for _, e := range all {
		e.place = place{e.began, e.settled, false}
	}
	plan := l.plan.queues[q]
	if !plan.keys {
		return
	}
	var back []*entry // taken back by PublishWait, and before that they may have replaced others
	for _, e := range l.entries {
		if e.queue == q && e.acceptance(plan) == isWithdrawn {
			back = append(back, e)
		}
	}
	for key := 1; key <= 6; key++ {
		l.findPlaces(ofKey(all, key), ofKey(vanished, key), ofKey(back, key), plan.evicts())
	}
}

func ofKey(list []*entry, key int) (with []*entry) {
	for _, e := range list {
		if e.key == key {
			with = append(with, e)
		}
	}
	return with
}

// findPlaces finds the places of survivors, which are in order. An event that
// has vanished stood, among those with its key, after each survivor that had
// been accepted before it was published, and before each that was published
// after it had been accepted. If events may have been evicted, it is not certain
// that it was replaced.
func (l *ledger) findPlaces(survivors, vanished, back []*entry, evicts bool) {
	before := &entry{settled: -1, began: -1}
	for _, s := range survivors {
		for _, e := range vanished {
			if e.settled > before.began && e.began < s.settled {
				s.place.began, s.place.shared = min(s.place.began, e.began), true
			}
			mayBeBack := slices.ContainsFunc(back, func(w *entry) bool { return w.settled > e.began })
			if !evicts && !mayBeBack && before.settled < e.began && e.settled < s.began {
				s.place.settled = min(s.place.settled, e.settled)
			}
		}
		if before.settled < s.began && s.settled < before.after {
			l.violated("%v queue: %v and %v waited at the same time", s.queue, before, s)
		}
		before = s
	}
	for _, e := range vanished {
		if !evicts && !slices.ContainsFunc(slices.Concat(survivors, back), func(s *entry) bool { return s.settled > e.began }) {
			l.violated("%v queue: %v is lost, and nothing has replaced it", e.queue, e)
		}
	}
}

// verifyOrder sees to it that what a source has published comes in that order,
// in a queue that conflates for each key.
func (l *ledger) verifyOrder(q eventbus.Queue, all []*entry) {
	type stream struct{ source, key int }
	last := make(map[stream]int)
	for _, e := range all {
		s := stream{e.source, e.key}
		if before, seen := last[s]; seen && e.number <= before {
			l.violated("source %d, %v queue: event %d comes after %d", e.source, q, e.number, before)
		}
		last[s] = e.number
	}
}

// verifyTurns sees to it that events come in turn, whoever publishes them. One
// whose publish had returned before that of another began comes first: it was in
// the queue or deferred by then. So does, in a bubble, one whose publish began
// at an earlier time than that of another from outside. Time passes there when
// all goroutines are blocked, so by then the first was accepted or in line.
func (l *ledger) verifyTurns(q eventbus.Queue, all []*entry) {
	var settled, called *entry // the first of those after e
	for _, e := range slices.Backward(all) {
		if settled != nil && settled.place.settled < e.place.began {
			l.violated("%v queue: %v comes before %v, which had been accepted when it was published", q, e, settled)
		}
		dated := !e.place.shared && (e.batch == nil || e.batch == e || law || !l.plan.queues[q].keys)
		if l.inBubble && e.from == outside && dated && called != nil && called.at.Before(e.at) {
			l.violated("%v queue: %v comes before %v, which was in line when it was published", q, e, called)
		}
		if settled == nil || e.place.settled < settled.place.settled {
			settled = e
		}
		if dated && (called == nil || e.at.Before(called.at)) {
			called = e
		}
	}
}
