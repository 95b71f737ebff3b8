package eventbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/race"
)

// The filter lets the events of the three queues go on only when all of them
// have come so far.
func TestOnceIsExactlyOneCallHoweverManyQueuesRace(t *testing.T) {
	for range many(500) {
		b := newBus(t)
		var calls atomic.Int32
		var together sync.WaitGroup
		together.Add(len(everyQueue))
		meet := func(eventbus.Event) bool {
			together.Done()
			together.Wait()
			return true
		}
		s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls.Add(1); return nil }, eventbus.Once(), eventbus.Where(meet))
		start(t, b)
		for _, q := range everyQueue {
			publish(t, b, q, "tick", 1)
		}
		flush(t, b)
		require.EqualValues(t, 1, calls.Load())
		require.Empty(t, b.Stats().Handlers)
		s.Unsubscribe()
		publish(t, b, eventbus.DataQueue, "tick", 2)
		shutdown(t, b)
		require.EqualValues(t, 1, calls.Load())
	}
}

func TestOnceHoldsHoweverTheCallEnds(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				calls := 0
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls++; return fail() }, eventbus.Once())
				publish(t, b, eventbus.DataQueue, "tick", 1, 2, 3)
				flush(t, b)
				require.Equal(t, 1, calls)
				require.Len(t, reports.all(), 1)
				require.EqualValues(t, 2, b.Stats().Queues[eventbus.DataQueue].Unhandled)
			})
		})
	}
}

func even(e eventbus.Event) bool { return e.Data.(int)%2 == 0 }

func TestAFilterAndAQueueDecideWhatGetsToTheHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelDebug}
		b := startedBus(t, log.logger())
		var evens, onces, orders, all journal[int]
		big := func(e eventbus.Event) bool { return e.Data.(int) >= 4 }
		b.SubscribeFunc("tick", evens.handle, eventbus.WithName("evens"), eventbus.Where(even), eventbus.Where(big))
		b.SubscribeFunc("tick", onces.handle, eventbus.Where(big), eventbus.Once())
		b.SubscribeFunc("tick", orders.handle, eventbus.OnQueue(eventbus.OrderQueue), eventbus.OnQueue(eventbus.SignalQueue))
		b.SubscribeFunc("tick", all.handle)
		for i := range 9 {
			publish(t, b, everyQueue[i%3], "tick", i)
			flush(t, b)
		}
		require.Equal(t, []int{4, 6, 8}, evens.all())
		require.Equal(t, []int{4}, onces.all())
		require.Equal(t, []int{1, 2, 4, 5, 7, 8}, orders.all())
		require.Equal(t, upTo(0, 9), all.all())
		var calls []uint64
		synctest.Wait() // the counts may come later
		for _, h := range b.Stats().Handlers {
			calls = append(calls, h.Calls)
		}
		require.Equal(t, []uint64{3, 6, 9}, calls, "calls that were made")
		logged := 0
		for _, r := range log.find("eventbus: calling handler") {
			if r.attrs["handler"] == "evens" {
				logged++
			}
		}
		require.Equal(t, 3, logged)
		require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Unhandled)
	})
}

func TestAFilterThatPanicsIsReportedAsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		var picky, other journal[int]
		b.SubscribeFunc("tick", picky.handle, eventbus.WithName("picky"), eventbus.Once(), eventbus.Where(func(e eventbus.Event) bool {
			if e.Data == 0 {
				_ = explode(errHandler)
			}
			return true
		}))
		b.SubscribeFunc("tick", other.handle)
		publish(t, b, eventbus.DataQueue, "tick", 0)
		flush(t, b)
		require.Empty(t, picky.all())
		require.Equal(t, []int{0}, other.all())
		require.Len(t, reports.all(), 1)
		r := reports.all()[0]
		require.ErrorIs(t, r, errHandler)
		require.Equal(t, []any{"picky", true}, []any{r.Handler, r.Panicked})
		require.Contains(t, string(r.Stack), "eventbus_test.explode(")
		h := b.Stats().Handlers[0]
		require.EqualValues(t, []uint64{1, 1, 1}, []uint64{h.Calls, h.Failed, h.Panicked})
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		flush(t, b)
		require.Equal(t, []int{1}, picky.all(), "the panic was no call")
	})
}

// D24: a handler that fails k times in a row is taken out, visibly.
func TestAHandlerIsTakenOutAfterSoManyFailuresInARow(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := &logbook{level: slog.LevelWarn}
				b := startedBus(t, log.logger())
				var got, tap journal[int]
				s := b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
					_ = got.handle(ctx, e)
					if e.Data == 2 {
						return nil
					}
					return fail()
				}, eventbus.WithName("flaky"), eventbus.DisableAfter(3))
				other := b.SubscribeAll(eventbus.HandlerFunc(tap.handle), eventbus.WithName("tap"))
				publish(t, b, eventbus.OrderQueue, "tick", numbers(8)...)
				flush(t, b)
				require.Equal(t, upTo(0, 6), got.all(), "2 fail, 1 succeeds, 3 fail")
				require.Equal(t, upTo(0, 8), tap.all())
				records := log.find("eventbus: handler disabled, it failed too often in a row")
				require.Len(t, records, 1)
				require.Equal(t, slog.LevelError, records[0].level)
				require.Equal(t, "flaky", records[0].attrs["handler"])
				require.EqualValues(t, 3, records[0].attrs["failures"])
				synctest.Wait() // the counts may come later
				stats := b.Stats()
				require.EqualValues(t, 2, stats.Queues[eventbus.OrderQueue].Unhandled)
				require.Equal(t, "flaky", stats.Handlers[0].Name)
				require.True(t, stats.Handlers[0].Disabled)
				require.False(t, stats.Handlers[1].Disabled)
				require.EqualValues(t, []uint64{6, 5}, []uint64{stats.Handlers[0].Calls, stats.Handlers[0].Failed})
				require.Regexp(t, `flaky +tick +6 +5 .*disabled\n *tap +\(all\) +8 .*active\n`, stats.String())
				s.Unsubscribe()
				s.Unsubscribe()
				require.Len(t, b.Stats().Handlers, 1)
				other.Unsubscribe()
			})
		})
	}
}

func TestADisabledHandlerIsNotCalledForAnEventThatWasOnItsWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		before := newGate(t)
		b.SubscribeFunc("tick", before.handle, eventbus.OnQueue(eventbus.OrderQueue))
		var got journal[int]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			_ = got.handle(ctx, e)
			return errHandler
		}, eventbus.DisableAfter(1))
		publish(t, b, eventbus.OrderQueue, "tick", 1)
		receive(t, before.entered)
		publish(t, b, eventbus.DataQueue, "tick", 2)
		synctest.Wait()
		before.open()
		flush(t, b)
		require.Equal(t, []int{2}, got.all())
	})
}

func TestTapsSeeEveryTypeInTheirPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var order journal[string]
		say := func(who string) eventbus.HandlerFunc {
			return func(_ context.Context, e eventbus.Event) error {
				order.add(fmt.Sprint(who, " ", e.Type))
				return nil
			}
		}
		seen := func(types ...eventbus.EventType) []string {
			for _, typ := range types {
				publish(t, b, eventbus.DataQueue, typ, nil)
			}
			flush(t, b)
			defer func() { order = journal[string]{} }()
			return order.all()
		}
		b.Subscribe("a", say("1"))
		tap := b.SubscribeAll(say("tap"))
		b.Subscribe("a", say("2"))
		last := b.SubscribeAll(say("last"), eventbus.Where(func(e eventbus.Event) bool { return e.Type != "b" }))
		require.Equal(t, []string{"1 a", "tap a", "2 a", "last a", "tap b"}, seen("a", "b"))
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.DataQueue].Unhandled, "only taps see b")
		one := b.Subscribe("b", say("3"))
		require.Equal(t, []string{"tap b", "3 b", "tap c", "last c"}, seen("b", "c"))
		one.Unsubscribe()
		require.Equal(t, []string{"tap b"}, seen("b"))
		require.EqualValues(t, 3, b.Stats().Queues[eventbus.DataQueue].Unhandled)
		require.Len(t, b.Stats().Handlers, 4, "a tap is one subscription")
		tap.Unsubscribe()
		tap.Unsubscribe()
		require.Equal(t, []string{"1 a", "2 a", "last a", "last c"}, seen("a", "b", "c"))
		last.Unsubscribe()
		require.Equal(t, []string{"1 a", "2 a"}, seen("a", "b", "c"))
		require.EqualValues(t, 7, b.Stats().Queues[eventbus.DataQueue].Unhandled)
	})
}

func TestATapKeepsUpWithTypesWithoutEnd(t *testing.T) {
	const types = 10_000
	b := newBus(t)
	start(t, b)
	var n atomic.Int32
	b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { n.Add(1); return nil }))
	for i := range types {
		publish(t, b, eventbus.OrderQueue, eventbus.EventType(fmt.Sprint(i)), nil)
	}
	flush(t, b)
	require.EqualValues(t, types, n.Load())
}

func TestSubscribingRefusesBadOptions(t *testing.T) {
	b := newBus(t)
	h := eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return nil })
	for want, opt := range map[string]eventbus.SubscribeOption{
		"Where: the filter is nil":                           eventbus.Where(nil),
		`OnQueue: eventbus: unknown queue: Queue\(3\)`:       eventbus.OnQueue(3),
		"DisableAfter: the number of failures is 0, want 1":  eventbus.DisableAfter(0),
		"DisableAfter: the number of failures is -2, want 1": eventbus.DisableAfter(-2),
		"Use: middleware 1 is nil":                           eventbus.Use(silent, nil),
		"a middleware returned nil, want a handler":          eventbus.Use(func(eventbus.Handler) eventbus.Handler { return nil }),
		"an option is nil":                                   nil,
		"WithName: the name is empty":                        eventbus.WithName(""),
	} {
		require.Regexp(t, "^eventbus: Subscribe to tick: "+want, panicOf(func() { b.Subscribe("tick", h, opt) }))
		require.Regexp(t, "^eventbus: SubscribeAll: "+want, panicOf(func() { b.SubscribeAll(h, opt) }))
	}
	require.Regexp(t, "^eventbus: SubscribeAll: the handler is nil", panicOf(func() { b.SubscribeAll(nil) }))
	require.Empty(t, b.Stats().Handlers)
	_, err := eventbus.New(eventbus.WithMiddleware(silent, nil))
	require.ErrorContains(t, err, "WithMiddleware: middleware 1 is nil")
}

// silent is a middleware that does nothing.
func silent(next eventbus.Handler) eventbus.Handler { return next }

func TestFiltersAndTapsAllocateNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	b := newBus(t)
	start(t, b)
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil }, eventbus.Where(func(eventbus.Event) bool { return true }))
	b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return nil }))
	ctx := context.Background()
	publish(t, b, eventbus.OrderQueue, "other", nil)
	flush(t, b)
	require.Zero(t, testing.AllocsPerRun(500, func() {
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "tick"})
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "other"})
	}))
}

// A logger that fails costs a gated handler neither its call nor a second one.
func TestALoggerThatFailsCostsAGatedHandlerNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelDebug, onRecord: func(slog.Record) { panic("disk full") }}
		b := startedBus(t, log.logger())
		var got journal[int]
		b.SubscribeFunc("tick", got.handle, eventbus.Once())
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		synctest.Wait()
		require.Equal(t, []int{1}, got.all())
	})
}
