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
)

func TestSteppingTakesOrdersBeforeSignalsBeforeData(t *testing.T) {
	b := eventbustest.New(t, eventbustest.NotStarted())
	rec := eventbustest.NewRecorder(t, b).Within(0)
	for i := range 3 {
		for _, q := range everyQueue {
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

func TestSteppingStartsNoGoroutineAndRunsOnTheCallers(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(discard))
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
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, handled)
	require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Failed)
}

func TestAFullQueueIsAnErrorForTheDriverOfASteppedBus(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(discard),
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
			require.NoError(t, b.Publish(context.Background(), c.q, eventbus.Event{Type: "e"}))
		}
		require.ErrorIs(t, b.Publish(context.Background(), c.q, eventbus.Event{Type: "e"}), c.want)
	}
	require.ErrorIs(t, b.PublishWait(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "e"}), eventbus.ErrNotRunning)
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 4, handled)
}

func TestRunUntilIdleRefuses(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(discard))
	require.NoError(t, err)
	var inside []error
	b.SubscribeFunc("e", func(ctx context.Context, e eventbus.Event) error {
		_, err := b.RunUntilIdle(ctx)
		inside = append(inside, err)
		_, err = b.RunUntilIdle(context.Background())
		inside = append(inside, err, b.Start(context.Background()))
		return nil
	})
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	_, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.ErrorIs(t, inside[0], eventbus.ErrWouldDeadlock)
	require.ErrorIs(t, inside[1], eventbus.ErrRunning)
	require.ErrorIs(t, inside[2], eventbus.ErrRunning)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	handled, err := b.RunUntilIdle(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, handled)

	require.NoError(t, b.Start(context.Background()))
	_, err = b.RunUntilIdle(context.Background())
	require.ErrorIs(t, err, eventbus.ErrRunning)
	require.NoError(t, b.Shutdown(context.Background()))
	_, err = b.RunUntilIdle(context.Background())
	require.ErrorIs(t, err, eventbus.ErrClosed)
	var none context.Context
	_, err = b.RunUntilIdle(none)
	require.Error(t, err)
}

func TestAHandlerThatExitsEndsTheStepAndTheNextGoesOn(t *testing.T) {
	for _, next := range []string{"step", "start"} {
		t.Run(next, func(t *testing.T) {
			var failures []*eventbus.HandlerError
			b, err := eventbus.New(eventbus.WithLogger(discard), eventbus.WithErrorHandler(func(_ context.Context, h *eventbus.HandlerError) { failures = append(failures, h) }))
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
			require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "e", Data: "first"}))
			require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "f", Data: "second"}))
			done := make(chan bool)
			ended := true
			go func() {
				defer close(done)
				_, _ = b.RunUntilIdle(context.Background())
				ended = false
			}()
			<-done
			require.True(t, ended, "the caller's goroutine went on")
			require.Empty(t, seen)
			if next == "step" {
				handled, err := b.RunUntilIdle(context.Background())
				require.NoError(t, err)
				require.Equal(t, 2, handled)
			} else {
				require.NoError(t, b.Start(context.Background()))
			}
			require.NoError(t, b.Shutdown(context.Background()))
			require.Equal(t, []string{"first", "second"}, seen)
			require.Len(t, failures, 1)
			require.Equal(t, "quitter", failures[0].Handler)
		})
	}
}

func TestABusGoesFromSteppingToLiveAndBack(t *testing.T) {
	for _, opts := range [][]eventbus.Option{nil, {eventbus.WithSingleThread()}} {
		synctest.Test(t, func(t *testing.T) {
			b := eventbustest.New(t, eventbustest.NotStarted(), eventbustest.WithBus(opts...))
			rec := eventbustest.NewRecorder(t, b)
			for i := range 6 {
				for _, q := range everyQueue {
					publish(t, b, q, "e", i)
				}
				if i%2 == 0 {
					handled, err := b.RunUntilIdle(context.Background())
					require.NoError(t, err)
					require.Equal(t, 3, handled)
				} else {
					require.NoError(t, b.Start(context.Background()))
					require.NoError(t, b.Flush(context.Background()))
					b.Stop()
				}
				require.Len(t, rec.Events(), 3*(i+1))
			}
		})
	}
}

func TestASingleThreadNeverRunsHandlersConcurrentlyAndPrefersOrders(t *testing.T) {
	b, err := eventbus.New(eventbus.WithLogger(discard), eventbus.WithSingleThread())
	require.NoError(t, err)
	var log []eventbus.Queue // unguarded: the race detector would tell
	entered, release := make(chan bool), make(chan bool)
	b.SubscribeFunc("first", func(context.Context, eventbus.Event) error {
		close(entered)
		<-release
		return nil
	})
	for _, q := range everyQueue {
		b.SubscribeFunc(eventbus.EventType(q.String()), func(context.Context, eventbus.Event) error {
			log = append(log, q)
			return nil
		})
	}
	require.NoError(t, b.Start(context.Background()))
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "first"}))
	<-entered
	for range 999 {
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "data"}))
	}
	require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "signal"}))
	require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "order"}))
	close(release)
	require.NoError(t, b.Shutdown(context.Background()))
	require.Len(t, log, 1001)
	require.Equal(t, []eventbus.Queue{eventbus.OrderQueue, eventbus.SignalQueue, eventbus.DataQueue}, log[:3])
}

func TestAnIdleSingleThreadWakesForEveryQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := eventbustest.New(t, eventbustest.WithBus(eventbus.WithSingleThread(), eventbus.WithPollInterval(time.Hour)))
		rec := eventbustest.NewRecorder(t, b).Within(0)
		synctest.Wait()
		for _, q := range everyQueue {
			publish(t, b, q, "e", q)
			synctest.Wait()
			rec.Expect(t, eventbustest.Payload("e", q))
		}
		rec.ExpectNone(t)
	})
}

// It waits for the handlers of a bus that was stopped, but not until that is
// stopped again.
func TestRunUntilIdleDoesNotWaitForABusThatIsStartedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBus(t), newGate(t)
		b.SubscribeFunc("e", g.handle)
		start(t, b)
		publish(t, b, eventbus.DataQueue, "e", nil)
		receive(t, g.entered)
		b.Stop()
		outcome := inBackground(func() error {
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
