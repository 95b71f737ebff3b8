package eventbustest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// Expect waits until unclaimed events have been recorded that meet the
// matchers, one each and in their order, claims them, and returns them in that
// order. Other events may lie before, between and after them; they stay
// unclaimed. Of several events that meet a matcher it takes the first that was
// recorded after the one before. Events of an earlier call need not have been
// recorded before those of a later one.
//
// If the events do not come within 5 s, or a matcher gives up before they have
// come (see [Matcher.Unless]), Expect claims none and ends t with Fatal, which
// prints the error of that matcher, and what was expected against what was
// recorded. So does a call without matchers, or with one that is the zero Matcher or asks for a
// type that is not recorded, without waiting. t may be that of a subtest.
func (r *Recorder) Expect(t testing.TB, matchers ...Matcher) []eventbus.Event {
	t.Helper()
	return r.expect(t, "Expect", matchers, true)
}

// ExpectInAnyOrder is [Recorder.Expect] for events that come in any order. It
// returns them in the order of the matchers. If an event meets several of them,
// it is counted for one, such that all find an event if that is possible at all.
func (r *Recorder) ExpectInAnyOrder(t testing.TB, matchers ...Matcher) []eventbus.Event {
	t.Helper()
	return r.expect(t, "ExpectInAnyOrder", matchers, false)
}

// ExpectNone waits until the bus is at rest and ends t with Fatal if there are
// unclaimed events that meet one of the matchers or, without matchers, any at
// all. It claims nothing.
//
// At rest means that all that was published is handled, with all that handlers
// published meanwhile; what goroutines and timers of the code under test will
// publish later, it cannot know. A bus that does not run is at rest, and so is a
// queue that is paused. If the bus does not come to rest within 5 s, ExpectNone
// ends t with Fatal, except with [Recorder.Within] 0, which tells it not to wait.
// A matcher that Expect refuses is refused here too.
func (r *Recorder) ExpectNone(t testing.TB, matchers ...Matcher) {
	t.Helper()
	if msg := r.misuse(matchers); msg != "" {
		t.Fatalf("eventbustest: ExpectNone: %s", msg)
	}
	if err := r.rest(); err != nil {
		t.Fatalf("eventbustest: ExpectNone: the bus is not at rest: %v", err)
	}
	if msg := r.reportUnwanted(matchers); msg != "" {
		t.Fatalf("eventbustest: ExpectNone: %s", msg)
	}
}

// rest waits until the bus handles nothing more.
func (r *Recorder) rest() error {
	if r.timeout <= 0 {
		return nil
	}
	ctx, cancel := r.patience()
	defer cancel()
	err := r.bus.Flush(ctx)
	for _, atRest := range []error{eventbus.ErrNotRunning, eventbus.ErrClosed, eventbus.ErrPaused} {
		if errors.Is(err, atRest) {
			return nil
		}
	}
	return err
}

// expect looks for the events that the matchers ask for. If another call claims
// one of them in between, it looks again.
func (r *Recorder) expect(t testing.TB, call string, matchers []Matcher, ordered bool) []eventbus.Event {
	t.Helper()
	if len(matchers) == 0 {
		t.Fatalf("eventbustest: %s: no matcher is given; to expect that nothing more came, use ExpectNone", call)
	}
	if msg := r.misuse(matchers); msg != "" {
		t.Fatalf("eventbustest: %s: %s", call, msg)
	}
	ctx, cancel := r.patience()
	defer cancel()
	for {
		found, ok := r.find(ctx, matchers, ordered)
		if !ok {
			t.Fatalf("eventbustest: %s: %s", call, r.reportMissing(matchers, ordered, found))
			return nil
		}
		if r.tape.claim(found.places) {
			return found.events()
		}
	}
}

// misuse says what is wrong with the matchers, if anything is.
func (r *Recorder) misuse(matchers []Matcher) string {
	for i, m := range matchers {
		if m.match == nil {
			return fmt.Sprintf("matcher %d is the zero Matcher; make one with Type, Payload, PayloadFunc or Func", i+1)
		}
		if m.eventType != "" && !r.records(m.eventType) {
			return fmt.Sprintf("matcher %d asks for %s, which is not recorded; the recorder was made for %s", i+1, m.eventType, list(r.types))
		}
	}
	return ""
}

// A finding is what a search has come to.
type finding struct {
	from    int     // the place of the first entry; all before it are claimed
	entries []entry // all that it has seen
	places  []int   // where the events are, by matcher; nowhere for those without
	end     error   // of the matcher that gave up, nil if none did
}

// events returns the events by matcher, all of which have one.
func (f finding) events() []eventbus.Event {
	events := make([]eventbus.Event, len(f.places))
	for m, i := range f.places {
		events[m] = f.entries[i-f.from].event
	}
	return events
}

// find searches for unclaimed events that meet the matchers, those to come too,
// until ctx ends or a matcher gives up, and reports whether it has found them all.
// It does not look at what lies before the first unclaimed event, so that a test
// may call Expect for each of many thousand events.
func (r *Recorder) find(ctx context.Context, matchers []Matcher, ordered bool) (f finding, ok bool) {
	s := newSearch(matchers, ordered)
	f.from = r.tape.firstUnclaimed()
	ok = r.tape.await(ctx, f.from, func(i int, x entry) bool {
		f.entries = append(f.entries, x)
		if !x.claimed {
			s.take(i, x.event)
			f.end = giveUp(matchers, s.places(), i, x.event)
		}
		return s.missing() == 0 || f.end != nil
	})
	f.places = s.places()
	return f, ok && f.end == nil
}

// giveUp asks the matchers that have no place whether they give up for the event
// at place i, and returns the error of the first that does.
func giveUp(matchers []Matcher, places []int, i int, e eventbus.Event) error {
	for m := range matchers {
		if matchers[m].giveUp == nil || places[m] != nowhere {
			continue
		}
		if err := matchers[m].giveUp(e); err != nil {
			return fmt.Errorf("matcher %d gave up at #%d: %w", m+1, i+1, err)
		}
	}
	return nil
}
