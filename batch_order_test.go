package eventbus_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// An item is event n of batch number batch of a publisher, or a single event.
type item struct {
	by, batch, n int
	single       bool
}

// No event gets between those of a batch, whatever the queue's rule, and each
// publisher's events are in order.
func TestNothingGetsBetweenTheEventsOfABatch(t *testing.T) {
	for name, c := range map[string]eventbus.QueueConfig{
		"block":       {Capacity: 8},
		"drop newest": {Capacity: 8, Overflow: eventbus.DropNewest},
		"drop oldest": {Capacity: 8, Overflow: eventbus.DropOldest},
		"max age":     {Capacity: 8, MaxAge: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b := startedBus(t, eventbus.WithQueue(eventbus.OrderQueue, c))
			var got journal[item]
			b.SubscribeFunc("order", got.handle)
			var publishers sync.WaitGroup
			for by := range 4 {
				publishers.Go(func() { publishItems(b, by) })
			}
			publishers.Wait()
			shutdown(t, b)
			requireUnbroken(t, got.all())
			s := orders(b)
			require.Equal(t, s.Accepted, s.Handled+s.Evicted)
			require.LessOrEqual(t, s.HighWater, 8)
		})
	}
}

// publishItems publishes batches of none to six events, and single events.
func publishItems(b *eventbus.Bus, by int) {
	for i := range 2000 {
		var events []eventbus.Event
		for n := range i % 7 {
			events = append(events, eventbus.Event{Type: "order", Data: item{by, i, n, false}})
		}
		_, _ = b.PublishBatch(context.Background(), eventbus.OrderQueue, events)
		if i%5 == by {
			_ = b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "order", Data: item{by, i, 7, true}})
		}
		if i%16 == 0 {
			runtime.Gosched()
		}
	}
}

// requireUnbroken requires that each event of a batch comes right after the one
// before it, if that came at all.
func requireUnbroken(t *testing.T, items []item) {
	t.Helper()
	at := make(map[item]int)
	last := make(map[int]item)
	for i, it := range items {
		at[it] = i
		if was, ok := last[it.by]; ok {
			require.Positive(t, slices.Compare([]int{it.batch, it.n}, []int{was.batch, was.n}), "%v after %v", it, was)
		}
		last[it.by] = it
	}
	for i, it := range items {
		before := it
		before.n--
		if was, ok := at[before]; ok {
			require.Equal(t, i-1, was, "something is between %v and %v", before, it)
		}
	}
	require.Greater(t, len(items), 100)
}

// On a bus that does not run, what is in the queue stays there.
func TestTheFirstBatchesOnAQueueDoNotWaitForEachOther(t *testing.T) {
	for range 1000 {
		b := newBus(t)
		begin := make(chan bool)
		var outcomes []<-chan error
		for i := range 4 {
			outcomes = append(outcomes, inBackground(func() error {
				<-begin
				_, err := b.PublishBatch(context.Background(), eventbus.DataQueue, []eventbus.Event{event("e", i), event("e", i)})
				return err
			}))
		}
		close(begin)
		for _, outcome := range outcomes {
			require.NoError(t, receive(t, outcome))
		}
	}
}

// While the processor takes a batch, each of its events is in the queue or out of it.
func TestNoEventOfABatchIsSeenTwice(t *testing.T) {
	b := startedBus(t)
	var got atomic.Int64
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { got.Add(1); return nil })
	most := 0
	for i := range int64(many(10_000)) {
		require.Equal(t, batchResult{20, nil}, publishBatch(context.Background(), b, series(0, 20)))
		for got.Load() < 20*(i+1) {
			most = max(most, orders(b).Depth)
			runtime.Gosched()
		}
	}
	require.LessOrEqual(t, most, 20)
	require.LessOrEqual(t, orders(b).HighWater, 20)
}
