package eventbus_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Bus.RunUntilIdle handles orders before signals before data, on its goroutine.
func TestRunUntilIdleTakesOrdersBeforeSignalsBeforeData(t *testing.T) {
	b := eventbustest.New(t, eventbustest.NotStarted())
	rec := eventbustest.NewRecorder(t, b).Within(0)
	for i := range 3 {
		for _, q := range bustest.EveryQueue {
			publish(t, b, q, "e", fmt.Sprintf("%v%d", q, i))
		}
	}
	runUntilIdle(t, b)
	var want []eventbustest.Matcher
	for _, data := range []string{"order0", "order1", "order2", "signal0", "signal1", "signal2", "data0", "data1", "data2"} {
		want = append(want, eventbustest.Payload("e", data))
	}
	rec.Expect(t, want...)
	rec.ExpectNone(t)
}

func TestRunUntilIdleRunsOnTheCallersGoroutine(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(bustest.Discard))
	require.NoError(t, err)
	before := runtime.NumGoroutine()
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
		require.Equal(t, before, runtime.NumGoroutine())
		pc := make([]uintptr, 50)
		frames := runtime.CallersFrames(pc[:runtime.Callers(0, pc)])
		for {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, ".RunUntilIdle") {
				return nil
			}
			require.True(t, more)
		}
	})
	publish(t, b, eventbus.DataQueue, "e", nil)
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, handled)
	require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Failed)
}

// The same events give the same calls, every day: without WithClock nothing
// expires. A hundred runs make the same calls, whatever fails on the way and
// whatever finds its queue full.
func TestRunUntilIdleMakesTheSameCallsEveryTime(t *testing.T) {
	var first string
	for run := range 100 {
		b := newBus(t, blocking(1, eventbus.SignalQueue, eventbus.OrderQueue)...)
		log := cascade(b)
		for i := range 50 {
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		handled, err := b.RunUntilIdle(context.Background())
		require.NoError(t, err)
		require.Equal(t, strings.Count(log.String(), "tap"), handled)
		if run == 0 {
			first = log.String()
			require.True(t, strings.HasPrefix(first, strings.Join([]string{
				"before tick 0", "after tick 0", "tap tick 0",
				"before signal 0", "after signal 0", "tap signal 0", "before order 0", "after order 0", "tap order 0",
				"before signal 1000", "after signal 1000", "tap signal 1000", "before order 1000", "after order 1000", "tap order 1000",
				"before tick 1",
			}, "\n")), first)
		}
		require.Equal(t, first, log.String())
	}
}

// cascade subscribes handlers that answer each third tick with two signals, of
// which one finds the queue full, other ticks with one, and signals with orders,
// and handlers before and after each of those. It returns the log of their calls.
func cascade(b *eventbus.Bus) *strings.Builder {
	var log strings.Builder
	note := func(who string) func(context.Context, eventbus.Event) error {
		return func(_ context.Context, e eventbus.Event) error {
			fmt.Fprintf(&log, "%s %s %v\n", who, e.Type, e.Data)
			return nil
		}
	}
	for typ, answer := range map[eventbus.EventType]func(context.Context, int) error{
		"tick": func(ctx context.Context, n int) error {
			if n == 7 {
				return bustest.ErrHandler
			}
			err := b.Publish(ctx, eventbus.SignalQueue, event("signal", n))
			if n%3 == 0 {
				err = b.Publish(ctx, eventbus.SignalQueue, event("signal", n+1000))
			}
			return err
		},
		"signal": func(ctx context.Context, n int) error { return b.Publish(ctx, eventbus.OrderQueue, event("order", n)) },
		"order": func(_ context.Context, n int) error {
			if n == 2 {
				panic("two")
			}
			return nil
		},
	} {
		b.SubscribeFunc(typ, note("before"))
		b.SubscribeFunc(typ, func(ctx context.Context, e eventbus.Event) error { return answer(ctx, e.Data.(int)) })
		b.SubscribeFunc(typ, note("after"))
	}
	b.SubscribeAll(eventbus.HandlerFunc(note("tap")))
	return &log
}

// The times of the events say when they happened, not how long they have waited.
func TestRunUntilIdleExpiresNothingWithoutAClock(t *testing.T) {
	for _, own := range []bool{false, true} {
		now := time.Now()
		opts := []eventbus.Option{maxAge(eventbus.OrderQueue, 10, time.Second)}
		if own {
			opts = append(opts, eventbus.WithClock(func() time.Time { return now }))
		}
		b := newBus(t, opts...)
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		for i, age := range []time.Duration{0, time.Second, time.Second + 1, 24 * time.Hour} {
			e := event("order", i)
			e.Time = now.Add(-age)
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, e))
		}
		runUntilIdle(t, b)
		if own {
			require.Equal(t, []int{0, 1}, got.all())
		} else {
			require.Equal(t, []int{0, 1, 2, 3}, got.all())
		}
	}
}

// On a stepped bus a publish from outside that finds no room does not wait.
func TestRunUntilIdleLetsNoPublishWait(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, err := eventbus.New(eventbus.WithLogger(bustest.Discard),
			eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 2}),
			eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropNewest, Timeout: time.Hour}))
		require.NoError(t, err)
		_, err = b.RunUntilIdle(context.Background())
		require.NoError(t, err)
		for _, c := range []struct {
			q    eventbus.Queue
			want error
		}{{eventbus.OrderQueue, eventbus.ErrQueueFull}, {eventbus.DataQueue, eventbus.ErrDropped}} {
			for range 2 {
				publish(t, b, c.q, "e", nil)
			}
			require.ErrorIs(t, b.Publish(context.Background(), c.q, eventbus.Event{Type: "e"}), c.want)
		}
		require.ErrorIs(t, b.PublishWait(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "e"}), eventbus.ErrNotRunning)
		handled, err := b.RunUntilIdle(context.Background())
		require.NoError(t, err)
		require.Equal(t, 4, handled)
	})
}

// With WithSingleThread handlers never run concurrently, and orders come first.
func TestWithSingleThreadRunsHandlersOneAtATimeOrdersFirst(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, err := eventbus.New(eventbus.WithLogger(bustest.Discard), eventbus.WithSingleThread())
		require.NoError(t, err)
		var log []eventbus.Queue // unguarded: the race detector would tell
		entered, release := make(chan bool), make(chan bool)
		b.SubscribeFunc("first", func(context.Context, eventbus.Event) error {
			close(entered)
			<-release
			return nil
		})
		for _, q := range bustest.EveryQueue {
			b.SubscribeFunc(eventbus.EventType(q.String()), func(context.Context, eventbus.Event) error {
				log = append(log, q)
				return nil
			})
		}
		start(t, b)
		publish(t, b, eventbus.DataQueue, "first", nil)
		<-entered
		for range 999 {
			publish(t, b, eventbus.DataQueue, "data", nil)
		}
		publish(t, b, eventbus.SignalQueue, "signal", nil)
		publish(t, b, eventbus.OrderQueue, "order", nil)
		close(release)
		shutdown(t, b)
		require.Len(t, log, 1001)
		require.Equal(t, []eventbus.Queue{eventbus.OrderQueue, eventbus.SignalQueue, eventbus.DataQueue}, log[:3])
	})
}

// What handlers publish is queued, and never handled inside their calls.
func TestRunUntilIdleQueuesWhatHandlersPublish(t *testing.T) {
	b := newBus(t)
	inside, seen := 0, 0
	b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		inside++
		defer func() { inside-- }()
		require.Equal(t, 1, inside)
		seen++
		if seen < 1000 {
			return b.Publish(ctx, eventbus.OrderQueue, e)
		}
		return nil
	})
	publish(t, b, eventbus.OrderQueue, "tick", 0)
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1000, handled)
	shutdown(t, b)
}

func TestRunUntilIdleRefuses(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(bustest.Discard))
	require.NoError(t, err)
	var inside []error
	b.SubscribeFunc("e", func(ctx context.Context, e eventbus.Event) error {
		_, err := b.RunUntilIdle(ctx)
		inside = append(inside, err)
		_, err = b.RunUntilIdle(context.Background())
		inside = append(inside, err, b.Start(context.Background()))
		return nil
	})
	publish(t, b, eventbus.DataQueue, "e", nil)
	_, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.ErrorIs(t, inside[0], eventbus.ErrWouldDeadlock)
	require.ErrorIs(t, inside[1], eventbus.ErrRunning)
	require.ErrorIs(t, inside[2], eventbus.ErrRunning)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	publish(t, b, eventbus.DataQueue, "e", nil)
	handled, err := b.RunUntilIdle(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, handled)

	start(t, b)
	_, err = b.RunUntilIdle(context.Background())
	require.ErrorIs(t, err, eventbus.ErrRunning)
	shutdown(t, b)
	_, err = b.RunUntilIdle(context.Background())
	require.ErrorIs(t, err, eventbus.ErrClosed)
	var none context.Context
	_, err = b.RunUntilIdle(none)
	require.Error(t, err)
}

func TestRunUntilIdleGoesOnAfterAHandlerThatExits(t *testing.T) {
	for _, next := range []string{"step", "start"} {
		t.Run(next, func(t *testing.T) {
			var failures []*eventbus.HandlerError
			b, err := eventbus.New(eventbus.WithLogger(bustest.Discard), eventbus.WithErrorHandler(func(_ context.Context, h *eventbus.HandlerError) { failures = append(failures, h) }))
			require.NoError(t, err)
			var seen []string
			b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil }, eventbus.WithName("quitter"))
			b.SubscribeFunc("e", func(_ context.Context, e eventbus.Event) error {
				seen = append(seen, e.Data.(string))
				return nil
			})
			b.SubscribeFunc("f", func(_ context.Context, e eventbus.Event) error {
				seen = append(seen, e.Data.(string))
				return nil
			})
			publish(t, b, eventbus.SignalQueue, "e", "first")
			publish(t, b, eventbus.SignalQueue, "f", "second")
			done := make(chan bool)
			ended := true
			go func() {
				defer close(done)
				_, _ = b.RunUntilIdle(context.Background())
				ended = false
			}()
			receive(t, done)
			require.True(t, ended, "the caller's goroutine went on")
			require.Empty(t, seen)
			if next == "step" {
				handled, err := b.RunUntilIdle(context.Background())
				require.NoError(t, err)
				require.Equal(t, 2, handled)
			} else {
				start(t, b)
			}
			shutdown(t, b)
			require.Equal(t, []string{"first", "second"}, seen)
			require.Len(t, failures, 1)
			require.Equal(t, "quitter", failures[0].Handler)
		})
	}
}

func TestRunUntilIdleAndStartTakeTurns(t *testing.T) {
	for _, opts := range [][]eventbus.Option{nil, {eventbus.WithSingleThread()}} {
		bustest.Bubble(t, func(t *testing.T) {
			b := eventbustest.New(t, eventbustest.NotStarted(), eventbustest.WithBus(opts...))
			rec := eventbustest.NewRecorder(t, b)
			for i := range 6 {
				for _, q := range bustest.EveryQueue {
					publish(t, b, q, "e", i)
				}
				if i%2 == 0 {
					handled, err := b.RunUntilIdle(context.Background())
					require.NoError(t, err)
					require.Equal(t, 3, handled)
				} else {
					start(t, b)
					bustest.Flush(t, b)
					b.Stop()
				}
				require.Len(t, rec.Events(), 3*(i+1))
			}
		})
	}
}

func TestWithSingleThreadWakesForEveryQueue(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := eventbustest.New(t, eventbustest.WithBus(eventbus.WithSingleThread(), eventbus.WithPollInterval(time.Hour)))
		rec := eventbustest.NewRecorder(t, b).Within(0)
		synctest.Wait()
		for _, q := range bustest.EveryQueue {
			publish(t, b, q, "e", q)
			synctest.Wait()
			rec.Expect(t, eventbustest.Payload("e", q))
		}
		rec.ExpectNone(t)
	})
}

// RunUntilIdle waits for the handlers of a bus that was stopped. If the bus is
// started meanwhile, it does not wait for the next Stop.
func TestRunUntilIdleDoesNotWaitForABusThatIsStartedMeanwhile(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, g := newBus(t), newGate()
		b.SubscribeFunc("e", g.handle)
		start(t, b)
		publish(t, b, eventbus.DataQueue, "e", nil)
		receive(t, g.entered)
		b.Stop()
		outcome := bustest.InBackground(func() error {
			_, err := b.RunUntilIdle(context.Background())
			return err
		})
		synctest.Wait()
		require.Empty(t, outcome)
		start(t, b)
		require.ErrorIs(t, receive(t, outcome), eventbus.ErrRunning)
		g.open()
	})
}
