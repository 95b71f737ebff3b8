package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

// Once is exactly one call, though several queues carry the type. The filter holds
// the event of each queue until those of the others have come to it.
func TestOnceIsOneCallThoughQueuesRace(t *testing.T) {
	for range many(500) {
		b := newBus(t)
		var calls atomic.Int32
		var together sync.WaitGroup
		together.Add(len(bustest.EveryQueue))
		meet := func(eventbus.Event) bool {
			together.Done()
			together.Wait()
			return true
		}
		s := b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls.Add(1); return nil }, eventbus.Once(), eventbus.Where(meet))
		start(t, b)
		for _, q := range bustest.EveryQueue {
			publish(t, b, q, "tick", 1)
		}
		bustest.Flush(t, b)
		require.EqualValues(t, 1, calls.Load())
		require.Empty(t, b.Stats().Handlers)
		s.Unsubscribe()
		publish(t, b, eventbus.DataQueue, "tick", 2)
		shutdown(t, b)
		require.EqualValues(t, 1, calls.Load())
	}
}

// What Where or OnQueue turns away reaches neither middleware nor handler.
func TestWhereAndOnQueueTurnEventsAway(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelDebug}
		b := startedBus(t, log.logger())
		wrapped := 0
		counting := func(next eventbus.Handler) eventbus.Handler {
			return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error { wrapped++; return next.Handle(ctx, e) })
		}
		var evens, onces, orders, all journal[int]
		big := func(e eventbus.Event) bool { return e.Data.(int) >= 4 }
		b.SubscribeFunc("tick", evens.handle, eventbus.WithName("evens"), eventbus.Where(even), eventbus.Where(big), eventbus.Use(counting))
		b.SubscribeFunc("tick", onces.handle, eventbus.Where(big), eventbus.Once())
		b.SubscribeFunc("tick", orders.handle, eventbus.OnQueue(eventbus.OrderQueue), eventbus.OnQueue(eventbus.SignalQueue))
		b.SubscribeFunc("tick", all.handle)
		for i := range 9 {
			publish(t, b, bustest.EveryQueue[i%3], "tick", i)
			bustest.Flush(t, b)
		}
		require.Equal(t, []int{4, 6, 8}, evens.all())
		require.Equal(t, 3, wrapped)
		require.Equal(t, []int{4}, onces.all())
		require.Equal(t, []int{1, 2, 4, 5, 7, 8}, orders.all())
		require.Equal(t, upTo(0, 9), all.all())
		synctest.Wait() // the counts may come later
		var calls []uint64
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

// WhereData is Where on the payload, and hides no wrong one from a topic. Elsewhere an
// event with another payload is turned away.
func TestWhereDataIsWhereOnThePayload(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		big := eventbus.WhereData(func(n int) bool { return n >= 4 })
		none := eventbus.WhereData(func(err error) bool { return err == nil })
		var typed, untyped journal[int]
		var nils, tap journal[any]
		note := func(j *journal[any]) eventbus.HandlerFunc {
			return func(_ context.Context, e eventbus.Event) error { j.add(e.Data); return nil }
		}
		eventbus.NewTopic[int]("n", eventbus.DataQueue).Subscribe(b, typed.note, eventbus.WithName("topic"), big)
		b.SubscribeFunc("n", untyped.handle, eventbus.Where(even), big)
		b.Subscribe("n", note(&nils), none)
		b.SubscribeAll(note(&tap), eventbus.WhereData(func(s string) bool { return s != "" }))
		publish(t, b, eventbus.DataQueue, "n", 1, 4, 5, 6)
		publish(t, b, eventbus.DataQueue, "other", "", "text", 4)
		bustest.Flush(t, b)
		require.Equal(t, []int{4, 5, 6}, typed.all())
		require.Equal(t, []int{4, 6}, untyped.all())
		require.Equal(t, []any{"text"}, tap.all())
		require.Empty(t, reports.all())
		require.Empty(t, nils.all())
	})
}

func TestWhereDataLeavesAWrongPayloadToTheTopic(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		var fills journal[fill]
		var errs journal[error]
		eventbus.NewTopic[fill]("e", eventbus.DataQueue).Subscribe(b, fills.note, eventbus.WithName("fills"),
			eventbus.WhereData(func(f fill) bool { return f.qty > 1 }))
		eventbus.NewTopic[error]("e", eventbus.DataQueue).Subscribe(b, errs.note, eventbus.WithName("errors"),
			eventbus.WhereData(func(*eventbus.ShutdownError) bool { return true }))
		left := new(eventbus.ShutdownError)
		publish(t, b, eventbus.DataQueue, "e", nil, fill{1}, fill{2}, bustest.ErrHandler, left)
		bustest.Flush(t, b)
		require.Equal(t, []fill{{2}}, fills.all())
		require.Equal(t, []error{left}, errs.all())
		var failed []string
		for _, r := range reports.all() {
			require.ErrorIs(t, r, eventbus.ErrPayloadType)
			failed = append(failed, fmt.Sprintf("%s %T", r.Handler, r.Event.Data))
		}
		require.Equal(t, []string{"fills <nil>", "errors eventbus_test.fill", "errors eventbus_test.fill",
			"fills *errors.errorString", "fills *eventbus.ShutdownError"}, failed)
	})
}

func TestWhereDataPanicsWhereATopicCanNeverCarryIt(t *testing.T) {
	b := newBus(t)
	anyFill := func(context.Context, fill) error { return nil }
	fills := eventbus.NewTopic[fill]("fill", eventbus.DataQueue)
	require.Equal(t, "eventbus: Subscribe to fill: WhereData: the filter takes a *eventbus_test.fill, the topic's payload is a eventbus_test.fill",
		panicOf(func() { fills.Subscribe(b, anyFill, eventbus.WhereData(func(*fill) bool { return true })) }))
	require.Contains(t, panicOf(func() { fills.Subscribe(b, anyFill, eventbus.WhereData(func(error) bool { return true })) }), "takes a error")
	fills.Subscribe(b, anyFill, eventbus.WhereData(func(any) bool { return true }))
	errs := eventbus.NewTopic[error]("outcome", eventbus.DataQueue)
	var got journal[error]
	require.Contains(t, panicOf(func() { errs.Subscribe(b, got.note, eventbus.WhereData(func(fill) bool { return true })) }), "the topic's payload is a error")
	errs.Subscribe(b, got.note, eventbus.WhereData(func(context.Context) bool { return true })) // one value may be both
}

// DisableAfter takes a handler out after so many failures in a row. It is seen in
// the log and in Stats.
func TestDisableAfterTakesAHandlerOut(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
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
				bustest.Flush(t, b)
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

// WithMiddleware is around Use, the first outermost.
func TestWithMiddlewareIsAroundUse(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var trace journal[string]
		made := 0
		note := func(who string) eventbus.Middleware {
			return func(next eventbus.Handler) eventbus.Handler {
				made++
				return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
					trace.add(who)
					defer trace.add("/" + who)
					return next.Handle(ctx, e)
				})
			}
		}
		b := startedBus(t, eventbus.WithMiddleware(note("a"), note("b")), eventbus.WithMiddleware(note("c")))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { trace.add("tick"); return nil },
			eventbus.Use(note("d"), note("e")), eventbus.Where(even))
		eventbus.NewTopic[int]("topic", eventbus.DataQueue).Subscribe(b, func(context.Context, int) error { trace.add("topic"); return nil })
		require.Equal(t, 8, made)
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		publish(t, b, eventbus.DataQueue, "topic", 1)
		bustest.Flush(t, b)
		require.Equal(t, []string{"a", "b", "c", "d", "e", "tick", "/e", "/d", "/c", "/b", "/a", "a", "b", "c", "topic", "/c", "/b", "/a"}, trace.all())
		require.Equal(t, 8, made, "once a subscription")
	})
}

// HandlerInfo tells a middleware whose handler it wraps. It does so at each place among
// the middleware, and for every kind of handler.
func TestHandlerInfoTellsWhoseHandlerItIs(t *testing.T) {
	var seen journal[string]
	ask := func(next eventbus.Handler) eventbus.Handler {
		name, typ := eventbus.HandlerInfo(next)
		seen.add(name + " on " + string(typ))
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			again, _ := eventbus.HandlerInfo(next)
			if again != name {
				return errors.New("it has changed")
			}
			return next.Handle(ctx, e)
		})
	}
	limited := func(next eventbus.Handler) eventbus.Handler { return eventbus.Async(next, time.Hour) }
	b := newBus(t, eventbus.WithMiddleware(ask, limited, silent))
	var got journal[int]
	b.SubscribeFunc("tick", got.handle, eventbus.Use(silent, ask), eventbus.WithName("feed"), eventbus.WithHandlerTimeout(time.Hour))
	b.SubscribeAll(eventbus.HandlerFunc(got.handle), eventbus.WithName("tap"))
	b.Subscribe("tick", noFunc{&got})
	eventbus.NewTopic[int]("tick", eventbus.DataQueue).Subscribe(b, got.note, eventbus.WithName("topic"))
	require.Equal(t, []string{"feed on tick", "feed on tick", "tap on ", "eventbus_test.noFunc on tick", "topic on tick"}, seen.all())
	start(t, b)
	require.NoError(t, b.PublishWait(t.Context(), eventbus.DataQueue, event("tick", 1)))
	require.Equal(t, []int{1, 1, 1, 1}, got.all())
	for _, other := range []eventbus.Handler{nil, eventbus.HandlerFunc(nil), noFunc{}, eventbus.Async(noFunc{}, 0)} {
		name, typ := eventbus.HandlerInfo(other)
		require.Empty(t, name)
		require.Empty(t, typ)
	}
}

// A noFunc is a handler that is no function.
type noFunc struct{ got *journal[int] }

func (c noFunc) Handle(ctx context.Context, e eventbus.Event) error { return c.got.handle(ctx, e) }

// A subscription WithLast misses no event, gets none twice, and none too old.
// However it races with the publisher, a late joiner sees a run of numbers
// without a gap or a repetition, up to the last.
func TestWithLastMissesNothingAndGetsNothingTwice(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{
		"room":          nil,
		"no room":       {eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1})},
		"single thread": {eventbus.WithSingleThread()},
		"conflation": {eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{
			Capacity: 4, ConflateBy: func(eventbus.Event) string { return "" }})},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			start(t, b)
			ctx := context.Background()
			const n, joiners = 1000, 50
			require.NoError(t, price.Publish(ctx, b, -1))
			var all [joiners]journal[int]
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if err := price.Publish(ctx, b, i); err != nil {
						t.Error(err)
						return
					}
				}
			})
			wg.Go(func() {
				for i := range all {
					price.Subscribe(b, all[i].note, eventbus.WithLast())
				}
			})
			wait(t, &wg)
			require.NoError(t, b.Shutdown(ctx))
			for i := range all {
				data := all[i].all()
				require.NotEmpty(t, data)
				for j, v := range data {
					require.Equal(t, data[0]+j, v)
				}
				require.Equal(t, n-1, data[len(data)-1])
			}
			q := b.Stats().Queues[eventbus.DataQueue]
			require.Equal(t, q.Accepted, q.Handled)
			require.Equal(t, uint64(n+1+joiners), q.Accepted)
			require.Len(t, b.Stats().Handlers, joiners)
		})
	}
}

func TestWithLastGivesNoEventThatIsTooOld(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		aging := eventbus.NewTopic[int]("aging", eventbus.DataQueue, eventbus.Retain(), eventbus.WithMaxAge(time.Second))
		var inTime, late journal[int]
		require.NoError(t, aging.Publish(t.Context(), b, 1))
		bustest.Flush(t, b)
		time.Sleep(time.Second)
		aging.Subscribe(b, func(_ context.Context, n int) error { inTime.add(n); return nil }, eventbus.WithLast())
		bustest.Flush(t, b)
		time.Sleep(time.Nanosecond)
		aging.Subscribe(b, func(_ context.Context, n int) error { late.add(n); return nil }, eventbus.WithLast())
		require.NoError(t, aging.Publish(t.Context(), b, 2))
		bustest.Flush(t, b)
		require.Equal(t, []int{1, 2}, inTime.all())
		require.Equal(t, []int{2}, late.all())
	})
}

// DeliveryFrom tells a handler its event, queue, number and name.
func TestDeliveryFromTellsEventQueueHandlerAndNumber(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			type ctxKey struct{}
			got := make(map[eventbus.Queue][]eventbus.Delivery)
			note := func(ctx context.Context, e eventbus.Event) error {
				d, ok := eventbus.DeliveryFrom(context.WithValue(ctx, ctxKey{}, 1))
				require.True(t, ok)
				require.Equal(t, e, d.Event)
				got[d.Queue] = append(got[d.Queue], d)
				return errors.New("as if it had failed")
			}
			b.SubscribeFunc("e", note, eventbus.WithName("one"))
			b.Subscribe("e", eventbus.Async(eventbus.HandlerFunc(note), time.Minute), eventbus.WithName("two"), eventbus.OnQueue(eventbus.OrderQueue))
			b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { panic("between") })
			b.SubscribeFunc("e", note, eventbus.WithName("three"))
			for i := range 3 {
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent("e", i, "test")))
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent("nobody's", i, "test")))
			}
			start(t, b)
			bustest.Flush(t, b)
			require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.NewEvent("e", 9, "test")))
			shutdown(t, b)
			var seqs []uint64
			var names []string
			for _, d := range got[eventbus.OrderQueue] {
				seqs, names = append(seqs, d.Seq), append(names, d.Handler)
			}
			require.Equal(t, []uint64{1, 1, 1, 3, 3, 3, 5, 5, 5}, seqs)
			require.Equal(t, []string{"one", "two", "three", "one", "two", "three", "one", "two", "three"}, names)
			require.Len(t, got[eventbus.DataQueue], 2)
			require.Equal(t, uint64(1), got[eventbus.DataQueue][0].Seq)
		})
	}
}

func TestOnceHoldsHoweverTheCallEnds(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				calls := 0
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { calls++; return fail() }, eventbus.Once())
				publish(t, b, eventbus.DataQueue, "tick", 1, 2, 3)
				bustest.Flush(t, b)
				require.Equal(t, 1, calls)
				require.Len(t, reports.all(), 1)
				require.EqualValues(t, 2, b.Stats().Queues[eventbus.DataQueue].Unhandled)
			})
		})
	}
}

func TestWhereThatPanicsIsAFailure(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		var picky, other journal[int]
		b.SubscribeFunc("tick", picky.handle, eventbus.WithName("picky"), eventbus.Once(), eventbus.Where(func(e eventbus.Event) bool {
			if e.Data == 0 {
				_ = detonate(failureKinds["panic"])
			}
			return true
		}))
		b.SubscribeFunc("tick", other.handle)
		publish(t, b, eventbus.DataQueue, "tick", 0)
		bustest.Flush(t, b)
		require.Empty(t, picky.all())
		require.Equal(t, []int{0}, other.all())
		require.Len(t, reports.all(), 1)
		r := reports.all()[0]
		require.ErrorIs(t, r, bustest.ErrHandler)
		require.Equal(t, []any{"picky", true}, []any{r.Handler, r.Panicked})
		require.Contains(t, string(r.Stack), "eventbus_test.detonate(")
		h := b.Stats().Handlers[0]
		require.EqualValues(t, []uint64{1, 1, 1}, []uint64{h.Calls, h.Failed, h.Panicked})
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		bustest.Flush(t, b)
		require.Equal(t, []int{1}, picky.all(), "the panic was no call")
	})
}

func TestDisableAfterHoldsForAnEventOnItsWay(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		before := newGate()
		b.SubscribeFunc("tick", before.handle, eventbus.OnQueue(eventbus.OrderQueue))
		var got journal[int]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			_ = got.handle(ctx, e)
			return bustest.ErrHandler
		}, eventbus.DisableAfter(1))
		publish(t, b, eventbus.OrderQueue, "tick", 1)
		receive(t, before.entered)
		publish(t, b, eventbus.DataQueue, "tick", 2)
		synctest.Wait()
		before.open()
		bustest.Flush(t, b)
		require.Equal(t, []int{2}, got.all())
	})
}

func TestWithMiddlewareAHandlerKeepsItsName(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				log := &logbook{level: slog.LevelWarn}
				wrapped := errors.New("wrapped")
				b := startedBus(t, reporting(&reports), log.logger(), eventbus.WithMiddleware(joining(wrapped)))
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return fail() })
				own := b.Stats().Handlers[0].Name
				require.Contains(t, own, "eventbus_test.TestWithMiddleware")
				require.NotContains(t, own, "joining")
				publish(t, b, eventbus.DataQueue, "tick", 1)
				bustest.Flush(t, b)
				require.Len(t, reports.all(), 1)
				require.Equal(t, own, reports.all()[0].Handler)
				require.Equal(t, name == "error", errors.Is(reports.all()[0], wrapped))
				require.Equal(t, own, log.find("eventbus: slow handler is still running")[0].attrs["handler"])
			})
		})
	}
}

// joining is a middleware that adds err to what the handler returns.
func joining(err error) eventbus.Middleware {
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			return errors.Join(err, next.Handle(ctx, e))
		})
	}
}

func TestWhereAndTapsAllocateNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	b := newBus(t)
	start(t, b)
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil }, eventbus.Where(func(eventbus.Event) bool { return true }))
	b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return nil }))
	ctx := context.Background()
	publish(t, b, eventbus.OrderQueue, "other", nil)
	bustest.Flush(t, b)
	require.Zero(t, testing.AllocsPerRun(500, func() {
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "tick"})
		_ = b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "other"})
	}))
}
