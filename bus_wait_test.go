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

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// waitFor publishes e in the background, and returns where the error of
// PublishWait comes out.
func waitFor(ctx context.Context, b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) <-chan error {
	return bustest.InBackground(func() error { return b.PublishWait(ctx, q, e) })
}

// Bus.PublishWait returns when all handlers are done, with their errors.
func TestPublishWaitReturnsTheErrorsOfAllHandlers(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		reports := 0
		b := startedBus(t, eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports++ }))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return io.EOF }, eventbus.WithName("fails"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { panic(io.ErrClosedPipe) }, eventbus.WithName("panics"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil }, eventbus.WithName("exits"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		began := time.Now()
		err := b.PublishWait(t.Context(), eventbus.OrderQueue, event("e", 1))
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
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.OrderQueue, event("nobody's", 1)), eventbus.ErrUnhandled)
		require.ErrorIs(t, b.PublishWait(t.Context(), 9, event("e", 1)), eventbus.ErrUnknownQueue)
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.OrderQueue, event("", 1)), eventbus.ErrInvalidEvent)
	})
}

// Its ErrNotRunning, ErrPaused, ErrClosed, ErrDropped and ErrExpired mean that no
// handler was or will be called, and that nobody is handed the event. Whatever
// becomes of the bus afterwards, order 1 is neither handled nor handed back.
func TestPublishWaitTellsThatNoHandlerWasOrWillBeCalled(t *testing.T) {
	background := context.Background()
	another := func(b *eventbus.Bus, _ *gate) error {
		return b.Publish(background, eventbus.OrderQueue, event("order", 2))
	}
	for name, c := range map[string]struct {
		want      error
		config    eventbus.QueueConfig
		inHandler bool
		then      func(*eventbus.Bus, *gate) error
	}{
		"stopped":                 {eventbus.ErrNotRunning, eventbus.QueueConfig{}, true, func(b *eventbus.Bus, _ *gate) error { b.Stop(); return nil }},
		"paused":                  {eventbus.ErrPaused, eventbus.QueueConfig{}, true, func(b *eventbus.Bus, _ *gate) error { return b.Pause(eventbus.OrderQueue) }},
		"shut down":               {eventbus.ErrClosed, eventbus.QueueConfig{}, false, func(b *eventbus.Bus, _ *gate) error { return b.Shutdown(bustest.Ended()) }},
		"in a handler, shut down": {eventbus.ErrClosed, eventbus.QueueConfig{}, true, func(b *eventbus.Bus, _ *gate) error { return b.Shutdown(bustest.Ended()) }},
		"evicted":                 {eventbus.ErrDropped, eventbus.QueueConfig{Overflow: eventbus.DropOldest}, false, another},
		"replaced":                {eventbus.ErrDropped, eventbus.QueueConfig{ConflateBy: func(eventbus.Event) string { return "key" }}, false, another},
		"too old": {eventbus.ErrExpired, eventbus.QueueConfig{MaxAge: time.Second}, false, func(_ *eventbus.Bus, g *gate) error {
			time.Sleep(time.Minute)
			g.open()
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				c.config.Capacity = 1
				b, got, g := busy(t, c.config)
				result := make(chan error, 1)
				ask := func(ctx context.Context, _ eventbus.Event) error {
					result <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", 1))
					return nil
				}
				b.SubscribeFunc("ask", ask)
				if c.inHandler {
					publish(t, b, eventbus.DataQueue, "ask", 0)
				} else {
					go ask(background, eventbus.Event{})
				}
				synctest.Wait()
				require.Empty(t, result)
				ends := []error{c.then(b, g)}
				require.ErrorIs(t, receive(t, result), c.want)
				if c.want != eventbus.ErrExpired {
					g.open()
				}
				_, _ = b.Start(background), b.Resume(eventbus.OrderQueue)
				_ = b.Flush(bustest.Within(t, time.Minute))
				ends = append(ends, b.Shutdown(background))
				for _, err := range ends {
					if e := new(eventbus.ShutdownError); errors.As(err, &e) {
						require.Empty(t, e.Remaining)
					}
				}
				require.NotContains(t, got.all(), 1)
				s := orders(b)
				require.Equal(t, s.Accepted, s.Handled+s.Evicted+s.Conflated+s.Expired+s.Withdrawn)
			})
		})
	}
}

// ErrUnhandled means that nobody but taps was called. A handler that fails was
// called, and one whose filters turn the event away was not.
func TestPublishWaitTellsThatNobodyButTapsWasCalled(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		taps := 0
		b.SubscribeAll(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { taps++; return nil }))
		b.SubscribeFunc("filtered", pass, eventbus.Where(func(eventbus.Event) bool { return false }))
		b.SubscribeFunc("fails", func(context.Context, eventbus.Event) error { return bustest.ErrHandler })
		b.SubscribeFunc("handled", pass)
		for typ, unhandled := range map[eventbus.EventType]bool{"nobody's": true, "filtered": true, "fails": false, "handled": false} {
			err := b.PublishWait(t.Context(), eventbus.OrderQueue, event(typ, 0))
			require.Equal(t, unhandled, errors.Is(err, eventbus.ErrUnhandled), "%s: %v", typ, err)
		}
		require.Equal(t, 4, taps)
		require.EqualValues(t, 4, orders(b).Handled)
	})
}

// Inside a handler it never waits for itself: it returns ErrWouldDeadlock. It may
// wait for the handlers of another queue, unless that closes a cycle.
func TestPublishWaitInAHandlerNeverDeadlocks(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var own, back error
		b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
			own = b.PublishWait(ctx, eventbus.DataQueue, event("inner", 0))
			return b.PublishWait(ctx, eventbus.OrderQueue, event("inner", 1))
		})
		b.SubscribeFunc("inner", func(ctx context.Context, e eventbus.Event) error {
			back = b.PublishWait(ctx, eventbus.DataQueue, event("outer", 2))
			return io.EOF
		})
		require.ErrorIs(t, b.PublishWait(t.Context(), eventbus.DataQueue, event("outer", 0)), io.EOF)
		require.ErrorIs(t, own, eventbus.ErrWouldDeadlock)
		require.ErrorIs(t, back, eventbus.ErrWouldDeadlock)
		s := b.Stats()
		require.EqualValues(t, []uint64{1, 2}, []uint64{s.Queues[0].Accepted, s.Queues[0].Rejected})
		require.EqualValues(t, 1, s.Queues[2].Handled)
	})
}

// A wait for room and for the event's turn ends with the context, and the event
// is handled in the second case only. On a stopped bus it waits for the next
// Start.
func TestPublishWaitLeavesWithItsContext(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, append(blocking(1, eventbus.OrderQueue), noPoll)...)
		var got journal[int]
		b.SubscribeFunc("e", got.handle)
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		accepted := waitFor(short, b, eventbus.OrderQueue, event("e", 1))
		synctest.Wait()
		refused := waitFor(short, b, eventbus.OrderQueue, event("e", 2))
		patient := waitFor(context.Background(), b, eventbus.OrderQueue, event("e", 3))
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

// The kill switch keeps handlers from being called, and PublishWait says so.
func TestPublishWaitTellsWhenTheKillSwitchCutsItsEventShort(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, g := startedBus(t), newGate()
		b.SubscribeFunc("e", g.handle, eventbus.WithName("first"))
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
		waiting := waitFor(context.Background(), b, eventbus.OrderQueue, event("e", 1))
		receive(t, g.entered)
		require.Error(t, b.Shutdown(bustest.Ended()))
		err := receive(t, waiting)
		require.NotErrorIs(t, err, eventbus.ErrClosed, "a handler was called")
		require.ErrorIs(t, err, context.Canceled, "the first handler's error")
		require.ErrorContains(t, err, "handler second and those after it were not called")
	})
}

// While a handler waits for an event, the handlers of that event defer what they
// publish to its full queue.
func TestPublishWaitMakesItsChainDefer(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
		b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
			return b.PublishWait(ctx, eventbus.OrderQueue, event("inner", 1))
		})
		var filled journal[int]
		b.SubscribeFunc("fill", filled.handle)
		b.SubscribeFunc("inner", func(ctx context.Context, e eventbus.Event) error {
			return errors.Join(b.Publish(ctx, eventbus.DataQueue, event("fill", 1)), b.Publish(ctx, eventbus.DataQueue, event("fill", 2)))
		})
		for range 50 {
			require.NoError(t, b.PublishWait(t.Context(), eventbus.DataQueue, event("outer", 0)))
		}
		bustest.Flush(t, b)
		require.Len(t, filled.all(), 100)

		g := newGate() // and if the handler had to wait for room first
		b.SubscribeFunc("stuck", g.handle)
		publish(t, b, eventbus.OrderQueue, "stuck", 1)
		receive(t, g.entered)
		publish(t, b, eventbus.OrderQueue, "stuck", 2)
		waiting := waitFor(t.Context(), b, eventbus.DataQueue, event("outer", 0))
		synctest.Wait()
		g.open()
		require.NoError(t, receive(t, waiting))
	})
}

// A handler that waits does not keep Stop and Shutdown waiting.
func TestPublishWaitEndsWithTheBus(t *testing.T) {
	for _, parked := range []bool{false, true} {
		bustest.Bubble(t, func(t *testing.T) {
			b, g := startedBus(t, blocking(1, bustest.EveryQueue...)...), newGate()
			b.SubscribeFunc("stuck", g.handle)
			outcome := make(chan error, 2)
			b.SubscribeFunc("outer", func(ctx context.Context, e eventbus.Event) error {
				outcome <- b.PublishWait(ctx, eventbus.OrderQueue, event("inner", 1))
				outcome <- b.PublishWait(ctx, eventbus.OrderQueue, event("inner", 2))
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
				require.NoError(t, b.Shutdown(bustest.Within(t, bustest.Patience)), "the event is withdrawn")
				require.EqualValues(t, 1, orders(b).Withdrawn)
				return
			}
			left := leftBy(t, b.Shutdown(bustest.Within(t, bustest.Patience)))
			require.Equal(t, []int{2}, numbersOf(left.Remaining[eventbus.OrderQueue]))
		})
	}
}

// Many wait at a time, some of them in handlers, and each is told.
func TestPublishWaitTellsEveryOneOfMany(t *testing.T) {
	b := newBus(t, append(blocking(3, bustest.EveryQueue...), noPoll)...)
	odd := errors.New("odd")
	b.SubscribeFunc("leaf", func(_ context.Context, e eventbus.Event) error {
		if e.Data.(int)%2 == 1 {
			return odd
		}
		return nil
	})
	b.SubscribeFunc("root", func(ctx context.Context, e eventbus.Event) error {
		return b.PublishWait(ctx, eventbus.OrderQueue, event("leaf", e.Data.(int)))
	})
	start(t, b)
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for i := range 200 {
				q, e := eventbus.DataQueue, event("root", i)
				if p%2 == 1 {
					q, e = eventbus.OrderQueue, event("leaf", i)
				}
				if err := b.PublishWait(bustest.Within(t, bustest.Patience), q, e); errors.Is(err, odd) != (i%2 == 1) {
					t.Error(fmt.Errorf("%d: %w", i, err))
				}
			}
		})
	}
	wait(t, &wg)
	shutdown(t, b)
}

func TestPublishWaitAfterShutdownOfASteppedBus(t *testing.T) {
	b := newBus(t)
	runUntilIdle(t, b)
	shutdown(t, b)
	err := b.PublishWait(t.Context(), eventbus.OrderQueue, event("e", nil))
	require.ErrorIs(t, err, eventbus.ErrClosed)
	require.NotErrorIs(t, err, eventbus.ErrNotRunning)
}

// A handler has ended the goroutine of RunUntilIdle and nobody goes on with its
// event, so PublishWait must not wait for that.
func TestPublishWaitReturnsThoughTheStepIsNeverFinished(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			runtime.Goexit()
			return nil
		})
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
		outcome := bustest.InBackground(func() error {
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
