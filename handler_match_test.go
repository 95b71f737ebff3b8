package eventbus_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

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
		s.Unsubscribe()
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
