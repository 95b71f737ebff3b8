package eventbusprometheus

import "github.com/eventbus-go/eventbus"

// A handlerKey is what the series of a handler are told apart by. Several subscriptions may
// have one: a scrape with two series of the same labels would fail as a whole.
type handlerKey struct{ name, eventType string }

// An account is what one subscription has done, or several together.
type account struct {
	key                     handlerKey
	calls, failed, panicked uint64
	disabled                int
	took, fromRoot          eventbus.Histogram
}

// A ledger sums the accounts of subscriptions by key.
//
// Invariant: while a key has a subscription, none of its counters falls. A subscription that
// leaves takes its account out of the bus's; without it the sum of those that stay would
// fall, and Prometheus would take that for a restart and count all of the sum again. So the
// ledger keeps what a subscription had done at the scrape before it left.
//
// The zero value is empty. It is guarded by Collector.mu.
type ledger struct {
	present map[uint64]account     // by HandlerStats.ID, at the last scrape
	gone    map[handlerKey]account // of those that have left, of keys that are present
}

// update takes in the accounts of a scrape and returns the sums. latencies must have been
// read before stats.
func (l *ledger) update(stats []eventbus.HandlerStats, latencies []eventbus.HandlerLatency) map[handlerKey]account {
	now := accounts(stats, latencies)
	totals := make(map[handlerKey]account, len(now))
	for _, a := range now {
		totals[a.key] = a.plus(totals[a.key])
	}
	gone := make(map[handlerKey]account)
	keep := func(a account) {
		if _, live := totals[a.key]; live {
			a.disabled = 0
			gone[a.key] = a.plus(gone[a.key])
		}
	}
	for _, a := range l.gone {
		keep(a)
	}
	for id, a := range l.present {
		if _, stays := now[id]; !stays {
			keep(a)
		}
	}
	for key, a := range gone {
		totals[key] = a.plus(totals[key])
	}
	l.present, l.gone = now, gone
	return totals
}

// accounts returns the account of each subscription, by its ID.
func accounts(stats []eventbus.HandlerStats, latencies []eventbus.HandlerLatency) map[uint64]account {
	times := make(map[uint64]eventbus.HandlerLatency, len(latencies))
	for _, t := range latencies {
		times[t.ID] = t
	}
	now := make(map[uint64]account, len(stats))
	for _, h := range stats {
		a := account{
			key:   keyOf(h),
			calls: h.Calls, failed: h.Failed, panicked: h.Panicked,
			took: times[h.ID].Took, fromRoot: times[h.ID].FromRoot,
		}
		if h.Disabled {
			a.disabled = 1
		}
		now[h.ID] = a
	}
	return now
}

// keyOf returns the key of h. The type of a tap is "*", that of a pattern the pattern.
func keyOf(h eventbus.HandlerStats) handlerKey {
	switch {
	case h.Pattern != "":
		return handlerKey{valid(h.Name), valid(h.Pattern)}
	case h.Type == "":
		return handlerKey{valid(h.Name), "*"}
	}
	return handlerKey{valid(h.Name), valid(string(h.Type))}
}

// plus returns the sum of a and b, under a's key.
func (a account) plus(b account) account {
	a.calls += b.calls
	a.failed += b.failed
	a.panicked += b.panicked
	a.disabled += b.disabled
	a.took = plus(a.took, b.took)
	a.fromRoot = plus(a.fromRoot, b.fromRoot)
	return a
}

// plus returns the sum of two histograms and changes neither.
func plus(a, b eventbus.Histogram) eventbus.Histogram {
	switch {
	case len(a.Counts) == 0:
		return b
	case len(b.Counts) == 0:
		return a
	}
	first := min(a.First, b.First)
	sum := eventbus.Histogram{First: first, Sum: a.Sum + b.Sum}
	sum.Counts = make([]uint64, max(a.First+len(a.Counts), b.First+len(b.Counts))-first)
	for _, h := range []eventbus.Histogram{a, b} {
		for i, n := range h.Counts {
			sum.Counts[h.First-first+i] += n
		}
	}
	return sum
}
