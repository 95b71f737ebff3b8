package eventbus_test

import (
	"context"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// The tests in the demands files hold the bus to what users of other buses had
// to learn the hard way: events lost, publishers hung, goroutines leaked. D1 to
// D32 number these demands.

var everyQueue = []eventbus.Queue{eventbus.DataQueue, eventbus.SignalQueue, eventbus.OrderQueue}

// bubble runs f in a synctest bubble. What never comes to rest there, a loop
// that spins or a mutex that stays locked, would only show when the test binary
// times out, so a watchdog outside the bubble reports it.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	watchdog := time.AfterFunc(time.Minute, func() {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic(t.Name() + " has not come to rest for a minute")
	})
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(24 * time.Hour) }) // whoever sleeps wakes up and leaves
		f(t)
	})
}

// noPoll makes the poll an hour, so that a wake-up that is lost is not made up for.
var noPoll = eventbus.WithPollInterval(time.Hour)

// startedBus returns a running bus that polls not.
func startedBus(t *testing.T, opts ...eventbus.Option) *eventbus.Bus {
	t.Helper()
	b := newBus(t, slices.Concat([]eventbus.Option{noPoll}, opts)...)
	start(t, b)
	return b
}

// blocking is the option for queues of capacity n that block without a timeout.
func blocking(n int, queues ...eventbus.Queue) []eventbus.Option {
	var opts []eventbus.Option
	for _, q := range queues {
		opts = append(opts, eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n}))
	}
	return opts
}

func numbered(t eventbus.EventType, n int) eventbus.Event { return eventbus.Event{Type: t, Data: n} }

func numbersOf(events []eventbus.Event) []int {
	var list []int
	for _, e := range events {
		list = append(list, e.Data.(int))
	}
	return list
}

// many returns n, or a tenth of it in short tests.
func many(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// upTo returns from, from+1, … to-1.
func upTo(from, to int) []int {
	var list []int
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// instantly requires that f returns without any of the bubble's time passing.
func instantly(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		assert.Zero(t, time.Since(began), what)
	case <-time.After(10 * time.Minute):
		assert.Fail(t, what+" hangs")
	}
}

// eventually waits until cond holds, without a pause.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.Fail(t, what+" never comes")
		}
	}
}

// D8: the bus answers inside handlers, and while publishers are blocked.
func TestTheBusAnswersInsideHandlersAndWhilePublishersAreBlocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, everyQueue...)...)
		stuck := newGate(t)
		s := b.SubscribeFunc("stuck", stuck.handle)
		for _, q := range everyQueue {
			for range 5 { // one is handled, one queued, three wait
				go b.Publish(context.Background(), q, eventbus.Event{Type: "stuck"})
			}
		}
		synctest.Wait()
		askEverything(t, b, s)
		stuck.open()
		require.NoError(t, b.Flush(t.Context()))
	})
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, everyQueue...)...)
		answered := 0
		var s *eventbus.Subscription
		s = b.SubscribeFunc("ask", func(context.Context, eventbus.Event) error {
			for range 3 {
				go b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "other"})
			}
			time.Sleep(time.Second)
			askEverything(t, b, s)
			answered++
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "ask"}))
		require.NoError(t, b.Flush(t.Context()))
		require.Equal(t, 1, answered)
		require.EqualValues(t, 4, b.Stats().Queues[eventbus.OrderQueue].Handled)
	})
}

// askEverything calls all that must answer at once, and unsubscribes handlers
// that are being called.
func askEverything(t *testing.T, b *eventbus.Bus, called ...*eventbus.Subscription) {
	t.Helper()
	instantly(t, "Stats", func() { _ = b.Stats().String() })
	var s *eventbus.Subscription
	instantly(t, "Subscribe", func() { s = b.Subscribe("another", eventbus.HandlerFunc(new(journal[int]).handle)) })
	for _, s := range append(called, s) {
		instantly(t, "Unsubscribe", s.Unsubscribe)
	}
	instantly(t, "TryPublish", func() { _ = b.TryPublish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "another"}) })
	instantly(t, "Stop", func() { b.Stop() })
	instantly(t, "Start", func() { _ = b.Start(context.Background()) })
}

// D9: under a consumer that is stuck, goroutines stay constant and memory stays
// within the capacities.
func TestAStuckConsumerCostsNoMoreThanTheCapacities(t *testing.T) {
	const payload, published = 4 << 10, 20_000
	b := startedBus(t,
		eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 400, Overflow: eventbus.DropNewest}),
		eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 400, Overflow: eventbus.DropOldest}),
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 200}))
	stuck := newGate(t)
	b.SubscribeFunc("stuck", stuck.handle)
	fill := func(n int) {
		for i := range n {
			// The order queue's line is joined and left.
			briefly, cancel := context.WithTimeout(context.Background(), time.Microsecond)
			defer cancel()
			_ = b.Publish(briefly, everyQueue[i%3], eventbus.Event{Type: "stuck", Data: make([]byte, payload)})
		}
	}
	before := liveHeap()
	fill(100) // the processors are stuck, the watch has seen them
	goroutines := runtime.NumGoroutine()
	fill(published)
	require.Less(t, int(liveHeap())-int(before), 1000*payload*3/2, "bytes")
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+1, "the watch may be looking")
	for _, q := range b.Stats().Queues {
		require.Equal(t, q.Capacity, q.Depth, "%v queue", q.Queue)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one's sweep left
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// D13: the accounts balance on a bus at rest, also when that was stopped and
// events are left everywhere: in the queue, deferred, evicted, replaced, expired.
func TestTheAccountsOfAStoppedBusBalance(t *testing.T) {
	byType := func(e eventbus.Event) string { return string(e.Type) }
	for name, c := range map[string]struct {
		config eventbus.QueueConfig
		want   eventbus.QueueStats // what matters of it
	}{
		"deferred":  {eventbus.QueueConfig{Capacity: 3}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Deferred: 3}},
		"evicted":   {eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropOldest}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Evicted: 3}},
		"dropped":   {eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropNewest}, eventbus.QueueStats{Accepted: 4, Handled: 1, Depth: 3, Dropped: 3}},
		"conflated": {eventbus.QueueConfig{Capacity: 3, ConflateBy: byType}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 1, Conflated: 5}},
		"expired":   {eventbus.QueueConfig{Capacity: 3, MaxAge: time.Second}, eventbus.QueueStats{Accepted: 7, Handled: 1, Depth: 3, Deferred: 2, Expired: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := startedBus(t, eventbus.WithQueue(eventbus.OrderQueue, c.config))
				if c.config.MaxAge > 0 {
					stale := eventbus.Event{Type: "first", Time: time.Now().Add(-time.Hour)}
					require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, stale))
				}
				b.SubscribeFunc("first", func(ctx context.Context, _ eventbus.Event) error {
					b.Stop()
					for i := range 6 - int(c.want.Expired) {
						_ = b.Publish(ctx, eventbus.OrderQueue, numbered("next", i))
					}
					return nil
				})
				publish(t, b, eventbus.OrderQueue, "first", 0)
				synctest.Wait()
				q := b.Stats().Queues[eventbus.OrderQueue]
				got := eventbus.QueueStats{Depth: q.Depth, Deferred: q.Deferred, Accepted: q.Accepted, Handled: q.Handled,
					Evicted: q.Evicted, Conflated: q.Conflated, Expired: q.Expired, Dropped: q.Dropped}
				require.Equal(t, c.want, got)
				require.Equal(t, q.Accepted, q.Handled+q.Evicted+q.Conflated+q.Expired+uint64(q.Depth+q.Deferred))
			})
		})
	}
}

// D16: what is published before Start waits for it, and what nobody handles is
// drained and counted.
func TestEventsWaitForStartAndNeedNoHandler(t *testing.T) {
	for _, queue := range everyQueue {
		bubble(t, func(t *testing.T) {
			b := newBus(t, noPoll)
			var log journal[int]
			b.SubscribeFunc("known", log.handle)
			for i := range 20 {
				publish(t, b, queue, "known", i)
				publish(t, b, queue, "unknown", i)
			}
			time.Sleep(time.Minute)
			require.Empty(t, log.all())
			require.Equal(t, 40, b.Stats().Queues[queue].Depth)

			start(t, b)
			flush(t, b)
			require.Equal(t, upTo(0, 20), log.all())
			q := b.Stats().Queues[queue]
			require.EqualValues(t, []uint64{40, 40, 20}, []uint64{q.Accepted, q.Handled, q.Unhandled})
		})
	}
}

// D23: the whole life cycle runs in a bubble, days of it in no time, and Flush
// waits for what handlers publish, however long that takes.
func TestALifeOfDaysRunsInABubbleAndFlushCoversCascades(t *testing.T) {
	began := time.Now()
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, everyQueue...)...)
		next := map[eventbus.EventType]eventbus.Queue{"tick": eventbus.SignalQueue, "signal": eventbus.OrderQueue}
		name := map[eventbus.EventType]eventbus.EventType{"tick": "signal", "signal": "order"}
		for from := range next {
			b.SubscribeFunc(from, func(ctx context.Context, e eventbus.Event) error {
				time.Sleep(time.Hour)
				return b.Publish(ctx, next[from], eventbus.Event{Type: name[from]})
			})
		}
		var orders atomic.Int32
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			time.Sleep(time.Hour)
			orders.Add(1)
			return nil
		})
		for day := range 3 {
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "tick"}))
			require.NoError(t, b.Flush(t.Context()))
			require.EqualValues(t, day+1, orders.Load())
			b.Stop()
			time.Sleep(24 * time.Hour)
			start(t, b)
		}
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "tick"}))
		require.NoError(t, b.Shutdown(t.Context()))
		require.EqualValues(t, 4, orders.Load())
	})
	require.Less(t, time.Since(began), time.Minute)
}

// D23: with publishers that never pause, Flush ends at a moment at which nothing
// is left, and that the next event comes at once is no error.
func TestFlushSucceedsUnderPublishersThatNeverPause(t *testing.T) {
	b := startedBus(t)
	stop := make(chan struct{})
	traffic := inBackground(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
				if err := b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "order"}); err != nil {
					return err
				}
				runtime.Gosched()
			}
		}
	})
	ctx := within(t, patience)
	for range many(300_000) {
		require.NoError(t, b.Flush(ctx))
	}
	close(stop)
	require.NoError(t, receive(t, traffic))
}
