// Package throttle bounds how many log records a second are written.
package throttle

import (
	"sync"
	"time"
)

// A Throttle lets so many log records through in a second and counts the rest. It
// may be used concurrently. The zero value lets one through.
type Throttle struct {
	limit int

	mu       sync.Mutex
	since    time.Time // when the running second began
	passed   int       // in it
	withheld uint64    // and not told yet
}

// New returns a throttle that lets limit records through in a second.
func New(limit int) *Throttle { return &Throttle{limit: limit} }

// Take reports whether n more records may be logged as one, and how many were
// withheld before.
func (t *Throttle) Take(n uint64) (ok bool, withheld uint64) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= time.Second {
		t.since, t.passed = now, 0
	}
	if t.passed >= max(t.limit, 1) {
		t.withheld += n
		return false, 0
	}
	t.passed++
	withheld, t.withheld = t.withheld, 0
	return true, withheld
}

// Flush returns how many records were withheld, if the second is over or force is
// set, and forgets them.
func (t *Throttle) Flush(force bool) uint64 {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.withheld == 0 || !force && now.Sub(t.since) < time.Second {
		return 0
	}
	n := t.withheld
	t.since, t.passed, t.withheld = now, 1, 0
	return n
}

// Holds reports whether records are withheld that have not been told.
func (t *Throttle) Holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.withheld > 0
}
