package eventbustest_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestRecorderKeepsTheEventsOfItsTypes(t *testing.T) {
	bus := eventbustest.New(t)
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, -1)
	require.NoError(t, bus.Flush(t.Context()))
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced, eventbus.OrderFilled)
	require.Empty(t, rec.Events())

	publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, 0)
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderUpdate, 1)
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderFilled, 2)
	require.NoError(t, bus.Flush(t.Context()))
	want := []eventbus.Event{{Type: eventbus.OrderPlaced, Data: 0}, {Type: eventbus.OrderFilled, Data: 2}}
	require.Equal(t, want, rec.Events())

	got := rec.Events()
	got[0].Type = "changed"
	require.Equal(t, want, rec.Events(), "the slice is the caller's")
	require.Equal(t, "eventbustest.Recorder", bus.Stats().Handlers[0].Name)
}

func TestRecorderEndsWithItsTest(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	var inner *eventbustest.Recorder
	t.Run("subtest", func(t *testing.T) {
		inner = eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced, eventbus.OrderFilled)
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		inner.Wait(1)
		rec.Expect(t, eventbustest.Type(eventbus.OrderPlaced)) // with the T of the subtest
	})
	require.Len(t, bus.Stats().Handlers, 1)
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	rec.Wait(2)
	require.Len(t, inner.Events(), 1)
}

func TestRecorderOfABusOfItsOwn(t *testing.T) {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	require.NoError(t, bus.Start(t.Context()))
	rec.Expect(t, eventbustest.Type(eventbus.OrderPlaced))
	require.NoError(t, bus.Shutdown(t.Context()))
}

func TestRecorderMisuseEndsTheTest(t *testing.T) {
	bus := eventbustest.New(t)
	for want, f := range map[string]func(*fakeT){
		"NewRecorder: the bus is nil":              func(ft *fakeT) { eventbustest.NewRecorder(ft, nil, eventbus.OrderPlaced) },
		"NewRecorder: event type 1 is empty":       func(ft *fakeT) { eventbustest.NewRecorder(ft, bus, "a", "") },
		"NewRecorder: event type a is given twice": func(ft *fakeT) { eventbustest.NewRecorder(ft, bus, "a", "b", "a") },
	} {
		fake := try(func(ft *fakeT) {
			f(ft)
			t.Error("the test went on")
		})
		require.Equal(t, "eventbustest: "+want, fake.said())
		require.True(t, fake.fatal)
	}
	require.Empty(t, bus.Stats().Handlers)
}

func TestWaitReturnsWhenTheEventsAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t)
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		require.Empty(t, rec.Wait(0))
		require.Empty(t, rec.Wait(-1))
		start := time.Now()
		for i := range 3 {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, i) })
		}
		require.Len(t, rec.Wait(2), 2)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Len(t, rec.Wait(1), 2, "what has come is enough")
		require.Len(t, rec.Wait(3), 3)
		require.Equal(t, 3*time.Second, time.Since(start))
		rec.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, 0)) // Wait claims nothing
		require.Len(t, rec.Wait(3), 3)                               // and counts what is claimed
	})
}

func TestWaitEndsTheTestOfItsRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft)
			rec := eventbustest.NewRecorder(ft, bus, eventbus.OrderPlaced, eventbus.OrderFilled)
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, order{"BTCUSDT", "SELL", 1})
			rec.Wait(2)
			t.Error("the test went on")
		})
		require.True(t, fake.fatal)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Equal(t, `eventbustest: Wait: 1 of 2 events recorded within 5s
        got    #1  order_placed  eventbustest_test.order {Symbol:"BTCUSDT" Side:"SELL" Quantity:1}`, fake.said())
	})
}

func TestWithinSetsHowLongARecorderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t)
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		time.AfterFunc(3*time.Minute, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil) })
		for d, want := range map[time.Duration]string{
			-1:          "eventbustest: Expect: 1 of 1 matcher met no event\n",
			0:           "eventbustest: Expect: 1 of 1 matcher met no event\n",
			time.Minute: "eventbustest: Expect: 1 of 1 matcher met no event within 1m0s\n",
		} {
			start := time.Now()
			fake := try(func(ft *fakeT) { rec.Within(d).Expect(ft, eventbustest.Type(eventbus.OrderPlaced)) })
			require.Contains(t, fake.said(), want)
			require.Equal(t, max(d, 0), time.Since(start))
		}
		rec.Within(3*time.Minute).Expect(t, eventbustest.Type(eventbus.OrderPlaced))
		require.Len(t, rec.Within(0).Wait(1), 1)
		rec.ExpectNone(t) // claims are shared
	})
}

// An event must be recorded before what the code under test makes of it, though
// that is handled on another queue.
func TestCausesAreRecordedBeforeEffects(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.CandleClosed, eventbus.SignalGenerated, eventbus.OrderPlaced)
	react := func(q eventbus.Queue, et eventbus.EventType) eventbus.HandlerFunc {
		return func(ctx context.Context, e eventbus.Event) error {
			return bus.Publish(ctx, q, eventbus.Event{Type: et, Data: e.Data})
		}
	}
	bus.Subscribe(eventbus.CandleClosed, react(eventbus.SignalQueue, eventbus.SignalGenerated))
	bus.Subscribe(eventbus.SignalGenerated, react(eventbus.OrderQueue, eventbus.OrderPlaced))
	for i := range 2000 {
		publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, i)
		rec.Expect(t, eventbustest.Payload(eventbus.CandleClosed, i),
			eventbustest.Payload(eventbus.SignalGenerated, i), eventbustest.Payload(eventbus.OrderPlaced, i))
	}
}

func TestConcurrentExpectsShareTheEvents(t *testing.T) {
	const callers, each = 8, 100
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	var claimed sync.Map
	var clashes, stop atomic.Int32
	var reader, work sync.WaitGroup
	reader.Go(func() {
		for stop.Load() == 0 {
			rec.Events()
		}
	})
	for c := range callers {
		work.Go(func() {
			for range each {
				expect := rec.Expect
				if c%2 == 0 {
					expect = rec.ExpectInAnyOrder
				}
				for _, e := range expect(t, eventbustest.Type(eventbus.OrderPlaced), eventbustest.Type(eventbus.OrderPlaced)) {
					if _, taken := claimed.LoadOrStore(e.Data, true); taken {
						clashes.Add(1)
					}
				}
			}
		})
	}
	for i := range 2 * callers * each {
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, i)
	}
	work.Wait()
	stop.Store(1)
	reader.Wait()
	require.Zero(t, clashes.Load())
	rec.ExpectNone(t)
}

func TestRecorderWithoutTypesRecordsAll(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus)
	require.NoError(t, signalTopic.Publish(t.Context(), bus, signal{"BTCUSDT", "SELL"}))
	rec.Wait(1)
	publish(t, bus, eventbus.OrderQueue, "of my own", 1)
	rec.Expect(t, eventbustest.Payload(eventbus.SignalGenerated, signal{"BTCUSDT", "SELL"}), eventbustest.Payload("of my own", 1))
	rec.ExpectNone(t, eventbustest.Type("never seen"))
	rec.ExpectNone(t)

	fake := try(func(ft *fakeT) {
		eventbustest.NewRecorder(t, bus).Within(0).Expect(ft, eventbustest.Type("never seen"))
	})
	require.Equal(t, `eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want     never seen
    nothing was recorded`, fake.said())
}

// A recorder must not make it look as if somebody acted on an event.
func TestWhatOnlyRecordersSeeIsUnhandled(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.SignalGenerated)
	all := eventbustest.NewRecorder(t, bus)
	require.NoError(t, signalTopic.Publish(t.Context(), bus, signal{"BTCUSDT", "SELL"}))
	publish(t, bus, eventbus.SignalQueue, eventbus.OrderPlaced, nil)
	rec.Expect(t, eventbustest.Type(eventbus.SignalGenerated))
	require.Len(t, all.Wait(2), 2)
	rec.ExpectNone(t)
	require.EqualValues(t, 2, bus.Stats().Queues[eventbus.SignalQueue].Unhandled)
}
