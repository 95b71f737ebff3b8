package eventbus_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// An item is event n of batch number batch of a publisher, or a single event.
type item struct {
	by, batch, n int
	single       bool
}

// No event gets between those of a batch, whatever the queue's rule, and each
// publisher's events are in order.
func TestPublishBatchLetsNothingComeBetween(t *testing.T) {
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
			wait(t, &publishers)
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

// The bus does not run, so a batch that waited for another would wait for good.
func TestPublishBatchDoesNotWaitForTheFirstOfAnother(t *testing.T) {
	for range 1000 {
		b := newBus(t)
		begin := make(chan bool)
		var outcomes []<-chan error
		for i := range 4 {
			outcomes = append(outcomes, bustest.InBackground(func() error {
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
func TestPublishBatchIsCountedOnce(t *testing.T) {
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

// The rest of a batch that is interrupted keeps its place.
func TestPublishBatchIsInterruptedAndGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		interrupt, resume func(*testing.T, *eventbus.Bus)
	}{
		"by Stop": {
			func(_ *testing.T, b *eventbus.Bus) { b.Stop() },
			func(t *testing.T, b *eventbus.Bus) { start(t, b) },
		},
		"by Pause": {
			func(t *testing.T, b *eventbus.Bus) { require.NoError(t, b.Pause(eventbus.OrderQueue)) },
			func(t *testing.T, b *eventbus.Bus) { require.NoError(t, b.Resume(eventbus.OrderQueue)) },
		},
		"by Stop, and stepped": {
			func(_ *testing.T, b *eventbus.Bus) { b.Stop() },
			func(t *testing.T, b *eventbus.Bus) { runUntilIdle(t, b) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, got, g := busy(t, eventbus.QueueConfig{Capacity: 10})
				require.Equal(t, batchResult{4, nil}, publishBatch(t.Context(), b, series(0, 4)))
				g.release <- struct{}{}
				g.release <- struct{}{}
				receive(t, g.entered)
				receive(t, g.entered)
				c.interrupt(t, b)
				require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(4, 7)))
				g.open()
				synctest.Wait()
				require.Equal(t, upTo(-1, 2), got.all())
				require.Equal(t, 5, orders(b).Depth+orders(b).Deferred)
				c.resume(t, b)
				synctest.Wait()
				require.Equal(t, upTo(-1, 7), got.all())
			})
		})
	}
}

func TestPublishBatchSurvivesAFailureInside(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var got journal[int]
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			switch e.Data.(int) % 5 {
			case 1:
				return errors.New("one")
			case 2:
				panic("two")
			case 3:
				runtime.Goexit()
			}
			return nil
		})
		b.SubscribeFunc("order", got.handle)
		for i := range 3 {
			require.Equal(t, batchResult{10, nil}, publishBatch(t.Context(), b, series(10*i, 10*i+10)))
		}
		bustest.Flush(t, b)
		require.Equal(t, upTo(0, 30), got.all())
		require.EqualValues(t, 18, orders(b).Failed)
	})
}

func TestWithSingleThreadOrdersComeBetweenTheEventsOfABatch(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithSingleThread())
		var got journal[string]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			got.add("tick")
			return b.Publish(ctx, eventbus.OrderQueue, event("order", 0))
		})
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { got.add("order"); return nil })
		tick := eventbus.Event{Type: "tick"}
		synctest.Wait() // the processor sleeps, so that the batch wakes it
		n, err := b.PublishBatch(t.Context(), eventbus.DataQueue, []eventbus.Event{tick, tick, tick})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		bustest.Flush(t, b)
		require.Equal(t, []string{"tick", "order", "tick", "order", "tick", "order"}, got.all())
	})
}

func TestPublishBatchEventsExpire(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Minute})
		events := series(0, 3)
		events[1].Time = time.Now().Add(time.Hour)
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, events))
		time.Sleep(2 * time.Minute)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []int{-1, 1}, got.all())
		require.EqualValues(t, 2, orders(b).Expired)
	})
}

func TestPublishBatchIsConflated(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 3, ConflateBy: func(e eventbus.Event) string {
			return []string{"even", "odd"}[(e.Data.(int)+2)%2]
		}})
		require.Equal(t, batchResult{5, nil}, publishBatch(t.Context(), b, series(0, 5)))
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []int{-1, 4, 3}, got.all())
		require.EqualValues(t, 3, orders(b).Conflated)
	})
}
