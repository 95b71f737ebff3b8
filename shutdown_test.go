package eventbus_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func TestShutdownDrainsCascades(t *testing.T) {
	b := newBus(t)
	var orders atomic.Int32
	b.SubscribeFunc("candle", func(ctx context.Context, e eventbus.Event) error {
		return b.Publish(ctx, eventbus.SignalQueue, event("signal", e.Data))
	})
	b.SubscribeFunc("signal", func(ctx context.Context, e eventbus.Event) error {
		return b.Publish(ctx, eventbus.OrderQueue, event("order", e.Data))
	})
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { orders.Add(1); return nil })
	start(t, b)
	publish(t, b, eventbus.DataQueue, "candle", numbers(500)...)
	shutdown(t, b)
	require.EqualValues(t, 500, orders.Load())
	require.ErrorIs(t, b.Publish(context.Background(), eventbus.DataQueue, event("candle", 1)), eventbus.ErrClosed)
	require.ErrorIs(t, b.Start(context.Background()), eventbus.ErrClosed)
	shutdown(t, b)
	flush(t, b)
}

func TestShutdownHandsBackWhatItCouldNotHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		stuck := make(chan struct{})
		entered := make(chan struct{}, 1)
		var later atomic.Int32
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { entered <- struct{}{}; <-stuck; return nil }, eventbus.WithName("stuck"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { later.Add(1); return nil })
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", numbers(11)...)
		receive(t, entered)
		began := time.Now()
		err := b.Shutdown(within(t, 50*time.Millisecond))
		require.Equal(t, 50*time.Millisecond, time.Since(began))
		var left *eventbus.ShutdownError
		require.ErrorAs(t, err, &left)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "10 on the order queue")
		require.ErrorContains(t, err, "handler stuck still runs on order")
		require.Len(t, left.Remaining, 1)
		for i, e := range left.Remaining[eventbus.OrderQueue] {
			require.Equal(t, i+1, e.Data)
		}
		close(stuck)
		synctest.Wait()
		require.Zero(t, later.Load(), "a handler was called after Shutdown had returned")
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.EqualValues(t, q.Accepted, q.Handled+uint64(q.Depth))
		require.Equal(t, err, b.Shutdown(context.Background()))
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrClosed)
	})
}

func TestTheKillSwitchRunsNothingMore(t *testing.T) {
	for range 300 {
		b := newBus(t)
		var dead atomic.Bool
		var late, handled atomic.Int32
		for range 2 {
			b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
				if dead.Load() {
					late.Add(1)
				}
				handled.Add(1)
				return nil
			})
		}
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", numbers(40)...)
		err := b.Shutdown(ended())
		dead.Store(true)
		q := b.Stats().Queues[eventbus.OrderQueue]
		if err == nil {
			require.EqualValues(t, 40, q.Handled)
			continue
		}
		var left *eventbus.ShutdownError
		require.ErrorAs(t, err, &left)
		remaining := left.Remaining[eventbus.OrderQueue]
		for i, e := range remaining {
			require.Equal(t, 40-len(remaining)+i, e.Data)
		}
	}
}

func TestABusThatDoesNotRunHandsEverythingBackAtOnce(t *testing.T) {
	b := newBus(t)
	publish(t, b, eventbus.DataQueue, "tick", 1, 2)
	require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrNotRunning)
	var left *eventbus.ShutdownError
	require.ErrorAs(t, b.Shutdown(context.Background()), &left)
	require.ErrorIs(t, left, eventbus.ErrNotRunning)
	require.Len(t, left.Remaining[eventbus.DataQueue], 2)
}

func TestAHandlerCannotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		errs := make(chan error, 2)
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			errs <- b.Flush(ctx)
			errs <- b.Shutdown(ctx)
			b.Stats()
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", 1)
		require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
		require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
		shutdown(t, b)
	})
}

func TestShutdownAmongManyPublishersLosesNothing(t *testing.T) {
	for range 100 {
		b := newBus(t)
		var handled, accepted atomic.Int64
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
		start(t, b)
		var publishers sync.WaitGroup
		for range 64 {
			publishers.Go(func() {
				for {
					err := b.Publish(context.Background(), eventbus.OrderQueue, event("order", 1))
					if err != nil {
						require.ErrorIs(t, err, eventbus.ErrClosed)
						return
					}
					accepted.Add(1)
				}
			})
		}
		for accepted.Load() < 200 {
			time.Sleep(10 * time.Microsecond)
		}
		shutdown(t, b)
		publishers.Wait()
		require.Equal(t, accepted.Load(), handled.Load())
	}
}

func TestAHandlerThatLeavesWhenShutdownGivesUpIsNamed(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			b, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)), eventbus.WithSlowHandler(0))
			require.NoError(t, err)
			b.SubscribeFunc("work", func(ctx context.Context, _ eventbus.Event) error {
				<-ctx.Done()
				return nil
			}, eventbus.WithName("patient"))
			require.NoError(t, b.Start(t.Context()))
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "work"}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorContains(t, b.Shutdown(ctx), "patient")
		})
	}
}
