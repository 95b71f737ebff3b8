package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// After the kill switch nothing more runs: not the other handlers of an event,
// not what was queued, not what was deferred. All of it is handed back.
func TestShutdownKillsWhatHasNotBegun(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, blocking(3, bustest.EveryQueue...)...)
		deaf := make(chan struct{})
		var calls, late atomic.Int32
		ends, published := make(chan error, 3), make(chan error, 3)
		for _, q := range bustest.EveryQueue {
			name := eventbus.EventType(q.String())
			b.SubscribeFunc(name, func(ctx context.Context, e eventbus.Event) error {
				calls.Add(1)
				for i := range 5 { // two fit, three are deferred
					require.NoError(t, b.Publish(ctx, q, event(name, i)))
				}
				<-deaf
				ends <- ctx.Err()
				published <- b.Publish(ctx, q, e)
				return errors.New("reported all the same")
			})
			b.SubscribeFunc(name, func(context.Context, eventbus.Event) error {
				late.Add(1)
				return nil
			})
			publish(t, b, q, name, -2, -1)
		}
		start(t, b)
		synctest.Wait()
		var left *eventbus.ShutdownError
		instantly(t, "Shutdown", func() { require.ErrorAs(t, b.Shutdown(bustest.Ended()), &left) })
		require.ErrorIs(t, left, context.Canceled)
		for _, q := range bustest.EveryQueue {
			require.Equal(t, upTo(-1, 5), numbersOf(left.Remaining[q]), "%v queue", q)
		}
		close(deaf)
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, calls.Load())
		require.Zero(t, late.Load())
		for range bustest.EveryQueue {
			require.ErrorIs(t, <-ends, context.Canceled)
			require.ErrorIs(t, <-published, eventbus.ErrClosed)
		}
	})
}

// The kill switch may come at any moment of a busy bus: what is handled and what
// is handed back add up, in order. No handler starts after it but one that it has
// named, and it says which ones an event did not get to.
func TestShutdownKillsExactlyAtAnyMoment(t *testing.T) {
	for round := range many(2000) {
		b := newBus(t, append(blocking(8, bustest.EveryQueue...), noPoll)...)
		var killed atomic.Bool
		var handled, completed, late atomic.Int64
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			if killed.Load() {
				late.Add(1)
			}
			if !handled.CompareAndSwap(int64(e.Data.(int)), int64(e.Data.(int)+1)) {
				return bustest.ErrHandler
			}
			return nil
		}, eventbus.WithName("the handler"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			completed.Add(1)
			return nil
		}, eventbus.WithName("the handler after it"))
		start(t, b)
		accepted := 0
		refused := bustest.InBackground(func() error {
			for {
				if err := b.Publish(context.Background(), eventbus.OrderQueue, event("order", accepted)); err != nil {
					return err
				}
				accepted++
			}
		})
		eventually(t, "the moment", func() bool { return handled.Load() >= int64(round%20) })
		err := b.Shutdown(bustest.Ended())
		killed.Store(true)
		require.ErrorIs(t, receive(t, refused), eventbus.ErrClosed)
		var remaining []int
		named := int64(0)
		if left := new(eventbus.ShutdownError); errors.As(err, &left) {
			remaining = numbersOf(left.Remaining[eventbus.OrderQueue])
			if strings.Contains(err.Error(), "the handler") || strings.Contains(err.Error(), "handlers are about to be called") {
				named = 1
			}
		}
		eventually(t, "the end of the handler", func() bool { return handled.Load() == int64(accepted-len(remaining)) })
		require.Equal(t, upTo(accepted-len(remaining), accepted), remaining)
		require.LessOrEqual(t, late.Load(), named, "%v", err)
		require.GreaterOrEqual(t, completed.Load(), handled.Load()-named, "%v", err)
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Failed, "out of order")
	}
}

func TestShutdownNamesAHandlerThatLeavesWhenItGivesUp(t *testing.T) {
	for range 200 {
		bustest.Bubble(t, func(t *testing.T) {
			b, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)), eventbus.WithSlowHandler(0))
			require.NoError(t, err)
			b.SubscribeFunc("work", func(ctx context.Context, _ eventbus.Event) error {
				<-ctx.Done()
				return nil
			}, eventbus.WithName("patient"))
			require.NoError(t, b.Start(t.Context()))
			publish(t, b, eventbus.OrderQueue, "work", nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorContains(t, b.Shutdown(ctx), "patient")
		})
	}
}

func TestShutdownWaitsForAbandonedCallsAndNamesThem(t *testing.T) {
	stuckBus := func(t *testing.T) *eventbus.Bus {
		b := startedBus(t)
		b.Subscribe("tick", async(func(context.Context, eventbus.Event) error {
			time.Sleep(time.Minute)
			return nil
		}, time.Second), eventbus.WithName("stuck"))
		publish(t, b, eventbus.DataQueue, "tick", 1)
		bustest.Flush(t, b)
		return b
	}
	bustest.Bubble(t, func(t *testing.T) {
		b := stuckBus(t)
		began := time.Now()
		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, 59*time.Second, time.Since(began))
	})
	bustest.Bubble(t, func(t *testing.T) {
		b := stuckBus(t)
		b.Stop()
		began := time.Now()
		err := b.Shutdown(bustest.Within(t, time.Second))
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "handler stuck, abandoned after 1s, still runs on tick")
	})
}

func TestShutdownEndsTheContextOfAnAsyncCall(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Hour} {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t)
			var ends journal[error]
			b.Subscribe("tick", async(func(ctx context.Context, _ eventbus.Event) error {
				<-ctx.Done()
				time.Sleep(time.Second) // the rest of its time is still its own
				ends.add(context.Cause(ctx))
				return nil
			}, timeout), eventbus.WithName("stuck"))
			publish(t, b, eventbus.DataQueue, "tick", 1)
			synctest.Wait()
			instantly(t, "Shutdown", func() { require.ErrorContains(t, b.Shutdown(bustest.Ended()), "stuck still runs") })
			time.Sleep(time.Minute)
			require.Equal(t, []error{context.Canceled}, ends.all())
			require.Zero(t, b.Stats().Abandoned)
			require.Zero(t, b.Stats().Handlers[0].Failed)
		})
	}
}

// What expires while the bus is stopped is handed back all the same, as it was
// published.
func TestShutdownHandsBackStaleEvents(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, maxAge(eventbus.OrderQueue, 10, time.Second))
		publish(t, b, eventbus.OrderQueue, "order", 1, 2)
		time.Sleep(time.Minute)
		left := leftBy(t, b.Shutdown(t.Context()))
		require.Equal(t, []int{1, 2}, numbersOf(left.Remaining[eventbus.OrderQueue]))
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Expired)
	})
}

func TestShutdownHandsBackTheRestOfABatch(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 10})
		require.Equal(t, batchResult{4, nil}, publishBatch(t.Context(), b, series(0, 4)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(4, 7)))
		publish(t, b, eventbus.OrderQueue, "order", 7)
		g.release <- struct{}{}
		receive(t, g.entered)
		waiting := bustest.InBackground(func() batchResult { return publishBatch(context.Background(), b, series(8, 20)) })
		synctest.Wait()
		left := leftBy(t, b.Shutdown(bustest.Ended()))
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
