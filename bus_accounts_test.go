package eventbus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// At rest, Accepted = Handled + Evicted + Conflated + Expired + Withdrawn + Depth
// + Deferred, and what Dropped and Rejected count was never accepted. The sum holds
// also where a stopped bus has left events everywhere: in the queue, deferred,
// evicted, replaced, expired, withdrawn.
func TestStatsBalanceAtRest(t *testing.T) {
	byType := func(e eventbus.Event) string { return string(e.Type) }
	for name, c := range map[string]struct {
		config eventbus.QueueConfig
		want   eventbus.QueueStats // what matters of it
	}{
		"deferred":  {eventbus.QueueConfig{Capacity: 3}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Deferred: 3}},
		"evicted":   {eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropOldest}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Evicted: 3}},
		"dropped":   {eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropNewest}, eventbus.QueueStats{Accepted: 4, Handled: 1, Depth: 3, Dropped: 3}},
		"rejected":  {eventbus.QueueConfig{Capacity: 1}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 1, Deferred: 5}},
		"conflated": {eventbus.QueueConfig{Capacity: 3, ConflateBy: byType}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 1, Conflated: 5}},
		"expired":   {eventbus.QueueConfig{Capacity: 3, MaxAge: time.Second}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Deferred: 2, Expired: 1}},
		"withdrawn": {eventbus.QueueConfig{Capacity: 3}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Deferred: 2, Withdrawn: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := startedBus(t, eventbus.WithQueue(eventbus.OrderQueue, c.config))
				if c.want.Expired > 0 {
					stale := eventbus.Event{Type: "first", Time: time.Now().Add(-time.Hour)}
					require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, stale))
				}
				b.SubscribeFunc("first", func(ctx context.Context, _ eventbus.Event) error {
					time.Sleep(time.Second)
					b.Stop()
					for i := range 6 - int(c.want.Expired+c.want.Withdrawn) {
						_ = b.Publish(ctx, eventbus.OrderQueue, event("next", i))
					}
					return nil
				})
				b.SubscribeFunc("ask", func(ctx context.Context, _ eventbus.Event) error {
					return b.PublishWait(ctx, eventbus.OrderQueue, event("next", 9))
				})
				publish(t, b, eventbus.OrderQueue, "first", 0)
				if c.want.Withdrawn > 0 {
					publish(t, b, eventbus.DataQueue, "ask", 0)
				}
				time.Sleep(time.Minute)
				_ = b.TryPublish(t.Context(), eventbus.OrderQueue, event("", 0))
				q := orders(b)
				got := eventbus.QueueStats{Depth: q.Depth, Deferred: q.Deferred, Accepted: q.Accepted, Handled: q.Handled, Evicted: q.Evicted,
					Conflated: q.Conflated, Expired: q.Expired, Withdrawn: q.Withdrawn, Dropped: q.Dropped}
				require.Equal(t, c.want, got)
				require.Equal(t, q.Accepted, q.Handled+q.Evicted+q.Conflated+q.Expired+q.Withdrawn+uint64(q.Depth+q.Deferred))
				require.EqualValues(t, 1, q.Rejected)
			})
		})
	}
}

// Memory and goroutines stay flat, however long a consumer is stuck.
func TestStatsOfAStuckConsumerStayWithinTheCapacities(t *testing.T) {
	const payload, published = 4 << 10, 20_000
	b := startedBus(t,
		eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 400, Overflow: eventbus.DropNewest}),
		eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 400, Overflow: eventbus.DropOldest}),
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 200, Timeout: time.Microsecond}))
	stuck := newGate()
	b.SubscribeFunc("stuck", stuck.handle)
	fill := func(n int) {
		for i := range n {
			// A publish waits at the order queue for a moment, and is refused.
			_ = b.Publish(context.Background(), bustest.EveryQueue[i%3], eventbus.Event{Type: "stuck", Data: make([]byte, payload)})
		}
	}
	before := bustest.Heap()
	fill(100) // the processors are stuck, the watch has seen them
	goroutines := runtime.NumGoroutine()
	fill(published)
	require.Less(t, bustest.Heap()-before, 1000*payload*3/2, "bytes")
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+1, "the watch may be looking")
	for _, q := range b.Stats().Queues {
		require.Equal(t, q.Capacity, q.Depth, "%v queue", q.Queue)
	}
}

// A trace is what the tests carry.
type trace string

type traceKey struct{}

// carryTraces carries the trace of the publisher's context or, inside a handler, that of
// the event at hand.
var carryTraces = eventbus.WithCarry(func(ctx context.Context) (trace, bool) {
	if t, ok := ctx.Value(traceKey{}).(trace); ok {
		return t, true
	}
	return eventbus.Carried[trace](ctx)
})

func traced(t *testing.T, id trace) context.Context {
	return context.WithValue(t.Context(), traceKey{}, id)
}

// WithCarry takes a value from a publish to the handlers, wherever the event waits.
func TestWithCarryTakesAValueToTheHandlers(t *testing.T) {
	kept := eventbus.NewTopic[int]("kept", eventbus.DataQueue, eventbus.Retain())
	quotes := eventbus.NewTopic[int](tick, eventbus.DataQueue, eventbus.WithConflateBy(func(int) string { return "one" }))
	type handler = func(context.Context, eventbus.Event) error
	for name, tt := range map[string]struct {
		opts []eventbus.Option
		do   func(t *testing.T, b *eventbus.Bus, note handler)
		want []trace
	}{
		"publish": {do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.SubscribeFunc(tick, note)
			require.NoError(t, b.Publish(traced(t, "a"), eventbus.DataQueue, event(tick, 1)))
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, event(tick, 2)))
			require.NoError(t, b.TryPublish(traced(t, "b"), eventbus.DataQueue, event(tick, 3)))
		}, want: []trace{"a", "", "b"}},
		"batch": {do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.SubscribeFunc(tick, note)
			_, err := b.PublishBatch(traced(t, "a"), eventbus.DataQueue, []eventbus.Event{event(tick, 1), event(tick, 2)})
			require.NoError(t, err)
		}, want: []trace{"a", "a"}},
		"replaced": {do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.SubscribeFunc(tick, note)
			require.NoError(t, quotes.Publish(traced(t, "old"), b, 1))
			require.NoError(t, quotes.Publish(traced(t, "new"), b, 2))
		}, want: []trace{"new"}},
		"deferred": {opts: blocking(1, eventbus.DataQueue), do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.SubscribeFunc(tick, note)
			b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
				for n := range 3 {
					require.NoError(t, b.Publish(ctx, eventbus.DataQueue, event(tick, n)))
				}
				return nil
			})
			require.NoError(t, b.Publish(traced(t, "a"), eventbus.OrderQueue, event("order", 1)))
		}, want: []trace{"a", "a", "a"}},
		"eviction": {opts: []eventbus.Option{capacity(eventbus.DataQueue, 2, eventbus.DropOldest, 0)}, do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.SubscribeFunc(tick, note)
			for _, id := range []trace{"a", "b", "c"} {
				require.NoError(t, b.Publish(traced(t, id), eventbus.DataQueue, event(tick, 1)))
			}
		}, want: []trace{"b", "c"}},
		"Async": {do: func(t *testing.T, b *eventbus.Bus, note handler) {
			b.Subscribe(tick, eventbus.Async(eventbus.HandlerFunc(note), time.Minute))
			require.NoError(t, b.Publish(traced(t, "a"), eventbus.DataQueue, event(tick, 1)))
		}, want: []trace{"a"}},
		"retained": {do: func(t *testing.T, b *eventbus.Bus, note handler) {
			require.NoError(t, kept.Publish(traced(t, "a"), b, 1))
			runUntilIdle(t, b)
			b.SubscribeFunc("kept", note, eventbus.WithLast())
		}, want: []trace{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, append(tt.opts, carryTraces)...)
			var seen journal[trace]
			tt.do(t, b, func(ctx context.Context, _ eventbus.Event) error {
				id, ok := eventbus.Carried[trace](ctx)
				require.Equal(t, id != "", ok)
				seen.add(id)
				return nil
			})
			runUntilIdle(t, b)
			require.Equal(t, tt.want, seen.all())
			_, ok := eventbus.Carried[string](t.Context())
			require.False(t, ok)
		})
	}
}

// With WithCauses, Delivery.Cause leads from an order to its tick, on this bus. Another bus is
// outside.
func TestWithCausesLeadsFromAnOrderToItsTick(t *testing.T) {
	b, other := newBus(t, eventbus.WithCauses()), newBus(t, eventbus.WithCauses())
	var causes journal[*eventbus.Cause]
	note := func(ctx context.Context) {
		d, ok := eventbus.DeliveryFrom(ctx)
		require.True(t, ok)
		causes.add(d.Cause)
	}
	began := time.Unix(1_700_000_000, 0)
	b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		note(ctx)
		return b.Publish(ctx, eventbus.SignalQueue, event("signal", nil))
	})
	b.Subscribe("signal", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
		note(ctx)
		_, err := b.PublishBatch(ctx, eventbus.OrderQueue, []eventbus.Event{event("order", 1), event("order", 2)})
		return err
	}), time.Minute))
	b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
		note(ctx)
		return other.Publish(ctx, eventbus.OrderQueue, event("elsewhere", nil))
	})
	other.SubscribeFunc("elsewhere", func(ctx context.Context, _ eventbus.Event) error { note(ctx); return nil })
	publish(t, b, eventbus.DataQueue, "nobody's", 1)
	require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: tick, Time: began}))
	runUntilIdle(t, b)
	runUntilIdle(t, other)
	root := eventbus.Origin{Queue: eventbus.DataQueue, Seq: 2, Type: tick, Time: began}
	order := &eventbus.Cause{Queue: eventbus.SignalQueue, Seq: 1, Root: root, Hops: 2}
	require.Equal(t, []*eventbus.Cause{
		nil,
		{Queue: eventbus.DataQueue, Seq: 2, Root: root, Hops: 1},
		order, order,
		nil, nil, // on the other bus
	}, causes.all())
}

// With WithLatencies, Latencies tells how long events wait and handlers take.
func TestWithLatenciesTellsHowLongEventsWaitAndHandlersTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithLatencies(), eventbus.WithCauses())
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			time.Sleep(20 * time.Millisecond)
			return b.Publish(ctx, eventbus.OrderQueue, event("order", nil))
		}, eventbus.WithName("strategy"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("broker"))
		for range 100 {
			e := event(tick, nil)
			e.Time = time.Now()
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, e))
			time.Sleep(time.Second)
		}
		l := b.Latencies()
		require.EqualValues(t, 50, l.Wait[eventbus.DataQueue].Count(), "every second group, of one event each")
		require.LessOrEqual(t, l.Wait[eventbus.DataQueue].Quantile(1), time.Microsecond)
		strategy, broker := l.Handlers[0], l.Handlers[1]
		require.Equal(t, "strategy", strategy.Name)
		require.InDelta(t, 12, strategy.Took.Count(), 1, "the first event of every fourth of those")
		require.InEpsilon(t, 20*time.Millisecond, strategy.Took.Quantile(0.5), 0.1)
		require.Equal(t, time.Duration(strategy.Took.Count())*20*time.Millisecond, strategy.Took.Sum)
		require.Zero(t, strategy.FromRoot.Count(), "a tick has no cause")
		require.EqualValues(t, 100, broker.FromRoot.Count(), "every order")
		require.Equal(t, 2*time.Second, broker.FromRoot.Sum)
		require.Equal(t, broker.FromRoot.Bound(0), broker.FromRoot.Quantile(0.99))
		require.Equal(t, eventbus.Histogram{}, newBus(t).Latencies().Wait[0])
	})
}

// The latencies of a handler that is called on several queues are one histogram, and a
// quantile is one of its bounds, whatever is asked for.
func TestLatenciesAddUpTheQueuesOfAHandler(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithLatencies())
		b.SubscribeAll(eventbus.HandlerFunc(func(_ context.Context, e eventbus.Event) error {
			time.Sleep(time.Duration(e.Data.(int)) * time.Millisecond)
			return nil
		}))
		start(t, b)
		for q := range eventbus.Queue(3) {
			for range 20 {
				publish(t, b, q, tick, 10*(int(q)+1))
				bustest.Flush(t, b)
			}
		}
		took := b.Latencies().Handlers[0].Took
		require.InDelta(t, 8, took.Count(), 3, "the first event of every eighth group, of three queues")
		for _, at := range []struct {
			q    float64
			want time.Duration
		}{{-1, 10 * time.Millisecond}, {0, 10 * time.Millisecond}, {0.5, 20 * time.Millisecond}, {1, 30 * time.Millisecond}, {7, 30 * time.Millisecond}} {
			require.InEpsilon(t, at.want, took.Quantile(at.q), 0.1, at.q)
		}
		require.Zero(t, eventbus.Histogram{}.Quantile(1))
	})
}

// The wait of events that queue behind a slow handler is told event by event.
func TestLatenciesTellsTheWaitBehindASlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rule := range []eventbus.Overflow{eventbus.Block, eventbus.DropOldest} {
			b := newBus(t, eventbus.WithLatencies(), capacity(eventbus.DataQueue, 64, rule, 0))
			b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
			publish(t, b, eventbus.DataQueue, tick, numbers(64)...) // two groups
			start(t, b)
			time.Sleep(2 * time.Minute)
			wait := b.Latencies().Wait[eventbus.DataQueue]
			require.EqualValues(t, 32, wait.Count())
			require.GreaterOrEqual(t, wait.Quantile(1), 60*time.Second)
			require.Less(t, wait.Quantile(1), 70*time.Second)
			require.GreaterOrEqual(t, wait.Quantile(0.01), 32*time.Second)
		}
	})
}

// An event whose handlers are timed is handled as any other: a handler that fails keeps no
// other from running, and the kill switch leaves out those after the one that runs.
func TestWithLatenciesChangesNothingElse(t *testing.T) {
	b := newBus(t, eventbus.WithLatencies())
	in, out := make(chan struct{}), make(chan struct{})
	var seen journal[any]
	b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
		if e.Data == "last" {
			close(in)
			<-out
		}
		return bustest.ErrHandler
	}, eventbus.WithName("first"))
	b.SubscribeFunc(tick, seen.handle, eventbus.WithName("second"))
	start(t, b)
	for n := range 9 { // the 2nd and the 10th are timed
		publish(t, b, eventbus.DataQueue, tick, n)
		bustest.Flush(t, b)
	}
	require.Len(t, seen.all(), 9)
	publish(t, b, eventbus.DataQueue, tick, "last")
	receive(t, in)
	left := leftBy(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	close(out)
	require.Equal(t, []string{"second"}, left.Interrupted[0].Handlers)
	eventually(t, "the last failure", func() bool { return b.Stats().Queues[eventbus.DataQueue].Failed == 10 })
	require.Len(t, seen.all(), 9)
	require.EqualValues(t, 2, b.Latencies().Handlers[0].Took.Count())
	require.EqualValues(t, 1, b.Latencies().Handlers[1].Took.Count())
}

// What one queue's event carries does not get to the next event of another queue, though one
// goroutine serves both.
func TestWithCarryKeepsQueuesApart(t *testing.T) {
	b := newBus(t, carryTraces, eventbus.WithCauses(), eventbus.WithSingleThread())
	var traces journal[trace]
	var causes journal[*eventbus.Cause]
	b.SubscribeAll(eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
		id, _ := eventbus.Carried[trace](ctx)
		traces.add(id)
		d, _ := eventbus.DeliveryFrom(ctx)
		causes.add(d.Cause)
		if e.Type == tick {
			return b.Publish(ctx, eventbus.OrderQueue, event("order", nil))
		}
		return nil
	}))
	require.NoError(t, b.Publish(traced(t, "a"), eventbus.DataQueue, event(tick, 1)))
	runUntilIdle(t, b)
	publish(t, b, eventbus.SignalQueue, "signal", 1)
	runUntilIdle(t, b)
	require.Equal(t, []trace{"a", "a", ""}, traces.all())
	require.NotNil(t, causes.all()[1])
	require.Nil(t, causes.all()[2])
}

// The kill switch does not wait for a clock that is asked how old a tick is.
func TestShutdownWaitsForNoClockThatLatenciesAsk(t *testing.T) {
	in, out := make(chan struct{}, 10), make(chan struct{})
	var hang atomic.Bool
	b := newBus(t, eventbus.WithLatencies(), eventbus.WithCauses(), eventbus.WithClock(func() time.Time {
		if hang.Load() {
			in <- struct{}{}
			<-out
		}
		return time.Now()
	}))
	b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		hang.Store(true)
		return b.Publish(ctx, eventbus.OrderQueue, event("order", 1))
	})
	var seen journal[any]
	b.SubscribeFunc("order", seen.handle, eventbus.WithName("broker"))
	start(t, b)
	require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: tick, Time: time.Now()}))
	receive(t, in)
	err := receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) }))
	require.ErrorContains(t, err, "handler broker still runs")
	close(out)
	eventually(t, "the first handler, which is called in any case", func() bool { return len(seen.all()) == 1 })
}

// Latencies leave out what was no call, and no event of now.
func TestLatenciesLeaveOutWhatWasNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithLatencies(), eventbus.WithCauses())
		kept := eventbus.NewTopic[int]("kept", eventbus.OrderQueue, eventbus.Retain())
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error { return kept.Publish(ctx, b, 1) })
		b.SubscribeFunc("kept", pass, eventbus.Where(func(eventbus.Event) bool { return false }), eventbus.WithName("turned away"))
		b.SubscribeFunc("kept", pass, eventbus.Where(func(eventbus.Event) bool { return true }), eventbus.WithName("called"))
		for range 3 {
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: tick, Time: time.Now()}))
			runUntilIdle(t, b)
		}
		time.Sleep(time.Hour)
		b.SubscribeFunc("kept", pass, eventbus.WithLast(), eventbus.WithName("late"))
		runUntilIdle(t, b)
		counts := make(map[string]uint64)
		for _, h := range b.Latencies().Handlers {
			counts[h.Name] = h.FromRoot.Count()
		}
		require.EqualValues(t, 0, counts["turned away"])
		require.EqualValues(t, 3, counts["called"])
		require.EqualValues(t, 0, counts["late"])
	})
}

// The waits are told as they were, though the queue is paused between two events of a group.
func TestLatenciesTellsTheWaitOfEventsThatAPauseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithLatencies())
		b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
			if e.Data == 40 {
				return b.Pause(eventbus.DataQueue)
			}
			return nil
		})
		publish(t, b, eventbus.DataQueue, tick, numbers(64)...) // the second 32 are one group with a stamp
		start(t, b)
		time.Sleep(time.Hour)
		require.NoError(t, b.Resume(eventbus.DataQueue))
		time.Sleep(time.Second)
		short, long := uint64(0), uint64(0)
		wait := b.Latencies().Wait[eventbus.DataQueue]
		for i, n := range wait.Counts {
			if wait.Bound(i) < time.Minute {
				short += n
			} else if wait.Bound(i) > 59*time.Minute {
				long += n
			}
		}
		require.EqualValues(t, 9, short)
		require.EqualValues(t, 23, long)
	})
}

// Stats tell what a processor is at, how long events wait, and who waits for room.
func TestStatsTellWhatAProcessorIsAtAndWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, blocking(2, eventbus.OrderQueue)...)
		start(t, b)
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Hour); return nil }, eventbus.WithName("stuck"))
		publish(t, b, eventbus.OrderQueue, "order", 1)
		time.Sleep(10 * time.Minute)
		publish(t, b, eventbus.OrderQueue, "order", 2, 3)
		ctx, cancel := context.WithCancel(t.Context())
		result := bustest.InBackground(func() error { return b.Publish(ctx, eventbus.OrderQueue, event("order", 4)) })
		time.Sleep(10 * time.Minute)
		s := b.Stats().Queues[eventbus.OrderQueue]
		require.Equal(t, eventbus.Calling{Handler: "stuck", Type: "order", Seq: 1}, s.Calling)
		require.LessOrEqual(t, s.Oldest, 10*time.Minute)
		require.Greater(t, s.Oldest, 10*time.Minute-time.Second)
		require.Equal(t, 1, s.Waiting)
		require.Equal(t, 10*time.Minute, s.LongestWait)
		require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Calling)
		cancel()
		require.Error(t, receive(t, result))
		time.Sleep(50 * time.Minute) // it is at the second one
		require.Less(t, b.Stats().Queues[eventbus.OrderQueue].Oldest, 61*time.Minute)
		time.Sleep(3 * time.Hour)
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Oldest)
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Waiting)
	})
}

// HandlerStats.ID tells subscriptions of one name apart, for as long as the bus lives.
func TestHandlerStatsHaveAnIDOfTheirOwn(t *testing.T) {
	b := newBus(t)
	ids := make(map[uint64]bool)
	for range 3 {
		first := b.SubscribeFunc(tick, pass, eventbus.WithName("one name"))
		b.SubscribeAll(eventbus.HandlerFunc(pass), eventbus.WithName("one name"))
		for _, h := range b.Stats().Handlers {
			ids[h.ID] = true
		}
		require.Equal(t, b.Stats().Handlers[0].ID, b.Latencies().Handlers[0].ID)
		first.Unsubscribe()
	}
	require.Len(t, ids, 6)
}

// Delivery.More tells a handler that collects when to write.
func TestDeliveryFromTellsWhetherMoreEventsWait(t *testing.T) {
	for _, rule := range []eventbus.Overflow{eventbus.Block, eventbus.DropOldest} {
		b := newBus(t, capacity(eventbus.DataQueue, 50, rule, 0))
		var more journal[bool]
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			d, _ := eventbus.DeliveryFrom(ctx)
			more.add(d.More)
			return nil
		})
		publish(t, b, eventbus.DataQueue, tick, numbers(40)...)
		runUntilIdle(t, b)
		require.Equal(t, append(slices.Repeat([]bool{true}, 39), false), more.all())
	}
}

// A WithCarry that cannot be told from another, and one that panics, is an error.
func TestWithCarryMisuseIsAnError(t *testing.T) {
	_, err := eventbus.New(carryTraces, carryTraces)
	require.ErrorContains(t, err, "WithCarry: given twice for eventbus_test.trace")
	_, err = eventbus.New(eventbus.WithCarry[int](nil))
	require.ErrorContains(t, err, "WithCarry: the function is nil")
	b := newBus(t, eventbus.WithCarry(func(context.Context) (int, bool) { panic("failed") }))
	require.ErrorIs(t, b.Publish(t.Context(), eventbus.DataQueue, event(tick, 1)), eventbus.ErrInvalidEvent)
	n, err := b.PublishBatch(t.Context(), eventbus.DataQueue, []eventbus.Event{event(tick, 1), event(tick, 2)})
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.Zero(t, n)
	require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.DataQueue, event(tick, 1)), eventbus.ErrInvalidEvent)
	require.EqualValues(t, 4, b.Stats().Queues[eventbus.DataQueue].Rejected)
}

// Stats can be read as JSON, with rules and queues by name.
func TestStatsAreReadableAsJSON(t *testing.T) {
	text, err := json.Marshal(newBus(t).Stats())
	require.NoError(t, err)
	require.Contains(t, string(text), `"Queue":"data","Paused":false,"Overflow":"drop newest"`)
	var s eventbus.Stats
	require.NoError(t, json.Unmarshal(text, &s))
	require.Equal(t, newBus(t).Stats(), s)
	require.ErrorContains(t, new(eventbus.Overflow).UnmarshalText([]byte("drop all")), `unknown overflow rule "drop all"; want "block"`)
	_, err = eventbus.Overflow(9).MarshalText()
	require.ErrorContains(t, err, "unknown overflow rule 9")
}

// A profile tells the processors apart, by their queues.
func TestBusLabelsItsGoroutinesInProfiles(t *testing.T) {
	startedBus(t)
	eventually(t, "the labels", func() bool {
		var text bytes.Buffer
		require.NoError(t, pprof.Lookup("goroutine").WriteTo(&text, 1))
		return strings.Contains(text.String(), `labels: {"eventbus":"order"}`) && strings.Contains(text.String(), `{"eventbus":"data"}`)
	})
}
