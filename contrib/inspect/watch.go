package inspect

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

const (
	interval   = 500 * time.Millisecond // between frames
	maxViewers = 32                     // streams at a time, so that a page that reconnects in a loop does no harm
	window     = 10 * time.Second       // p50 and p99 are of the last one to two windows
)

var (
	errTooMany = errors.New("too many look at the page")
	errClosed  = errors.New("the page is closed")
)

// A watch is what all who look share: the tap, and the last frame.
//
// Invariant: the tap is subscribed while viewers > 0. A watch has no goroutine: frames are
// made on those of the requests, each for all who ask within an interval.
type watch struct {
	bus      *eventbus.Bus
	failures *Failures
	controls bool
	samples  samples
	closed   chan struct{} // closed by close

	mu      sync.Mutex
	viewers int
	isOver  bool // closed is closed
	tap     *eventbus.Subscription
	last    []byte    // frame, as JSON
	lastAt  time.Time // when it was made; zero if there is none
	before  history
}

func newWatch(bus *eventbus.Bus) *watch {
	w := &watch{bus: bus, closed: make(chan struct{})}
	w.samples.init()
	return w
}

// join adds a viewer.
func (w *watch) join() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.isOver:
		return errClosed
	case w.viewers >= maxViewers:
		return errTooMany
	}
	if w.viewers == 0 {
		w.tap = w.bus.SubscribeAll(&w.samples, eventbus.WithName("inspect")) // runs middleware of the bus, which may panic
	}
	w.viewers++
	return nil
}

// leave takes a viewer away. With the last one goes all that was kept for them.
func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.viewers--; w.viewers == 0 {
		w.tap.Unsubscribe()
		w.samples.forget()
		w.tap, w.last, w.lastAt, w.before = nil, nil, time.Time{}, history{}
	}
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isOver {
		w.isOver = true
		close(w.closed)
	}
}

// frame returns the frame of now as JSON: the last one if that is younger than most of an
// interval, since the tickers of viewers are not in step.
func (w *watch) frame(now time.Time) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.lastAt.IsZero() && now.Sub(w.lastAt) < interval*4/5 {
		return w.last
	}
	f := w.before.next(now, w.bus.Stats(), w.bus.Latencies())
	w.samples.refill()
	f.Controls, f.Failures, f.Events = w.controls, w.failures.recent(), w.samples.recent()
	text, err := json.Marshal(f)
	if err != nil {
		panic("inspect: BUG: " + err.Error())
	}
	w.last, w.lastAt = text, now
	return text
}
