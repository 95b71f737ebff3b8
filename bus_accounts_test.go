package eventbus_test

import (
	"context"
	"runtime"
	"testing"
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
