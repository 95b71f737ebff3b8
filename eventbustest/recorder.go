package eventbustest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

// patience is how long a recorder waits for what is expected. Only a test that
// fails waits for so long.
const patience = 5 * time.Second

// A Recorder keeps the events of certain types, or of all, that a bus handles. Make one
// with [NewRecorder]. Its methods may be called concurrently. Wait and those
// whose names begin with Expect must be called from the goroutine that runs the
// test, since they end it with Fatal, and not inside handlers, which would wait
// for themselves.
type Recorder struct {
	t       testing.TB
	bus     *eventbus.Bus
	types   []eventbus.EventType // none for all
	timeout time.Duration
	tape    *tape
}

// NewRecorder returns a recorder of the events of the given types, or of all if
// none is given, that bus handles from now on. It is a tap, as of
// [eventbus.Bus.SubscribeAll]: an event that only recorders see still counts as
// unhandled. It is called for an event after the handlers that are subscribed
// already and before those that will be; see the package's documentation for what
// this means for the order of events. The bus need not come from [New]. When t
// ends, the recorder records no more.
//
// NewRecorder ends t with Fatal if bus is nil, a type is empty, or one is given
// twice.
func NewRecorder(t testing.TB, bus *eventbus.Bus, types ...eventbus.EventType) *Recorder {
	t.Helper()
	if bus == nil {
		t.Fatalf("eventbustest: NewRecorder: the bus is nil")
	}
	for i, et := range types {
		if et == "" {
			t.Fatalf("eventbustest: NewRecorder: event type %d is empty", i)
		}
		if slices.Contains(types[:i], et) {
			t.Fatalf("eventbustest: NewRecorder: event type %s is given twice", et)
		}
	}
	r := &Recorder{t: t, bus: bus, types: slices.Clone(types), timeout: patience, tape: new(tape)}
	t.Cleanup(bus.SubscribeAll(eventbus.HandlerFunc(r.tape.record),
		eventbus.WithName("eventbustest.Recorder"),
		eventbus.Where(func(e eventbus.Event) bool { return r.records(e.Type) })).Unsubscribe)
	return r
}

// records reports whether r records the events of type t.
func (r *Recorder) records(t eventbus.EventType) bool {
	return len(r.types) == 0 || slices.Contains(r.types, t)
}

// Within returns a recorder of the same events, recorded and claimed ones
// alike, that waits for up to d where r waits for up to 5 s. If d is 0 or less
// it does not wait, and what has been recorded counts.
func (r *Recorder) Within(d time.Duration) *Recorder {
	other := *r
	other.timeout = d
	return &other
}

// Events returns all that has been recorded, in the order of recording, claimed
// events too. The slice is the caller's.
func (r *Recorder) Events() []eventbus.Event {
	return eventsOf(r.tape.all())
}

// Wait waits until n events have been recorded in all and returns what
// [Recorder.Events] does: n events, or more if more have come. It claims none.
// If they do not come within 5 s, it ends the test that the recorder was made
// for with Fatal, which prints what was recorded.
func (r *Recorder) Wait(n int) []eventbus.Event {
	r.t.Helper()
	ctx, cancel := r.patience()
	defer cancel()
	if n > 0 && !r.tape.await(ctx, 0, func(i int, _ entry) bool { return i == n-1 }) {
		r.t.Fatal(r.reportWait(n))
	}
	return r.Events()
}

// patience returns a context that ends when r is to wait no longer.
func (r *Recorder) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), r.timeout)
}

// A tape is what recorders have recorded.
type tape struct {
	mu      sync.Mutex
	entries []entry       // guarded by mu; grows only
	first   int           // guarded by mu; all entries before this one are claimed
	change  chan struct{} // guarded by mu; closed at the next event, nil if nobody waits for it
}

// An entry is a recorded event.
type entry struct {
	event   eventbus.Event
	claimed bool // an Expect has found it
}

// record is the handler.
func (p *tape) record(_ context.Context, e eventbus.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, entry{event: e})
	if p.change != nil {
		close(p.change)
		p.change = nil
	}
	return nil
}

// all returns the entries as they are now.
func (p *tape) all() []entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.entries)
}

// from returns the entries from the i-th on, as they are now, and a channel that
// is closed when there are more.
func (p *tape) from(i int) ([]entry, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.change == nil {
		p.change = make(chan struct{})
	}
	return slices.Clone(p.entries[i:]), p.change
}

// firstUnclaimed returns a place before which all entries are claimed.
func (p *tape) firstUnclaimed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// await calls take for every entry from the i-th on, those to come too, until it
// returns true or ctx ends, and reports which. It looks once more after the end
// of ctx.
func (p *tape) await(ctx context.Context, i int, take func(i int, x entry) bool) bool {
	for last := false; ; {
		entries, change := p.from(i)
		for _, x := range entries {
			if take(i, x) {
				return true
			}
			i++
		}
		if last {
			return false
		}
		select {
		case <-change:
		case <-ctx.Done():
			last = true
		}
	}
}

// claim claims the entries at the given places, unless one of them has been
// claimed meanwhile.
func (p *tape) claim(places []int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range places {
		if p.entries[i].claimed {
			return false
		}
	}
	for _, i := range places {
		p.entries[i].claimed = true
	}
	for p.first < len(p.entries) && p.entries[p.first].claimed {
		p.first++
	}
	return true
}

func eventsOf(entries []entry) []eventbus.Event {
	events := make([]eventbus.Event, len(entries))
	for i, x := range entries {
		events[i] = x.event
	}
	return events
}
