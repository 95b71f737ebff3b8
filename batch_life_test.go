package eventbus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// The rest of a batch that is interrupted keeps its place.
func TestABatchIsInterruptedAndGoesOn(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
				b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10})
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

func TestShutdownHandsBackTheRestOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10})
		require.Equal(t, batchResult{4, nil}, publishBatch(t.Context(), b, series(0, 4)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(4, 7)))
		publish(t, b, eventbus.OrderQueue, "order", 7)
		g.release <- struct{}{}
		receive(t, g.entered)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(8, 20)) })
		synctest.Wait()
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(ended()), &left)
		require.Equal(t, upTo(1, 11), numbersOf(left.Remaining[eventbus.OrderQueue]))
		r := receive(t, waiting)
		require.ErrorIs(t, r.err, eventbus.ErrClosed)
		require.Equal(t, 3, r.accepted)
		synctest.Wait()
		require.Equal(t, upTo(-1, 1), got.all())
		s := orders(b)
		require.Equal(t, []uint64{12, 2, 10}, []uint64{s.Accepted, s.Handled, uint64(s.Depth)})
		require.Equal(t, batchResult{0, r.err}.accepted, publishBatch(t.Context(), b, series(0, 2)).accepted)
	})
}

func TestOrdersComeBetweenTheEventsOfADataBatchOnASingleThread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithSingleThread())
		var got journal[string]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			got.add("tick")
			return b.Publish(ctx, eventbus.OrderQueue, numbered("order", 0))
		})
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { got.add("order"); return nil })
		tick := eventbus.Event{Type: "tick"}
		synctest.Wait() // the processor sleeps, so that the batch wakes it
		n, err := b.PublishBatch(t.Context(), eventbus.DataQueue, []eventbus.Event{tick, tick, tick})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		flush(t, b)
		require.Equal(t, []string{"tick", "order", "tick", "order", "tick", "order"}, got.all())
	})
}

func TestAnEventOfABatchExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Minute})
		events := series(0, 3)
		events[1].Time = time.Now().Add(time.Hour)
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, events))
		time.Sleep(2 * time.Minute)
		g.open()
		flush(t, b)
		require.Equal(t, []int{-1, 1}, got.all())
		require.EqualValues(t, 2, orders(b).Expired)
	})
}

func TestABatchOfAQueueThatConflatesIsConflated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 3, ConflateBy: func(e eventbus.Event) string {
			return []string{"even", "odd"}[(e.Data.(int)+2)%2]
		}})
		require.Equal(t, batchResult{5, nil}, publishBatch(t.Context(), b, series(0, 5)))
		g.open()
		flush(t, b)
		require.Equal(t, []int{-1, 4, 3}, got.all())
		require.EqualValues(t, 3, orders(b).Conflated)
	})
}
