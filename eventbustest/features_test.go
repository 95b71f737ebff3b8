package eventbustest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestExpiryFailsNoTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.WithBus(
				eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 50, MaxAge: time.Second})))
			rec := eventbustest.NewRecorder(ft, bus)
			bus.SubscribeFunc(eventbus.OrderPlaced, fails)
			bus.Stop()
			for range 20 {
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			}
			time.Sleep(time.Minute)
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, "fresh")
			require.NoError(t, bus.Start(context.Background()))
			require.Len(t, rec.Wait(1), 1)
			require.EqualValues(t, 20, bus.Stats().Queues[eventbus.OrderQueue].Expired)
		})
		require.Len(t, fake.errors, 1, "the failure of the handler is told, though twenty events expired before it")
		require.Contains(t, fake.said(), "it fails")
		require.Contains(t, fake.logged(), `msg="eventbus: event was too old to be handled"`)
	})
}

// An error of a handler fails the test even if it looks like expiry.
func TestHandlerThatAnswersExpiredFailsTheTest(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft)
		bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error { return eventbus.ErrExpired })
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	})
	require.Contains(t, fake.said(), "event expired")
}

func TestBatchIsRecordedInOrder(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.CandleClosed)
	var batch []eventbus.Event
	var want []eventbustest.Matcher
	for i := range 100 {
		batch = append(batch, event(eventbus.CandleClosed, i))
		want = append(want, eventbustest.Payload(eventbus.CandleClosed, i))
	}
	n, err := bus.PublishBatch(t.Context(), eventbus.DataQueue, batch)
	require.NoError(t, err)
	require.Equal(t, len(batch), n)
	require.Equal(t, batch, rec.Expect(t, want...))
	rec.ExpectNone(t)
}

func TestOnlyTheLastEventOfAKeyIsRecorded(t *testing.T) {
	bus := eventbustest.New(t, eventbustest.NotStarted(), eventbustest.WithBus(eventbus.WithQueue(eventbus.DataQueue,
		eventbus.QueueConfig{Capacity: 10, ConflateBy: func(e eventbus.Event) string { return e.Data.(candle).Symbol }})))
	rec := eventbustest.NewRecorder(t, bus)
	for i := range 3 {
		publish(t, bus, eventbus.DataQueue, eventbus.CandleUpdate, candle{"BTCUSDT", float64(i)})
	}
	_, err := bus.RunUntilIdle(t.Context())
	require.NoError(t, err)
	require.Equal(t, []eventbus.Event{event(eventbus.CandleUpdate, candle{"BTCUSDT", 2})}, rec.Events())
}

func TestPausedQueueIsAtRestAndLeftOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft)
			rec := eventbustest.NewRecorder(ft, bus)
			require.NoError(t, bus.Pause(eventbus.OrderQueue))
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			began := time.Now()
			rec.ExpectNone(ft)
			require.Zero(t, time.Since(began))
		})
		require.Len(t, fake.errors, 1)
		require.Contains(t, fake.said(), "events left: 1 on the order queue: eventbus: queue is paused")
	})
}

// ExpectNone waits for the handlers of a bus that has been stopped, too.
func TestStoppedBusIsAtRestWhenItsHandlersAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t)
		bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
			time.Sleep(time.Second)
			return nil
		})
		rec := eventbustest.NewRecorder(t, bus)
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		synctest.Wait()
		bus.Stop()
		fake := try(func(ft *fakeT) { rec.ExpectNone(ft) })
		require.Contains(t, fake.said(), "not expected, but recorded: 1 event")
	})
}

func TestFailureOfAnAsyncHandlerFailsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft)
			bus.Subscribe(eventbus.OrderPlaced, eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
				if calls.Add(1) == 1 {
					return errors.New("no margin")
				}
				<-ctx.Done()
				return ctx.Err()
			}), time.Second))
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		})
		require.Len(t, fake.errors, 2)
		require.Contains(t, fake.errors[0], "no margin")
		require.Contains(t, fake.errors[1], eventbus.ErrHandlerTimeout.Error())
	})
}

func TestWrongPayloadOfATopicFailsTheTest(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft)
		react(bus)
		publish(t, bus, eventbus.SignalQueue, eventbus.SignalGenerated, "SELL")
	})
	require.Contains(t, fake.said(), "the event carries a string, the topic signal_generated takes a eventbustest_test.signal")
}
