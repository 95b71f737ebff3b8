package eventbus_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestAPausedQueueAcceptsAndStartsNothing(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBus(t, opts...)
				rec := eventbustest.NewRecorder(t, b)
				of := func(q eventbus.Queue) eventbustest.Matcher { return eventbustest.Payload("e", q) }
				start(t, b)
				synctest.Wait()
				require.NoError(t, b.Pause(eventbus.SignalQueue))
				require.NoError(t, b.Pause(eventbus.SignalQueue))
				for range 3 {
					for _, q := range everyQueue {
						require.NoError(t, b.Publish(context.Background(), q, eventbus.Event{Type: "e", Data: q}))
					}
				}
				err := b.Flush(context.Background())
				require.ErrorIs(t, err, eventbus.ErrPaused)
				require.ErrorContains(t, err, "the signal queue, which holds 3 events")
				time.Sleep(time.Second) // ten polls
				synctest.Wait()
				data, orders := of(eventbus.DataQueue), of(eventbus.OrderQueue)
				rec.ExpectInAnyOrder(t, data, data, data, orders, orders, orders)
				rec.ExpectNone(t)
				s := b.Stats()
				require.Equal(t, []bool{false, true, false}, []bool{s.Queues[0].Paused, s.Queues[1].Paused, s.Queues[2].Paused})
				require.Equal(t, 3, s.Queues[eventbus.SignalQueue].Depth)
				require.Contains(t, s.String(), "signal (paused)")

				require.NoError(t, b.Resume(eventbus.SignalQueue))
				require.NoError(t, b.Flush(context.Background()))
				signals := of(eventbus.SignalQueue)
				rec.Expect(t, signals, signals, signals)
				rec.ExpectNone(t)
			})
		})
	}
}

func TestShutdownHandsBackWhatAPausedQueueHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			return b.Publish(ctx, eventbus.SignalQueue, eventbus.Event{Type: "signal", Data: e.Data})
		})
		b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error {
			t.Error("a paused queue began an event")
			return nil
		})
		require.NoError(t, b.Pause(eventbus.SignalQueue))
		start(t, b)
		for i := range 2 {
			require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "tick", Data: i}))
		}
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.ErrorIs(t, left, eventbus.ErrPaused)
		require.Len(t, left.Remaining, 1)
		require.Equal(t, []any{0, 1}, []any{left.Remaining[eventbus.SignalQueue][0].Data, left.Remaining[eventbus.SignalQueue][1].Data})
	})
}

func TestPauseInsideAHandlerLetsItsEventFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var calls []string
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls = append(calls, "first")
			return b.Pause(eventbus.OrderQueue)
		})
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls = append(calls, "second")
			return nil
		})
		for range 2 {
			require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "e"}))
		}
		start(t, b)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Equal(t, []string{"first", "second"}, calls)
		b.Stop()
		start(t, b) // it stays paused
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Len(t, calls, 2)
	})
}

func TestASteppedBusLeavesPausedQueuesAlone(t *testing.T) {
	b := newBus(t)
	require.NoError(t, b.Pause(eventbus.OrderQueue))
	for _, q := range everyQueue {
		require.NoError(t, b.Publish(context.Background(), q, eventbus.Event{Type: "e"}))
	}
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 2, handled)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	handled, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, handled)
}

// The event that runtime.Goexit has interrupted goes on when the bus is started;
// the one behind it must not.
func TestAQueuePausedInAStepStaysPausedWhenTheBusIsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		calls := 0
		b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
			calls++
			assert.NoError(t, b.Pause(eventbus.OrderQueue))
			runtime.Goexit()
			return nil
		})
		for range 2 {
			require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "e"}))
		}
		go func() { _, _ = b.RunUntilIdle(context.Background()) }()
		synctest.Wait()
		start(t, b)
		require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrPaused)
		require.Equal(t, 1, calls)
	})
}

func TestPauseRefusesQueuesThatDoNotExist(t *testing.T) {
	b := newBus(t)
	require.ErrorIs(t, b.Pause(3), eventbus.ErrUnknownQueue)
	require.ErrorIs(t, b.Resume(3), eventbus.ErrUnknownQueue)
}

func TestASpinningProcessorHandlesEventsAndSleepsInTheEnd(t *testing.T) {
	_, err := eventbus.New(eventbus.WithSpin(-1))
	require.ErrorContains(t, err, "WithSpin: the duration is -1ns, want 0 or more")
	b := newBus(t, eventbus.WithSpin(50*time.Microsecond))
	n := 0
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { n++; return nil })
	start(t, b)
	for range 200 {
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
		require.NoError(t, b.Flush(context.Background()))
	}
	require.Equal(t, 200, n)
}

func TestASpinningProcessorFindsWhatIsPublishedMeanwhile(t *testing.T) {
	b := newBus(t, eventbus.WithSpin(time.Hour)) // it never sleeps
	handled := make(chan bool)
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { handled <- true; return nil })
	start(t, b)
	for range 10 {
		time.Sleep(time.Millisecond)
		require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "e"}))
		<-handled
	}
	require.NoError(t, b.Shutdown(context.Background()))
}

// A processor that is about to sleep, and has taken an event that it must not
// begin, loses neither that one nor its place.
func TestNothingIsLostOrOutOfOrderWhileAQueueIsPausedAndResumed(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			var handled []int
			b.SubscribeFunc("e", func(_ context.Context, e eventbus.Event) error {
				handled = append(handled, e.Data.(int))
				return nil
			})
			start(t, b)
			ctx := within(t, time.Minute)
			done := make(chan bool)
			go func() {
				defer close(done)
				for range 20_000 {
					assert.NoError(t, b.Pause(eventbus.OrderQueue))
					assert.NoError(t, b.Resume(eventbus.OrderQueue))
				}
			}()
			published := 0
			for round, pausing := 0, true; pausing; round++ {
				for range round % 4 {
					require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "e", Data: published}))
					published++
				}
				for range round % 50 { // so that the processor sometimes sleeps
					runtime.Gosched()
				}
				select {
				case <-done:
					pausing = false
				default:
				}
			}
			require.NoError(t, b.Shutdown(ctx))
			require.Len(t, handled, published)
			for i, n := range handled {
				require.Equal(t, i, n)
			}
		})
	}
}

// Flush looks at the bus while a handler pauses its queue, and must not take the
// rest of the queue for handled.
func TestFlushTellsOfAQueueThatIsPausedMeanwhile(t *testing.T) {
	b := newBus(t)
	var handled atomic.Int64
	b.SubscribeFunc("e", func(context.Context, eventbus.Event) error {
		handled.Add(1)
		return b.Pause(eventbus.OrderQueue)
	})
	for range 5_000 {
		handled.Store(0)
		publish(t, b, eventbus.OrderQueue, "e", 1, 2)
		_ = b.Start(context.Background())
		err := b.Flush(context.Background())
		if n := handled.Load(); n != 2 {
			require.ErrorIs(t, err, eventbus.ErrPaused, "%d of 2 events were handled", n)
		}
		for handled.Load() < 2 {
			require.NoError(t, b.Resume(eventbus.OrderQueue))
			runtime.Gosched()
		}
		require.NoError(t, b.Resume(eventbus.OrderQueue))
		require.NoError(t, b.Flush(context.Background()))
	}
}
