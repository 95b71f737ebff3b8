package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	gosrc "go/scanner"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	text "text/scanner"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Handlers come and go at any time, anywhere, effective from the next event.
func TestSubscribeAnywhereCountsFromTheNextEvent(t *testing.T) {
	const goroutines = 8
	rounds := many(500)
	b := startedBus(t)
	stop := traffic(b, "tick")
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for round := range rounds {
				var mine, others atomic.Int32
				handle := func(_ context.Context, e eventbus.Event) error {
					if e.Data == g {
						mine.Add(1)
					} else {
						others.Add(1)
					}
					return nil
				}
				s := b.SubscribeFunc("tick", handle)
				publish(t, b, eventbus.OrderQueue, "tick", g)
				done := make(chan struct{}, 1)
				fence := b.SubscribeFunc("fence", func(_ context.Context, e eventbus.Event) error {
					if e.Data == g {
						done <- struct{}{}
					}
					return nil
				})
				pass := func() {
					publish(t, b, eventbus.OrderQueue, "fence", g)
					select {
					case <-done:
					case <-time.After(bustest.Patience):
						require.Fail(t, "a handler is not called")
					}
				}
				pass()
				require.EqualValues(t, 1, mine.Load(), "subscribed, round %d", round)
				s.Unsubscribe()
				s.Unsubscribe()
				pass()
				seen := others.Load()
				publish(t, b, eventbus.OrderQueue, "tick", g)
				pass()
				require.EqualValues(t, 1, mine.Load(), "unsubscribed, round %d", round)
				require.Equal(t, seen, others.Load())
				fence.Unsubscribe()
			}
		})
	}
	wait(t, &wg)
	require.NoError(t, stop())
	require.Empty(t, b.Stats().Handlers)
}

// After Subscription.Unsubscribe no call begins, and the handler is let go of.
func TestUnsubscribeEndsTheCallsAndLetsGoOfTheHandler(t *testing.T) {
	b := startedBus(t)
	freed := make(chan struct{})
	var subscriptions []*eventbus.Subscription
	func() {
		h := new(heldHandler)
		runtime.AddCleanup(h, func(freed chan struct{}) { close(freed) }, freed)
		for _, typ := range []eventbus.EventType{"tick", "candle"} {
			subscriptions = append(subscriptions, b.Subscribe(typ, h))
		}
		subscriptions = append(subscriptions, b.SubscribeAll(h))
		publish(t, b, eventbus.OrderQueue, "tick", 0)
		bustest.Flush(t, b)
		require.EqualValues(t, 2, h.calls.Load())
		for _, s := range subscriptions {
			s.Unsubscribe()
		}
		publish(t, b, eventbus.OrderQueue, "tick", 1)
		publish(t, b, eventbus.OrderQueue, "candle", 1)
		bustest.Flush(t, b)
		require.EqualValues(t, 2, h.calls.Load())
	}()
	eventually(t, "the end of the handler", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
	runtime.KeepAlive(subscriptions)
	runtime.KeepAlive(b)
}

// A heldHandler holds memory that the garbage collector can be asked about.
type heldHandler struct {
	calls atomic.Int64
	_     [1 << 10]byte
}

func (h *heldHandler) Handle(context.Context, eventbus.Event) error { h.calls.Add(1); return nil }

// Subscription.Done is closed when no call of it runs or can begin any more. So what
// only the handler uses can be read without a lock: calls is a plain variable, and
// the race detector watches.
func TestDoneIsClosedWhenNoCallRunsOrCanBegin(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"three threads": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			start(t, b)
			var stop atomic.Bool
			traffic := bustest.InBackground(func() error {
				for n := 0; !stop.Load(); n++ {
					if err := b.Publish(context.Background(), eventbus.Queue(n%3), event("tick", n)); err != nil {
						return err
					}
				}
				return nil
			})
			b.SubscribeFunc("tick", pass)
			for round := range many(5000) {
				calls := 0
				s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error {
					calls++
					runtime.Gosched()
					calls++
					return nil
				}, eventbus.OnQueue(eventbus.Queue(round%3)))
				if round%2 == 0 {
					s.Done()
				}
				for range round % 50 {
					runtime.Gosched()
				}
				s.Unsubscribe()
				receive(t, s.Done())
				calls++
			}
			stop.Store(true)
			require.NoError(t, receive(t, traffic))
		})
	}
}

// A subscription made after Shutdown is logged, and its Done is closed.
func TestSubscribeAfterShutdownIsLoggedAndDone(t *testing.T) {
	log := &logbook{level: slog.LevelWarn}
	b := startedBus(t, log.logger())
	topic := eventbus.NewTopic[int]("kept", eventbus.DataQueue, eventbus.Retain())
	topic.Subscribe(b, func(context.Context, int) error { return nil })
	before := b.SubscribeFunc("tick", pass)
	shutdown(t, b)
	require.Empty(t, log.find(subscribedLate))
	named, handler := eventbus.WithName("late"), eventbus.HandlerFunc(pass)
	for _, s := range []*eventbus.Subscription{
		b.SubscribeFunc("tick", pass, named),
		b.SubscribeMatch("t*", handler, named),
		b.SubscribeAll(handler, named),
		topic.Subscribe(b, func(context.Context, int) error { return nil }, named, eventbus.WithLast()),
		before,
	} {
		receive(t, s.Done())
		s.Unsubscribe()
		receive(t, s.Done())
	}
	records := log.find(subscribedLate)
	require.Len(t, records, 4)
	for _, r := range records {
		require.Equal(t, slog.LevelWarn, r.level)
		require.Equal(t, "late", r.attrs["handler"])
	}
	require.EqualValues(t, "tick", records[0].attrs["type"])
	require.Equal(t, "t*", records[1].attrs["pattern"])
	require.EqualValues(t, "kept", records[3].attrs["type"])
}

const subscribedLate = "eventbus: subscribed after Shutdown, the handler is never called"

// The bus never writes to an event, but for the Time that MaxAge needs. Whatever
// the publisher or another handler do to their copies, handlers get the event
// that was published.
func TestSubscribeHandlersGetEventsAsPublished(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var got, reported []eventbus.Event
		b := newBus(t, noPoll, maxAge(eventbus.OrderQueue, 10, time.Hour), eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
			reported = append(reported, err.Event)
			err.Event.Source = "error handler"
		}))
		for range 2 {
			b.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
				got = append(got, e)
				e.Type, e.Data, e.Source, e.Time = "changed", nil, "changed", time.Now()
				return bustest.ErrHandler
			})
		}
		bare := eventbus.Event{Type: "tick"} // no time: it gets none
		full := eventbus.Event{Type: "tick", Data: 1.5, Source: "feed", Time: time.Unix(1, 2)}
		var want []eventbus.Event
		for _, e := range []eventbus.Event{bare, full} {
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, e))
			want = append(want, e, e)
			e.Type, e.Data, e.Source, e.Time = "changed", nil, "changed", time.Now()
		}
		start(t, b)
		bustest.Flush(t, b)
		require.Equal(t, want, got)
		require.Equal(t, want, reported)

		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, bare))
		bustest.Flush(t, b)
		stamped := bare
		stamped.Time = time.Now()
		require.Equal(t, []eventbus.Event{stamped, stamped}, got[len(want):])

		b.Stop()
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, bare))
		require.Equal(t, []eventbus.Event{bare}, leftBy(t, b.Shutdown(context.Background())).Remaining[eventbus.DataQueue])
	})
}

// An event that only taps of Bus.SubscribeAll see counts as unhandled.
func TestSubscribeAllSeesEveryTypeInItsPlace(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
			bustest.Flush(t, b)
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

// Bus.SubscribeMatch handles the types that its pattern matches, later ones too. It
// has its place among the others, and an event that nobody else gets is handled.
func TestSubscribeMatchHandlesTheTypesThatItsPatternMatches(t *testing.T) {
	b := newBus(t)
	start(t, b)
	var calls []string
	say := func(name string) func(context.Context, eventbus.Event) error {
		return func(_ context.Context, e eventbus.Event) error {
			calls = append(calls, name+" "+string(e.Type))
			return nil
		}
	}
	b.SubscribeFunc("order_filled", say("first"))
	b.SubscribeMatch("order_*", eventbus.HandlerFunc(say("orders")), eventbus.WithName("desk"))
	b.SubscribeFunc("order_filled", say("second"))
	b.SubscribeAll(eventbus.HandlerFunc(say("tap")))
	b.SubscribeMatch("*_[e-g]illed", eventbus.HandlerFunc(say("fills")))
	for typ, want := range map[eventbus.EventType][]string{
		"order_filled": {"first", "orders", "second", "tap", "fills"},
		"order_placed": {"orders", "tap"},
		"order_":       {"orders", "tap"},
		"leg_filled":   {"tap", "fills"},
		"order_a/b":    {"tap"},
		"order":        {"tap"},
	} {
		for i := range want {
			want[i] += " " + string(typ)
		}
		for range 2 {
			calls = nil
			err := b.PublishWait(bustest.Within(t, bustest.Patience), eventbus.OrderQueue, event(typ, nil))
			require.Equal(t, want, calls, typ)
			require.Equal(t, len(want) == 1, errors.Is(err, eventbus.ErrUnhandled), "%s: %v", typ, err)
		}
	}
	require.EqualValues(t, 4, orders(b).Unhandled)
	bustest.Flush(t, b)
	stats := b.Stats()
	require.Equal(t, []string{"", "order_*", "", "", "*_[e-g]illed"}, []string{stats.Handlers[0].Pattern, stats.Handlers[1].Pattern,
		stats.Handlers[2].Pattern, stats.Handlers[3].Pattern, stats.Handlers[4].Pattern})
	require.Empty(t, stats.Handlers[1].Type)
	require.Regexp(t, `desk +order_\* +6 `, stats.String())
}

// WithPriority calls a handler before those of the same event with a lower one. Equal
// ones are called in the order in which they subscribed, and Retain keeps before all.
func TestWithPriorityCallsTheHigherFirst(t *testing.T) {
	b := newBus(t)
	var calls []string
	say := func(name string) eventbus.HandlerFunc {
		return func(context.Context, eventbus.Event) error { calls = append(calls, name); return nil }
	}
	topic := eventbus.NewTopic[int]("tick", eventbus.DataQueue, eventbus.Retain())
	topic.Subscribe(b, func(ctx context.Context, _ int) error { return say("0")(ctx, eventbus.Event{}) })
	b.Subscribe("tick", say("5"), eventbus.WithPriority(5))
	b.SubscribeAll(say("tap -1"), eventbus.WithPriority(-1))
	b.SubscribeMatch("t*", say("pattern 5"), eventbus.WithPriority(5))
	b.SubscribeAll(say("tap 7"), eventbus.WithPriority(3), eventbus.WithPriority(7))
	b.Subscribe("tick", say("0 again"), eventbus.WithPriority(0))
	b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		topic.Forget(b) // what is kept already
		return say("first")(ctx, e)
	}, eventbus.WithPriority(math.MaxInt), eventbus.WithName("first"))
	last := b.Subscribe("tick", say("last"), eventbus.WithPriority(math.MinInt))
	publish(t, b, eventbus.DataQueue, "tick", 1)
	runUntilIdle(t, b)
	require.Equal(t, []string{"first", "tap 7", "5", "pattern 5", "0", "0 again", "tap -1", "last"}, calls)
	require.Equal(t, "first", b.Stats().Handlers[0].Name)
	last.Unsubscribe()
	calls = nil
	b.Subscribe("tick", say("joiner"), eventbus.WithLast(), eventbus.WithPriority(6))
	runUntilIdle(t, b)
	require.Empty(t, calls, "the event is forgotten")
	publish(t, b, eventbus.DataQueue, "tick", 2)
	runUntilIdle(t, b)
	require.Equal(t, []string{"first", "tap 7", "joiner", "5", "pattern 5", "0", "0 again", "tap -1"}, calls)
}

// An event of a Topic with another payload fails with ErrPayloadType. The error
// names both types.
func TestTopicRefusesAWrongPayload(t *testing.T) {
	for name, c := range map[string]struct {
		subscribe func(b *eventbus.Bus, calls *int)
		data      any
		want      []string
	}{
		"value for pointer": {countFills[*fill], fill{1}, []string{"eventbus_test.fill,", "*eventbus_test.fill"}},
		"no payload":        {countFills[*fill], nil, []string{"<nil>", "*eventbus_test.fill"}},
		"same short name":   {countFills[*text.Scanner], new(gosrc.Scanner), []string{"*go/scanner.Scanner", "*text/scanner.Scanner"}},
		"not implemented":   {countFills[error], 7, []string{"int", "error"}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				calls := 0
				c.subscribe(b, &calls)
				publish(t, b, eventbus.OrderQueue, "fill", c.data)
				bustest.Flush(t, b)
				require.Zero(t, calls)
				require.Len(t, reports.all(), 1)
				require.ErrorIs(t, reports.all()[0], eventbus.ErrPayloadType)
				for _, want := range c.want {
					require.ErrorContains(t, reports.all()[0], want)
				}
				require.EqualValues(t, 1, b.Stats().Handlers[0].Failed)
			})
		})
	}
}

func countFills[T any](b *eventbus.Bus, calls *int) {
	eventbus.NewTopic[T]("fill", eventbus.OrderQueue).Subscribe(b, func(context.Context, T) error { *calls++; return nil })
}

// While a topic's handler lives, one with another payload panics in Subscribe. The message
// names both types. An interface is no other payload.
func TestTopicSubscribePanicsAtAnotherPayload(t *testing.T) {
	values := eventbus.NewTopic[fill]("fill", eventbus.OrderQueue, eventbus.Retain())
	pointers := eventbus.NewTopic[*fill]("fill", eventbus.DataQueue)
	onValue := func(context.Context, fill) error { return bustest.ErrHandler }
	refused := func(b *eventbus.Bus) string {
		return panicOf(func() { pointers.Subscribe(b, func(context.Context, *fill) error { return nil }).Unsubscribe() })
	}
	const message = "eventbus: Subscribe to fill: the handler takes a *eventbus_test.fill, and another subscription of that type a eventbus_test.fill: want one payload type"
	fail := func(b *eventbus.Bus) {
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "fill", fill{})
		bustest.Flush(t, b)
	}
	for name, c := range map[string]struct {
		opt eventbus.SubscribeOption
		end func(b *eventbus.Bus, s *eventbus.Subscription)
	}{
		"unsubscribed":            {eventbus.WithName("f"), func(_ *eventbus.Bus, s *eventbus.Subscription) { s.Unsubscribe(); s.Unsubscribe() }},
		"unsubscribed on its way": {eventbus.WithLast(), func(_ *eventbus.Bus, s *eventbus.Subscription) { s.Unsubscribe() }},
		"once":                    {eventbus.Once(), func(b *eventbus.Bus, _ *eventbus.Subscription) { fail(b) }},
		"disabled":                {eventbus.DisableAfter(1), func(b *eventbus.Bus, _ *eventbus.Subscription) { fail(b) }},
		"disabled, unsubscribed":  {eventbus.DisableAfter(1), func(b *eventbus.Bus, s *eventbus.Subscription) { fail(b); s.Unsubscribe() }},
		"shut down":               {eventbus.WithName("f"), func(b *eventbus.Bus, _ *eventbus.Subscription) { _ = b.Shutdown(bustest.Ended()) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			s := values.Subscribe(b, onValue, c.opt)
			require.Equal(t, message, refused(b))
			c.end(b, s)
			require.Equal(t, "<nil>", refused(b))
			values.Subscribe(b, onValue) // nobody else takes the type any more
		})
	}
}

func TestTopicSubscribeTakesWhatIsNoOtherPayload(t *testing.T) {
	b := newBus(t)
	calls := 0
	countFills[any](b, &calls)
	countFills[fill](b, &calls)
	countFills[fill](b, &calls)
	countFills[error](b, &calls)
	b.SubscribeFunc("fill", pass)
	eventbus.NewTopic[int]("other", eventbus.OrderQueue).Subscribe(b, func(context.Context, int) error { return nil })
	first := eventbus.NewTopic[*text.Scanner]("scan", eventbus.DataQueue).Subscribe(b, func(context.Context, *text.Scanner) error { return nil })
	require.Contains(t, panicOf(func() {
		eventbus.NewTopic[*gosrc.Scanner]("scan", eventbus.DataQueue).Subscribe(b, func(context.Context, *gosrc.Scanner) error { return nil })
	}), "takes a *go/scanner.Scanner, and another subscription of that type a *text/scanner.Scanner")
	first.Unsubscribe()
	require.Len(t, b.Stats().Handlers, 6, "who panicked has left nothing")
}

func TestSubscribeInHandlersCountsFromTheNextEvent(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var calls []string
		note := func(name string) func(context.Context, eventbus.Event) error {
			return func(_ context.Context, e eventbus.Event) error {
				calls = append(calls, fmt.Sprint(e.Data, name))
				return nil
			}
		}
		var first, second *eventbus.Subscription
		first = b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			first.Unsubscribe()
			b.SubscribeFunc("tick", note("c"))
			return note("a")(ctx, e)
		})
		second = b.SubscribeFunc("tick", note("b"))
		b.SubscribeFunc("other", func(context.Context, eventbus.Event) error {
			second.Unsubscribe()
			return nil
		})
		for i := range 4 {
			if i == 2 {
				publish(t, b, eventbus.DataQueue, "other", nil)
			}
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		bustest.Flush(t, b)
		require.Equal(t, []string{"0a", "0b", "1b", "1c", "2c", "3c"}, calls)
	})
}

func TestSubscribeAllKeepsUpWithTypesWithoutEnd(t *testing.T) {
	const types = 10_000
	b := newBus(t)
	start(t, b)
	var n atomic.Int32
	b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { n.Add(1); return nil }))
	for i := range types {
		publish(t, b, eventbus.OrderQueue, eventbus.EventType(fmt.Sprint(i)), nil)
	}
	bustest.Flush(t, b)
	require.EqualValues(t, types, n.Load())
}

func TestSubscribeRefusesBadOptions(t *testing.T) {
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
		"WhereData: the filter is nil":                       eventbus.WhereData[int](nil),
		"WithHandlerTimeout: the timeout is 0s, want more":   eventbus.WithHandlerTimeout(0),
		"WithHandlerTimeout: the timeout is -1ns, want more": eventbus.WithHandlerTimeout(-1),
		"WithSlowAfter: the limit is 0s, want more than 0":   eventbus.WithSlowAfter(0),
		"WithSlowAfter: the limit is -1ns, want more than 0": eventbus.WithSlowAfter(-1),
	} {
		require.Regexp(t, "^eventbus: Subscribe to tick: "+want, panicOf(func() { b.Subscribe("tick", h, opt) }))
		require.Regexp(t, "^eventbus: SubscribeAll: "+want, panicOf(func() { b.SubscribeAll(h, opt) }))
	}
	require.Regexp(t, "^eventbus: SubscribeAll: the handler is nil", panicOf(func() { b.SubscribeAll(nil) }))
	require.Empty(t, b.Stats().Handlers)
}

// silent is a middleware that does nothing.
func silent(next eventbus.Handler) eventbus.Handler { return next }
