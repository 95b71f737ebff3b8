package chaos

import (
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A pauseLedger knows when a queue is paused for certain.
type pauseLedger struct {
	mu       sync.Mutex
	ever     bool      // guarded by mu
	resumes  int       // guarded by mu: how many calls have begun, and how many have ended
	resuming int       // guarded by mu
	paused   bool      // guarded by mu: Pause has returned, and Resume was not called
	at       time.Time // guarded by mu: since when
	begun    int       // guarded by mu: events, since then
}

func (b *subject) pause(q eventbus.Queue) error {
	l := &b.pauses[q]
	l.mu.Lock()
	l.ever = true
	before, certain := l.resumes, l.resuming == 0
	l.mu.Unlock()
	err := b.bus.Pause(q)
	l.mu.Lock()
	defer l.mu.Unlock()
	if certain && l.resumes == before && !l.paused {
		l.paused, l.at, l.begun = true, time.Now(), 0
	}
	return err
}

func (b *subject) resume(q eventbus.Queue) error {
	l := &b.pauses[q]
	l.count(1)
	defer l.count(-1)
	return b.bus.Resume(q)
}

func (l *pauseLedger) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumes++
	l.resuming += n
	l.paused = false
}

// everPaused reports whether a queue has been paused.
func (l *ledger) everPaused() bool {
	return l.pauses[0].happened() || l.pauses[1].happened() || l.pauses[2].happened()
}

func (l *pauseLedger) happened() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ever
}

// verifyPause sees to it that a paused queue begins nothing. One event may have
// been begun just before Pause returned and be noted after that; in a bubble at
// the same time, unless a logger holds it up.
func (l *ledger) verifyPause(q eventbus.Queue) {
	p := &l.pauses[q]
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused {
		return
	}
	if p.begun++; p.begun > 1 || l.isExact() && time.Now().After(p.at) {
		l.violated("the %v queue is paused, and begins an event, the number %d since then", q, p.begun)
	}
}

func (b *subject) resumeAll() {
	for _, q := range bustest.EveryQueue {
		if err := b.resume(q); err != nil {
			b.violated("Resume returned %v", err)
		}
	}
}
