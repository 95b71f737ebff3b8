package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func waitFor(ctx context.Context, b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) <-chan error {
	return inBackground(func() error { return b.PublishWait(ctx, q, e) })
}

// PublishWait returns when the last handler has returned, with what each of
// them did wrong.
func TestPublishWaitReturnsTheErrorsOfAllHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reports := 0
		b := startedBus(t, eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports++ }))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return io.EOF }, eventbus.WithName("fails"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { panic(io.ErrClosedPipe) }, eventbus.WithName("panics"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil }, eventbus.WithName("exits"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		began := time.Now()
		err := b.PublishWait(t.Context(), eventbus.OrderQueue, numbered("e", 1))
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, err, io.EOF)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		list := err.(interface{ Unwrap() []error }).Unwrap()
		require.Len(t, list, 3)
		for i, name := range []string{"fails", "panics", "exits"} {
			var h *eventbus.HandlerError
			require.ErrorAs(t, list[i], &h)
			require.Equal(t, name, h.Handler)
			require.Equal(t, i == 1, h.Panicked)
			require.Equal(t, 1, h.Event.Data)
		}
		require.Equal(t, 3, reports)
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.OrderQueue, numbered("nobody's", 1)), eventbus.ErrUnhandled)
		require.ErrorIs(t, b.PublishWait(t.Context(), 9, numbered("e", 1)), eventbus.ErrUnknownQueue)
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.OrderQueue, numbered("", 1)), eventbus.ErrInvalidEvent)
	})
}

// A wait for room and for the event's turn ends with the context; the event is
// handled in the second case only. A stopped bus makes it wait for the next Start.
func TestPublishWaitLeavesWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBus(t, append(blocking(1, eventbus.OrderQueue), noPoll)...)
		var got journal[int]
		b.SubscribeFunc("e", got.handle)
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		accepted := waitFor(short, b, eventbus.OrderQueue, numbered("e", 1))
		synctest.Wait()
		refused := waitFor(short, b, eventbus.OrderQueue, numbered("e", 2))
		patient := waitFor(context.Background(), b, eventbus.OrderQueue, numbered("e", 3))
		err := receive(t, accepted)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "it is accepted")
		err = receive(t, refused)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotContains(t, err.Error(), "it is accepted")
		time.Sleep(time.Minute)
		require.Empty(t, patient)
		start(t, b)
		require.NoError(t, receive(t, patient))
		require.Equal(t, []int{1, 3}, got.all())
	})
}

// Whatever becomes of an event that is not handled, who waits for it is told.
func TestPublishWaitTellsWhyAnEventIsNotHandled(t *testing.T) {
	for name, c := range map[string]struct {
		config eventbus.QueueConfig
		then   func(*eventbus.Bus)
		want   error
	}{
		"evicted": {eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest},
			func(b *eventbus.Bus) { _ = b.Publish(context.Background(), 0, quoteOf("B", 2)) }, eventbus.ErrDropped},
		"replaced": {eventbus.QueueConfig{Capacity: 1, ConflateBy: bySymbol},
			func(b *eventbus.Bus) { _ = b.Publish(context.Background(), 0, quoteOf("A", 2)) }, eventbus.ErrDropped},
		"expired": {eventbus.QueueConfig{Capacity: 1, MaxAge: time.Second},
			func(b *eventbus.Bus) { time.Sleep(time.Minute); _ = b.Start(context.Background()) }, eventbus.ErrExpired},
		"handed back": {eventbus.QueueConfig{Capacity: 1, ConflateBy: bySymbol},
			func(b *eventbus.Bus) { _ = b.Shutdown(context.Background()) }, eventbus.ErrClosed},
		"handled": {eventbus.QueueConfig{Capacity: 1, ConflateBy: bySymbol},
			func(b *eventbus.Bus) { _ = b.Start(context.Background()) }, eventbus.ErrUnhandled},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll, eventbus.WithQueue(eventbus.DataQueue, c.config))
				waiting := waitFor(context.Background(), b, eventbus.DataQueue, quoteOf("A", 1))
				synctest.Wait()
				c.then(b)
				require.ErrorIs(t, receive(t, waiting), c.want)
			})
		})
	}
}

// The kill switch keeps handlers from being called, and PublishWait says so.
func TestPublishWaitTellsWhenTheKillSwitchCutsItsEventShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, g := startedBus(t), newGate(t)
		b.SubscribeFunc("e", g.handle, eventbus.WithName("first"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
		waiting := waitFor(context.Background(), b, eventbus.OrderQueue, numbered("e", 1))
		receive(t, g.entered)
		require.Error(t, b.Shutdown(ended()))
		err := receive(t, waiting)
		require.NotErrorIs(t, err, eventbus.ErrClosed, "a handler was called")
		require.ErrorIs(t, err, context.Canceled, "the first handler's error")
		require.ErrorContains(t, err, "handler second and those after it were not called")
	})
}

// A handler may wait for another queue's handlers, but not for itself, nor
// around a cycle, nor for a bus that does not run.
func TestPublishWaitInAHandlerNeverDeadlocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var own, back error
		b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
			own = b.PublishWait(ctx, eventbus.DataQueue, numbered("inner", 0))
			return b.PublishWait(ctx, eventbus.OrderQueue, numbered("inner", 1))
		})
		b.SubscribeFunc("inner", func(ctx context.Context, e eventbus.Event) error {
			back = b.PublishWait(ctx, eventbus.DataQueue, numbered("outer", 2))
			return io.EOF
		})
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.DataQueue, numbered("outer", 0)), io.EOF)
		require.ErrorIs(t, own, eventbus.ErrWouldDeadlock)
		require.ErrorIs(t, back, eventbus.ErrWouldDeadlock)
		s := b.Stats()
		require.EqualValues(t, []uint64{1, 2}, []uint64{s.Queues[0].Accepted, s.Queues[0].Rejected})
		require.EqualValues(t, 1, s.Queues[2].Handled)
	})
}

// While a handler waits for an event, those of its chain defer what they
// publish to its full queue.
func TestHandlersSeeThatAHandlerWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, everyQueue...)...)
		b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
			return b.PublishWait(ctx, eventbus.OrderQueue, numbered("inner", 1))
		})
		var filled journal[int]
		b.SubscribeFunc("fill", filled.handle)
		b.SubscribeFunc("inner", func(ctx context.Context, e eventbus.Event) error {
			return errors.Join(b.Publish(ctx, eventbus.DataQueue, numbered("fill", 1)), b.Publish(ctx, eventbus.DataQueue, numbered("fill", 2)))
		})
		for range 50 {
			require.NoError(t, b.PublishWait(t.Context(), eventbus.DataQueue, numbered("outer", 0)))
		}
		flush(t, b)
		require.Len(t, filled.all(), 100)

		g := newGate(t) // and if the handler had to wait for room first
		b.SubscribeFunc("stuck", g.handle)
		publish(t, b, eventbus.OrderQueue, "stuck", 1)
		receive(t, g.entered)
		publish(t, b, eventbus.OrderQueue, "stuck", 2)
		waiting := waitFor(t.Context(), b, eventbus.DataQueue, numbered("outer", 0))
		synctest.Wait()
		g.open()
		require.NoError(t, receive(t, waiting))
	})
}

// A handler that waits does not keep Stop and Shutdown waiting.
func TestAHandlersWaitEndsWithTheBus(t *testing.T) {
	for _, parked := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			b, g := startedBus(t, blocking(1, everyQueue...)...), newGate(t)
			b.SubscribeFunc("stuck", g.handle)
			outcome := make(chan error, 2)
			b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
				outcome <- b.PublishWait(ctx, eventbus.OrderQueue, numbered("inner", 1))
				outcome <- b.PublishWait(ctx, eventbus.OrderQueue, numbered("inner", 2))
				return nil
			})
			publish(t, b, eventbus.OrderQueue, "stuck", 1)
			receive(t, g.entered)
			if parked {
				publish(t, b, eventbus.OrderQueue, "stuck", 2)
			}
			publish(t, b, eventbus.DataQueue, "outer", 0)
			synctest.Wait()
			require.Empty(t, outcome)
			b.Stop()
			require.ErrorIs(t, receive(t, outcome), eventbus.ErrNotRunning)
			require.ErrorIs(t, receive(t, outcome), eventbus.ErrNotRunning)
			g.open()
			if !parked {
				require.NoError(t, b.Shutdown(within(t, patience)), "the event is withdrawn")
				require.EqualValues(t, 1, orders(b).Withdrawn)
				return
			}
			var left *eventbus.ShutdownError
			require.ErrorAs(t, b.Shutdown(within(t, patience)), &left)
			require.Equal(t, []int{2}, numbersOf(left.Remaining[eventbus.OrderQueue]))
		})
	}
}

// Many wait at a time, some of them in handlers, and every one is told.
func TestManyPublishWaits(t *testing.T) {
	b := newBus(t, append(blocking(3, everyQueue...), noPoll)...)
	odd := errors.New("odd")
	b.SubscribeFunc("leaf", func(_ context.Context, e eventbus.Event) error {
		if e.Data.(int)%2 == 1 {
			return odd
		}
		return nil
	})
	b.SubscribeFunc("root", func(ctx context.Context, e eventbus.Event) error {
		return b.PublishWait(ctx, eventbus.OrderQueue, numbered("leaf", e.Data.(int)))
	})
	start(t, b)
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for i := range 200 {
				q, e := eventbus.DataQueue, numbered("root", i)
				if p%2 == 1 {
					q, e = eventbus.OrderQueue, numbered("leaf", i)
				}
				if err := b.PublishWait(within(t, patience), q, e); errors.Is(err, odd) != (i%2 == 1) {
					t.Error(fmt.Errorf("%d: %w", i, err))
				}
			}
		})
	}
	wg.Wait()
	shutdown(t, b)
}

func TestAfterShutdownPublishWaitIsToldSoOnASteppedBusToo(t *testing.T) {
	b := newBus(t)
	runUntilIdle(t, b)
	require.NoError(t, b.Shutdown(t.Context()))
	err := b.PublishWait(t.Context(), eventbus.OrderQueue, event("e", nil))
	require.ErrorIs(t, err, eventbus.ErrClosed)
	require.NotErrorIs(t, err, eventbus.ErrNotRunning)
}

// A handler has ended the goroutine of RunUntilIdle, nobody goes on with its
// event, and who waits for that must not wait for ever.
func TestPublishWaitReturnsThoughTheStepThatHandledItsEventWasNeverFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			runtime.Goexit()
			return nil
		})
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
		outcome := inBackground(func() error {
			return b.PublishWait(context.Background(), eventbus.OrderQueue, event("e", nil))
		})
		synctest.Wait()
		go func() { _, _ = b.RunUntilIdle(context.Background()) }()
		synctest.Wait()
		require.Empty(t, outcome)
		require.Error(t, b.Shutdown(context.Background()))
		require.ErrorContains(t, receive(t, outcome), "handler second and those after it were not called")
	})
}
