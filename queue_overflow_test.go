package eventbus_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

func TestTimeoutEndsTheWaitForRoom(t *testing.T) {
	for o, want := range map[eventbus.Overflow]error{eventbus.Block: eventbus.ErrQueueFull, eventbus.DropNewest: eventbus.ErrDropped} {
		t.Run(o.String(), func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, _, g := full(t, eventbus.QueueConfig{Capacity: 3, Overflow: o, Timeout: time.Second})
				began := time.Now()
				require.ErrorIs(t, b.Publish(context.Background(), eventbus.OrderQueue, event("order", 9)), want)
				require.Equal(t, time.Second, time.Since(began))
				ctx := bustest.Within(t, 10*time.Millisecond)
				require.ErrorIs(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 9)), context.DeadlineExceeded)
				g.open()
				bustest.Flush(t, b)
				q := orders(b)
				require.EqualValues(t, 4, q.Handled)
				require.EqualValues(t, 2, q.Dropped+q.Rejected)
				require.Equal(t, 3, q.HighWater)
			})
		})
	}
}

// The event that the handler is at is not touched.
func TestDropOldestKeepsTheNewestBehindAStuckHandler(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := full(t, eventbus.QueueConfig{Capacity: 10, Overflow: eventbus.DropOldest})
		publish(t, b, eventbus.OrderQueue, "order", numbers(103)...)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, append([]int{-1}, upTo(93, 103)...), got.all())
		q := orders(b)
		require.EqualValues(t, []uint64{114, 11, 103, 0}, []uint64{q.Accepted, q.Handled, q.Evicted, q.Dropped})
	})
}

// Of ten times the capacity, published while a handler is stuck, each order is
// handled once or refused with an error, also when its context ends at the moment
// at which there is room.
func TestPublishDropsNoOrder(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		const publishers, each = 10, 50
		b := startedBus(t)
		stuck := newGate()
		var log journal[int]
		b.SubscribeFunc("order", stuck.handle)
		b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Millisecond)
			return log.handle(ctx, e)
		})
		opened := time.Now().Add(time.Hour)
		deadlines := []func(i int) time.Time{
			func(int) time.Time { return opened.Add(time.Hour) },
			func(int) time.Time { return time.Now().Add(time.Second) },
			func(i int) time.Time { return opened.Add(time.Duration(7*i) * time.Millisecond) },
		}
		outcome := make([]error, publishers*each)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					ctx, cancel := context.WithDeadline(context.Background(), deadlines[p%len(deadlines)](i))
					n := p*each + i
					outcome[n] = b.Publish(ctx, eventbus.OrderQueue, event("order", n))
					cancel()
				}
			})
		}
		time.Sleep(time.Until(opened))
		stuck.open()
		wait(t, &wg)
		bustest.Flush(t, b)
		var accepted []int
		for n, err := range outcome {
			if err == nil {
				accepted = append(accepted, n)
				continue
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotZero(t, n/each%len(deadlines), "it had an hour left")
		}
		got := log.all()
		slices.Sort(got)
		require.Equal(t, accepted, got)
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.Equal(t, 50, q.Capacity, "ten times that is published")
		require.Zero(t, q.Dropped+q.Evicted)
		require.EqualValues(t, len(outcome)-len(got), q.Rejected)
	})
}

// While there is room, no publish is refused for having waited too long: not even
// where the queue lets waiting publishers in several at a time.
func TestPublishIsNotRefusedWhileThereIsRoom(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(50, eventbus.OrderQueue)...)
		b.SubscribeFunc("slow", func(context.Context, eventbus.Event) error {
			time.Sleep(time.Second)
			return nil
		})
		slow := eventbus.Event{Type: "slow"}
		for range 51 {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, slow))
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+time.Millisecond)
		defer cancel()
		err := b.Publish(ctx, eventbus.OrderQueue, slow)
		require.NoError(t, err, "with %d of 50 places taken", b.Stats().Queues[eventbus.OrderQueue].Depth)
	})
}

func TestPublishRefusesAnUnknownQueue(t *testing.T) {
	b := newBus(t)
	for _, publish := range []func(context.Context, eventbus.Queue, eventbus.Event) error{b.Publish, b.TryPublish} {
		err := publish(context.Background(), 3, event(tick, nil))
		require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
		require.ErrorContains(t, err, "Queue(3)")
		require.ErrorContains(t, err, string(tick), "the type")
	}
}

// The bus answers inside handlers, and while publishers wait.
func TestPublishThatWaitsHoldsUpNoOtherCall(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
		stuck := newGate()
		s := b.SubscribeFunc("stuck", stuck.handle)
		for _, q := range bustest.EveryQueue {
			for range 5 { // one is handled, one queued, three wait
				go b.Publish(context.Background(), q, eventbus.Event{Type: "stuck"})
			}
		}
		synctest.Wait()
		askEverything(t, b, s)
		stuck.open()
		require.NoError(t, b.Flush(t.Context()))
	})
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
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
		publish(t, b, eventbus.OrderQueue, "ask", nil)
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
