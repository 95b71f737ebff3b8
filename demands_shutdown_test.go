package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

// D3: publishers that race with Shutdown get nil or ErrClosed and nothing else,
// and nil means that the event has been handled when Shutdown returns.
func TestPublishersThatRaceWithShutdownLoseNothing(t *testing.T) {
	const publishers = 64
	for round := range many(1000) {
		capacity := []int{4, 256}[round%2] // publishers wait, or seldom do
		b := newBus(t, append(blocking(capacity, everyQueue...), noPoll)...)
		var handled, accepted atomic.Int64
		b.SubscribeFunc("race", func(context.Context, eventbus.Event) error {
			handled.Add(1)
			return nil
		})
		start(t, b)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for {
					err := b.Publish(context.Background(), everyQueue[p%3], eventbus.Event{Type: "race"})
					if err != nil {
						require.ErrorIs(t, err, eventbus.ErrClosed)
						return
					}
					accepted.Add(1)
				}
			})
		}
		eventually(t, "the first event", func() bool { return handled.Load() >= publishers/2 })
		require.NoError(t, receive(t, inBackground(func() error { return b.Shutdown(context.Background()) })))
		atReturn := handled.Load()
		receive(t, inBackground(func() bool { wg.Wait(); return true }))
		require.Equal(t, accepted.Load(), atReturn)
		require.Equal(t, atReturn, handled.Load())
	}
}

// D5: Shutdown ends when everything accepted is handled, the running handlers
// have returned, and the processors have said goodbye, however long their logger
// takes for that. No goroutine is left then.
func TestShutdownEndsWithTheLastHandlerAndLeavesNoGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		log := &logbook{level: slog.LevelInfo, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: processor stopped" {
				time.Sleep(time.Second)
			}
		}}
		b := startedBus(t, log.logger(), eventbus.WithSlowHandler(0))
		var running, handled atomic.Int32
		work := func(context.Context, eventbus.Event) error {
			running.Add(1)
			defer running.Add(-1)
			time.Sleep(time.Second)
			handled.Add(1)
			return nil
		}
		b.SubscribeFunc("work", work)
		b.SubscribeFunc("work", work)
		const each = 10
		for _, q := range everyQueue {
			for range each {
				require.NoError(t, b.Publish(t.Context(), q, eventbus.Event{Type: "work"}))
			}
		}
		began := time.Now()
		require.NoError(t, b.Shutdown(context.Background()))
		require.Zero(t, running.Load())
		require.EqualValues(t, 3*each*2, handled.Load())
		require.Equal(t, (each*2+1)*time.Second, time.Since(began))
		require.Len(t, log.find("eventbus: processor stopped"), len(everyQueue))
		synctest.Wait()
		require.NoError(t, goleak.Find(before))
	})
}

// D14: Shutdown with a deadline keeps it though a handler is stuck and deaf. It
// names the handler and hands the events back, and nothing spins meanwhile: if
// something did, the bubble's time would stand still.
func TestShutdownKeepsItsDeadlineThoughAHandlerIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		deaf := make(chan struct{})
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			<-deaf
			return nil
		}, eventbus.WithName("deaf"))
		var later journal[int]
		b.SubscribeFunc("order", later.handle)
		publish(t, b, eventbus.OrderQueue, "order", numbers(5)...)
		synctest.Wait()
		began := time.Now()
		err := b.Shutdown(within(t, 50*time.Millisecond))
		require.Equal(t, 50*time.Millisecond, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "handler deaf still runs on order")
		require.ErrorContains(t, err, "4 on the order queue")
		var left *eventbus.ShutdownError
		require.ErrorAs(t, err, &left)
		require.Len(t, left.Remaining, 1)
		require.Equal(t, upTo(1, 5), numbersOf(left.Remaining[eventbus.OrderQueue]))
		time.Sleep(10 * time.Hour)
		close(deaf)
		synctest.Wait()
		require.Empty(t, later.all(), "a handler was called after Shutdown had returned")
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.EqualValues(t, q.Accepted, q.Handled+uint64(q.Depth))
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.True(t, left.HandedOver)
		require.Empty(t, left.Remaining)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrClosed)
	})
}

// D18: after the kill switch nothing more runs: not the other handlers of an
// event, not what was queued, not what was deferred. All of it is handed back.
func TestNothingRunsAfterTheKillSwitch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBus(t, blocking(3, everyQueue...)...)
		deaf := make(chan struct{})
		var calls, late atomic.Int32
		ends, published := make(chan error, 3), make(chan error, 3)
		for _, q := range everyQueue {
			name := eventbus.EventType(q.String())
			b.SubscribeFunc(name, func(ctx context.Context, e eventbus.Event) error {
				calls.Add(1)
				for i := range 5 { // two fit, three are deferred
					require.NoError(t, b.Publish(ctx, q, numbered(name, i)))
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
		instantly(t, "Shutdown", func() { require.ErrorAs(t, b.Shutdown(ended()), &left) })
		require.ErrorIs(t, left, context.Canceled)
		for _, q := range everyQueue {
			require.Equal(t, upTo(-1, 5), numbersOf(left.Remaining[q]), "%v queue", q)
		}
		close(deaf)
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, calls.Load())
		require.Zero(t, late.Load())
		for range everyQueue {
			require.ErrorIs(t, <-ends, context.Canceled)
			require.ErrorIs(t, <-published, eventbus.ErrClosed)
		}
	})
}

// D18: also when the kill switch comes at any moment of a busy bus: what is
// handled and what is handed back add up, in order. No handler starts after it
// but one that it has named, and it says which ones an event did not get to.
func TestTheKillSwitchIsExactAtAnyMoment(t *testing.T) {
	for round := range many(2000) {
		b := newBus(t, append(blocking(8, everyQueue...), noPoll)...)
		var killed atomic.Bool
		var handled, completed, late atomic.Int64
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			if killed.Load() {
				late.Add(1)
			}
			if !handled.CompareAndSwap(int64(e.Data.(int)), int64(e.Data.(int)+1)) {
				return errHandler
			}
			return nil
		}, eventbus.WithName("the handler"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			completed.Add(1)
			return nil
		}, eventbus.WithName("the handler after it"))
		start(t, b)
		accepted := 0
		refused := inBackground(func() error {
			for {
				if err := b.Publish(context.Background(), eventbus.OrderQueue, numbered("order", accepted)); err != nil {
					return err
				}
				accepted++
			}
		})
		eventually(t, "the moment", func() bool { return handled.Load() >= int64(round%20) })
		err := b.Shutdown(ended())
		killed.Store(true)
		require.ErrorIs(t, receive(t, refused), eventbus.ErrClosed)
		var remaining []int
		named := int64(0)
		if left := new(eventbus.ShutdownError); errors.As(err, &left) {
			remaining = numbersOf(left.Remaining[eventbus.OrderQueue])
			if strings.Contains(err.Error(), "the handler") {
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

// D19: while Shutdown drains, what handlers publish is accepted. For each piece
// of data there is an order, although the queues are full and outsiders are
// refused.
func TestCascadesArriveDuringShutdown(t *testing.T) {
	for _, capacity := range []int{1, 7} {
		bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(capacity, everyQueue...)...)
			pass := func(ms time.Duration, q eventbus.Queue, t eventbus.EventType) func(context.Context, eventbus.Event) error {
				return func(ctx context.Context, e eventbus.Event) error {
					time.Sleep(ms * time.Millisecond)
					return b.Publish(ctx, q, numbered(t, e.Data.(int)))
				}
			}
			b.SubscribeFunc("data", pass(1, eventbus.SignalQueue, "signal"))
			b.SubscribeFunc("signal", pass(1, eventbus.OrderQueue, "order"))
			b.SubscribeFunc("order", pass(3, eventbus.OrderQueue, "fill")) // the handlers before wait for room
			var fills journal[int]
			b.SubscribeFunc("fill", fills.handle)
			var accepted []int
			refused := inBackground(func() error {
				for n := 0; ; n++ {
					if err := b.Publish(context.Background(), eventbus.DataQueue, numbered("data", n)); err != nil {
						return err
					}
					accepted = append(accepted, n)
				}
			})
			time.Sleep(50*time.Millisecond + time.Microsecond)
			require.NoError(t, b.Shutdown(within(t, time.Hour)))
			require.ErrorIs(t, receive(t, refused), eventbus.ErrClosed)
			require.Greater(t, len(accepted), 10)
			require.Equal(t, accepted, fills.all())
			require.ErrorIs(t, b.Start(context.Background()), eventbus.ErrClosed)
			shutdown(t, b)
			flush(t, b)
		})
	}
}
