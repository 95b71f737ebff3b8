package eventbus_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

// Whatever comes and goes, each event is handled by who matches it, in order: a model
// of three lines says by whom.
func TestSubscribeMatchAgreesWithTheModel(t *testing.T) {
	type handler struct {
		sub          *eventbus.Subscription
		id, priority int
		matches      func(eventbus.EventType) bool
	}
	types := []eventbus.EventType{"a", "b", "aa", "ab", "ba", "b/a"}
	patterns := []string{"a*", "*a", "?", "[ab]?", "*", "*/*", "none"}
	for seed := range uint64(many(50)) {
		b, rng := newBus(t), rand.New(rand.NewPCG(seed, 1))
		var present []*handler
		var calls, want []int
		subscribe := func(id int) *handler {
			h := &handler{id: id, priority: rng.IntN(3) - 1}
			f := func(context.Context, eventbus.Event) error { calls = append(calls, id); return nil }
			priority := eventbus.WithPriority(h.priority)
			switch rng.IntN(3) {
			case 0:
				typ := types[rng.IntN(len(types))]
				h.matches = func(t eventbus.EventType) bool { return t == typ }
				h.sub = b.SubscribeFunc(typ, f, priority)
			case 1:
				pattern := patterns[rng.IntN(len(patterns))]
				h.matches = func(t eventbus.EventType) bool { ok, _ := path.Match(pattern, string(t)); return ok }
				h.sub = b.SubscribeMatch(pattern, eventbus.HandlerFunc(f), priority)
			default:
				h.matches = func(eventbus.EventType) bool { return true }
				h.sub = b.SubscribeAll(eventbus.HandlerFunc(f), priority)
			}
			return h
		}
		for step := range 200 {
			switch n := rng.IntN(4); {
			case n == 0:
				present = append(present, subscribe(step))
			case n == 1 && len(present) > 0:
				i := rng.IntN(len(present))
				present[i].sub.Unsubscribe()
				present = slices.Delete(present, i, i+1)
			default:
				typ := types[rng.IntN(len(types))]
				calls, want = nil, nil
				for _, h := range slices.SortedStableFunc(slices.Values(present), func(a, b *handler) int { return cmp.Compare(b.priority, a.priority) }) {
					if h.matches(typ) {
						want = append(want, h.id)
					}
				}
				publish(t, b, eventbus.DataQueue, typ, nil)
				runUntilIdle(t, b)
				require.Equal(t, want, calls, "seed %d, step %d, type %s", seed, step, typ)
			}
		}
		for _, h := range present {
			h.sub.Unsubscribe()
		}
	}
}

func TestSubscribeMatchRefusesBadInput(t *testing.T) {
	b := newBus(t)
	h := eventbus.HandlerFunc(pass)
	for pattern, want := range map[string]string{
		"":     "eventbus: SubscribeMatch: the pattern is empty",
		"[":    `eventbus: SubscribeMatch: the pattern "[" is malformed`,
		"a*[":  `eventbus: SubscribeMatch: the pattern "a*[" is malformed`,
		"[]":   `eventbus: SubscribeMatch: the pattern "[]" is malformed`,
		"[b-]": `eventbus: SubscribeMatch: the pattern "[b-]" is malformed`,
		`a\`:   `eventbus: SubscribeMatch: the pattern "a\\" is malformed`,
	} {
		require.Equal(t, want, panicOf(func() { b.SubscribeMatch(pattern, h) }))
	}
	for want, f := range map[string]func(){
		"the handler is nil":  func() { b.SubscribeMatch("a*", nil) },
		"an option is nil":    func() { b.SubscribeMatch("a*", h, nil) },
		"WithLast: a pattern": func() { b.SubscribeMatch("a*", h, eventbus.WithLast()) },
	} {
		require.Contains(t, panicOf(f), "eventbus: SubscribeMatch to a*: "+want)
	}
	require.Empty(t, b.Stats().Handlers)
}

func TestSubscribeMatchOnceIsOneCallForAllTypes(t *testing.T) {
	b := newBus(t)
	start(t, b)
	for range many(500) {
		calls := make(chan eventbus.EventType, 100)
		s := b.SubscribeMatch("order_*", eventbus.HandlerFunc(func(_ context.Context, e eventbus.Event) error {
			calls <- e.Type
			return nil
		}), eventbus.Once())
		for _, q := range bustest.EveryQueue {
			publish(t, b, q, eventbus.EventType(fmt.Sprint("order_", q)), nil)
		}
		bustest.Flush(t, b)
		receive(t, s.Done())
		require.Len(t, calls, 1)
	}
}

// The bus remembers 4,096 types. Those beyond get the same handlers.
func TestSubscribeMatchKeepsUpWithTypesWithoutEnd(t *testing.T) {
	const types, remembered = 5000, 4096
	b := newBus(t)
	var even, other int
	count := func(n *int) eventbus.HandlerFunc {
		return func(context.Context, eventbus.Event) error { *n++; return nil }
	}
	s := b.SubscribeMatch("*[02468]", count(&even))
	round := func() {
		for i := range types {
			publish(t, b, eventbus.OrderQueue, eventbus.EventType(fmt.Sprint(i)), nil)
			runUntilIdle(t, b)
		}
	}
	round()
	require.Equal(t, types/2, even)
	require.EqualValues(t, types/2, orders(b).Unhandled, "a type that nothing matches is remembered, too")
	b.Subscribe("1", count(&other))
	b.Subscribe(eventbus.EventType(fmt.Sprint(remembered+1)), count(&other))
	b.SubscribeMatch("4*", count(&other))
	round()
	require.Equal(t, types, even)
	require.Equal(t, 2+1+10+100+1000, other)
	s.Unsubscribe()
	even = 0
	round()
	require.Zero(t, even)
	require.Equal(t, 2*(2+1+10+100+1000), other)
}

// Once the types are known there is nothing left to allocate.
func TestSubscribeMatchAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	b := newBus(t)
	start(t, b)
	b.SubscribeMatch("tick_*", eventbus.HandlerFunc(pass))
	ctx := context.Background()
	publish(t, b, eventbus.OrderQueue, "tick_a", nil)
	publish(t, b, eventbus.OrderQueue, "other", nil)
	bustest.Flush(t, b)
	require.Zero(t, testing.AllocsPerRun(500, func() {
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "tick_a"})
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "other"})
	}))
}

// isDone reports whether s.Done is closed, once all that can run has run.
func isDone(s *eventbus.Subscription) bool {
	synctest.Wait()
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// Each case begins with a handler of s that runs, held at a gate.
func TestDoneWaitsForTheCallAtHand(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, b *eventbus.Bus, s *eventbus.Subscription){
		"Unsubscribe": func(_ *testing.T, _ *eventbus.Bus, s *eventbus.Subscription) { s.Unsubscribe() },
		"the kill switch": func(t *testing.T, b *eventbus.Bus, _ *eventbus.Subscription) {
			require.Error(t, b.Shutdown(bustest.Ended()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, entered, release := startedBus(t), make(chan bool), make(chan bool)
				var after int
				s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { entered <- true; <-release; return nil })
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { after++; return nil })
				done := s.Done()
				publish(t, b, eventbus.DataQueue, "tick", 1)
				receive(t, entered)
				require.False(t, isDone(s), "it has not ended")
				end(t, b, s)
				require.False(t, isDone(s), "its handler runs")
				time.Sleep(time.Minute)
				require.False(t, isDone(s))
				close(release)
				require.True(t, isDone(s))
				require.Equal(t, done, s.Done())
			})
		})
	}
}

func TestDoneIsClosedByOnceDisableAfterAndShutdown(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		once := b.SubscribeFunc("tick", pass, eventbus.Once())
		failing := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return bustest.ErrHandler }, eventbus.DisableAfter(2))
		stays := b.SubscribeFunc("tick", pass)
		asked := failing.Done()
		publish(t, b, eventbus.DataQueue, "tick", 1)
		bustest.Flush(t, b)
		require.True(t, isDone(once))
		require.False(t, isDone(failing))
		publish(t, b, eventbus.DataQueue, "tick", 2)
		bustest.Flush(t, b)
		require.True(t, isDone(failing))
		require.Equal(t, asked, failing.Done())
		failing.Unsubscribe()
		require.False(t, isDone(stays))
		shutdown(t, b)
		instantly(t, "Done after Shutdown", func() { <-stays.Done() })
	})
}

// A call that Async has given up on runs on, so the subscription is not done.
func TestDoneWaitsForAbandonedCalls(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, release := startedBus(t), make(chan bool)
		state := 0
		s := b.Subscribe("tick", eventbus.Async(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
			<-release
			state++
			return nil
		}), time.Second))
		other := b.Subscribe("tick", eventbus.HandlerFunc(pass))
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		bustest.Flush(t, b)
		require.Equal(t, 2, b.Stats().Abandoned)
		s.Unsubscribe()
		other.Unsubscribe()
		require.True(t, isDone(other))
		require.False(t, isDone(s))
		release <- true
		require.False(t, isDone(s), "one still runs")
		release <- true
		receive(t, s.Done())
		require.Equal(t, 2, state)
	})
}

// A processor that is at an event of another type does not hold it up, so that a
// handler may replace another subscription and go on with its state.
func TestDoneDoesNotWaitForEventsOfOthers(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"three threads": nil, "single thread": {eventbus.WithSingleThread()},
		"with a clock": {eventbus.WithClock(time.Now), maxAge(eventbus.DataQueue, 10, time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := startedBus(t, opts...)
				calls, seen := 0, 0
				s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls++; return nil })
				b.SubscribeFunc("replace", func(context.Context, eventbus.Event) error {
					s.Unsubscribe()
					select {
					case <-s.Done():
						seen = calls
					case <-time.After(time.Minute):
					}
					return nil
				})
				publish(t, b, eventbus.DataQueue, "tick", 1, 2)
				publish(t, b, eventbus.DataQueue, "replace", 1)
				publish(t, b, eventbus.DataQueue, "tick", 3)
				bustest.Flush(t, b)
				require.Equal(t, 2, seen)
				require.Equal(t, 2, calls)
			})
		})
	}
}

// An event that has expired is nobody's, though an error handler is told of it.
func TestDoneDoesNotWaitForAnEventThatHasExpired(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		g := newGate()
		b := startedBus(t, maxAge(eventbus.DataQueue, 10, time.Second),
			eventbus.WithErrorHandler(func(ctx context.Context, err *eventbus.HandlerError) { _ = g.handle(ctx, err.Event) }))
		s := b.SubscribeFunc("tick", pass)
		require.False(t, isDone(s))
		e := event("tick", 1)
		e.Time = time.Now().Add(-time.Minute)
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, e))
		receive(t, g.entered)
		s.Unsubscribe()
		time.Sleep(time.Second)
		require.True(t, isDone(s))
		g.open()
	})
}

// On a stepped bus, whose goroutine runtime.Goexit may end, the event that was at hand
// goes on with the next call.
func TestDoneOnASteppedBus(t *testing.T) {
	b := newBus(t)
	calls := 0
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil })
	s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls++; return nil })
	publish(t, b, eventbus.DataQueue, "tick", 1)
	exited := make(chan bool)
	go func() {
		defer close(exited)
		_, _ = b.RunUntilIdle(context.Background())
	}()
	receive(t, exited)
	s.Unsubscribe()
	select {
	case <-s.Done():
		require.Fail(t, "the event goes through its handlers first")
	default:
	}
	runUntilIdle(t, b)
	receive(t, s.Done())
	require.Equal(t, 1, calls)
}

// A late joiner that leaves on its way is done, and so is one that Shutdown keeps from
// arriving.
func TestDoneOfLateJoiners(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		topic := eventbus.NewTopic[int]("tick", eventbus.DataQueue, eventbus.Retain())
		require.NoError(t, topic.Publish(context.Background(), b, 1))
		bustest.Flush(t, b)
		require.NoError(t, b.Pause(eventbus.DataQueue))
		var subs []*eventbus.Subscription
		for range 2 {
			s := topic.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast())
			require.False(t, isDone(s))
			subs = append(subs, s)
		}
		subs[0].Unsubscribe()
		require.True(t, isDone(subs[0]))
		require.False(t, isDone(subs[1]))
		_ = b.Shutdown(bustest.Ended())
		require.True(t, isDone(subs[1]))
	})
}
