package eventbus

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fact is what a row of the law asks for.
type fact uint

const (
	isAbandoned fact = 1 << iota
	isClosed
	isClosing
	isForeign // no handler of the queue's bus publishes
	hasEnded  // the context
	isPublishWait
	isStepped
	keyIsThere
	hasRoom
	isBehind // somebody in line is ahead
	isSpilled
	isTry
	dropsOldest
	dropsNewest
	hasTimeout

	numFacts = 15
)

var factNames = [numFacts]string{
	"abandoned", "closed", "closing", "foreign", "ended", "PublishWait", "stepped", "key waits", "room", "behind",
	"spilled", "TryPublish", "DropOldest", "DropNewest", "timeout",
}

func (f fact) String() string {
	var names []string
	for i, name := range factNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// next leads to the next row.
const next verdict = 255

// law is the table of section 2 of the design, in its order: a row counts if all its
// facts hold and none of those that it excludes. The columns are the standings.
var law = []struct {
	number     string
	all, none  fact
	outside    verdict
	mayWait    verdict
	mustNot    verdict
	whatItSays string
}{
	{"0", isAbandoned, 0, rejectAbandoned, rejectAbandoned, rejectAbandoned, "the call was abandoned by Async"},
	{"1", isClosed, 0, rejectClosed, rejectClosed, rejectClosed, "the queue is closed"},
	{"1", isClosing | isForeign, 0, rejectClosed, rejectClosed, rejectClosed, "it is closing and this is no handler of its bus"},
	{"2", hasEnded, 0, rejectEnded, next, next, "the context has ended and is not a handler's own"},
	{"2a", isPublishWait | isStepped, 0, rejectWait, next, next, "nobody but the caller could handle what it waits for"},
	{"2a", isPublishWait, 0, next, next, rejectWait, "inside a handler that must not wait it is refused before row 3"},
	{"3", keyIsThere, 0, replace, replace, replace, "an accepted event with its key waits"},
	{"4", hasRoom, isBehind, accept, accept, accept, "there is room, and nobody is ahead"},
	{"5", isTry, 0, rejectFull, rejectFull, rejectFull, "TryPublish"},
	{"6", dropsOldest, 0, evict, evict, evict, "the queue drops the oldest"},
	{"7", dropsNewest, hasTimeout, rejectDropped, rejectDropped, rejectDropped, "the rule is to drop at once"},
	{"8", isSpilled, 0, next, next, rejectSpilled, "beyond the bound"},
	{"8", isStepped | dropsNewest | hasTimeout, 0, rejectDropped, wait, postpone, "on a stepped bus the rule's error at once"},
	{"8", isStepped, 0, rejectFull, wait, postpone, "on a stepped bus the rule's error at once"},
	{"8", 0, 0, wait, wait, postpone, "waits"},
}

// verdictOf looks the verdict up in the table.
func verdictOf(s standing, facts fact) verdict {
	for _, row := range law {
		if facts&row.all != row.all || facts&row.none != 0 {
			continue
		}
		if v := [...]verdict{row.outside, row.mayWait, row.mustNot}[s]; v != next {
			return v
		}
	}
	return next
}

// arguments returns what the facts are for decide.
func arguments(s standing, facts fact) (publisher, *rule, queueState) {
	is := func(f fact) bool { return facts&f != 0 }
	r := &rule{atOnce: is(isTry)}
	switch {
	case is(dropsOldest):
		r.overflow = DropOldest
	case is(dropsNewest):
		r.overflow = DropNewest
	}
	if is(hasTimeout) {
		r.timeout = time.Second
	}
	return publisher{standing: s, abandoned: is(isAbandoned), ofBus: !is(isForeign), ended: is(hasEnded), awaits: is(isPublishWait)},
		r,
		queueState{closing: is(isClosing), closed: is(isClosed), stepped: is(isStepped), keyWaits: is(keyIsThere), room: is(hasRoom), ahead: is(isBehind), spilled: is(isSpilled)}
}

// isPossible reports whether a rule can be so: DropOldest never waits.
func isPossible(facts fact) bool {
	return facts&dropsOldest == 0 || facts&(dropsNewest|hasTimeout) == 0
}

// Publish, TryPublish, PublishBatch, PublishWait and topics get the first verdict of
// the table that matches, whoever publishes, by whatever rule, and however the queue
// stands.
func TestPublishFollowsTheLaw(t *testing.T) {
	reached := make(map[string]bool)
	for _, s := range []standing{outsider, mayWait, mustNotWait} {
		for facts := range fact(1) << numFacts {
			if !isPossible(facts) {
				continue
			}
			p, r, q := arguments(s, facts)
			want, got := verdictOf(s, facts), decide(p, r, q)
			if want != got {
				t.Fatalf("standing %d, %v: the verdict is %d, want %d", s, facts, got, want)
			}
			reached[fmt.Sprint(s, got)] = true
		}
	}
	for _, row := range law {
		for s, v := range []verdict{row.outside, row.mayWait, row.mustNot} {
			require.True(t, v == next || reached[fmt.Sprint(standing(s), v)], "row %s, %s, column %d", row.number, row.whatItSays, s)
		}
	}
}

// Each row and column is decided by the row itself, with nothing else that matters.
func TestPublishFollowsEachRowOfTheLaw(t *testing.T) {
	for _, row := range law {
		for s, want := range []verdict{row.outside, row.mayWait, row.mustNot} {
			if want == next {
				continue
			}
			t.Run(fmt.Sprintf("row %s, %s, column %d", row.number, row.whatItSays, s), func(t *testing.T) {
				p, r, q := arguments(standing(s), row.all)
				require.Equal(t, want, decide(p, r, q))
			})
		}
	}
}

// The verdicts that refuse are these errors.
func TestPublishRefusesWithTheErrorOfTheVerdict(t *testing.T) {
	b, err := New()
	require.NoError(t, err)
	pub := &publication{ctxErr: context.Canceled}
	awaits := &publication{noWait: ErrWouldDeadlock}
	for v, want := range map[verdict]error{
		rejectAbandoned: ErrHandlerTimeout, rejectClosed: ErrClosed, rejectEnded: context.Canceled, rejectWait: ErrNotRunning,
		rejectFull: ErrQueueFull, rejectSpilled: ErrQueueFull, rejectDropped: ErrDropped,
	} {
		require.ErrorIs(t, b.queues[OrderQueue].rejectLocked(pub, v), want)
	}
	require.ErrorIs(t, b.queues[OrderQueue].rejectLocked(awaits, rejectWait), ErrWouldDeadlock)
	require.Zero(t, b.queues[OrderQueue].admission.refused, "no handler was refused")
}

// A fast publish does not take admissionMu. If an event with the key of another one begins to
// wait after the verdict on that, the other replaces it all the same.
func TestConflateByKeepsOneOfAKeyWhateverTheVerdict(t *testing.T) {
	for _, overflow := range []Overflow{Block, DropOldest} {
		for v, name := range map[verdict]string{accept: "accept", evict: "evict", postpone: "postpone"} {
			if v == evict && overflow != DropOldest {
				continue
			}
			t.Run(overflow.String()+", "+name, func(t *testing.T) {
				b := newBench(t, 5, WithQueue(OrderQueue, QueueConfig{
					Capacity: 5, Overflow: overflow, ConflateBy: func(e Event) string { return string(e.Type) },
				}))
				require.NoError(t, b.bus.Publish(t.Context(), OrderQueue, Event{Type: "quote", Data: 1}))
				pub := b.of(nil, 2)
				pub.entries[0].Type = "quote"
				require.NoError(t, b.q.label(&pub.entries[0], nil, nil, time.Now))
				locked(func() { require.True(t, b.q.enforceLocked(pub, &pub.entries[0], v)) })
				var e entry
				require.True(t, b.q.buffer.Begin(&e))
				require.Equal(t, 2, e.event().Data)
				require.False(t, b.q.buffer.Begin(&e))
				require.EqualValues(t, 1, b.q.buffer.Counts().Replaced)
				require.Empty(t, pub.evicted)
			})
		}
	}
}

// The processor and whoever gives up agree which handlers the kill switch leaves out.
func TestKillSwitchLeavesOutHandlersByOneRule(t *testing.T) {
	retain, plain := &Subscription{retainer: true}, &Subscription{}
	for _, tt := range []struct {
		retained bool
		index    int
		called   bool
		cut      int
	}{
		{false, 0, false, 1}, // the first handler is called in any case
		{false, 0, true, 1},
		{false, 1, false, 1},
		{false, 1, true, 2},
		{false, 2, false, 2},
		{true, 0, false, 2}, // Retain and the first handler
		{true, 0, true, 2},
		{true, 1, false, 2},
		{true, 1, true, 2},
		{true, 2, false, 2},
		{true, 2, true, 3},
	} {
		l := &handlerList{subs: []*Subscription{plain, plain, plain}}
		if tt.retained {
			l.subs[0] = retain
		}
		require.Equal(t, tt.cut, l.firstCut(tt.index, tt.called), "%+v", tt)
	}
}

// A Shutdown that gives up while a processor of several queues has begun an event and looks
// for its handlers does not take it for one that is at the handlers of another queue's event.
func TestShutdownWhileTheHandlersAreLookedForNamesNoOther(t *testing.T) {
	for name, sleeps := range map[string]bool{"after a sleep": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			b, err := New(WithSingleThread(), WithLogger(slog.New(slog.DiscardHandler)), WithPollInterval(time.Hour))
			require.NoError(t, err)
			called, goOn := make(chan string, 10), make(chan struct{})
			handler := func(name string) func(context.Context, Event) error {
				return func(context.Context, Event) error { called <- name; return nil }
			}
			b.SubscribeFunc("tick", handler("first"))
			b.SubscribeFunc("tick", func(context.Context, Event) error { called <- "other queue's"; <-goOn; return nil }, WithName("other queue's"))
			b.SubscribeFunc("order", handler("called"))
			b.SubscribeFunc("order", handler("left out"), WithName("left out"))
			require.NoError(t, b.Start(t.Context()))
			require.NoError(t, b.Publish(t.Context(), DataQueue, Event{Type: "tick"}))
			require.Equal(t, "first", <-called)
			require.Equal(t, "other queue's", <-called)
			if sleeps {
				close(goOn)
				require.NoError(t, b.Flush(t.Context()))
			}
			b.table.mu.Lock() // as somebody does who subscribes
			require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
			if !sleeps {
				close(goOn)
			}
			for !b.queues[OrderQueue].buffer.Site().Busy() {
				runtime.Gosched()
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			result := make(chan error, 1)
			go func() { result <- b.Shutdown(ended) }()
			time.Sleep(5 * time.Millisecond) // it looks at the processor by now, or waits to
			b.table.mu.Unlock()
			left := new(ShutdownError)
			require.ErrorAs(t, <-result, &left)
			require.NotContains(t, left.Error(), "other queue's")
			require.Len(t, left.Interrupted, 1)
			require.Equal(t, []string{"left out"}, left.Interrupted[0].Handlers)
			require.Equal(t, "called", <-called)
			require.Empty(t, called)
		})
	}
}
