package eventbustest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// react subscribes a chain from candles over signals to orders.
func react(bus *eventbus.Bus) {
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, e eventbus.Event) error {
		return signalTopic.Publish(ctx, bus, signal{e.Data.(candle).Symbol, "SELL"})
	})
	signalTopic.Subscribe(bus, func(ctx context.Context, s signal) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced, Data: order{s.Symbol, s.Side, 1}})
	})
}

// However the queues are served, the chain is recorded whole, and causes before
// effects.
func TestRecorderSeesTheSameChainHoweverTheQueuesAreServed(t *testing.T) {
	for name, c := range map[string]struct {
		opts []eventbustest.Option
		rest func(t *testing.T, bus *eventbus.Bus)
	}{
		"three processors": {nil, func(t *testing.T, bus *eventbus.Bus) { require.NoError(t, bus.Flush(t.Context())) }},
		"single thread": {
			[]eventbustest.Option{eventbustest.WithBus(eventbus.WithSingleThread())},
			func(t *testing.T, bus *eventbus.Bus) { require.NoError(t, bus.Flush(t.Context())) },
		},
		"stepped": {
			[]eventbustest.Option{eventbustest.NotStarted()},
			func(t *testing.T, bus *eventbus.Bus) {
				n, err := bus.RunUntilIdle(t.Context())
				require.NoError(t, err)
				require.Equal(t, 3, n)
			},
		},
	} {
		for where, run := range map[string]func(t *testing.T, f func(t *testing.T)){
			"outside": func(t *testing.T, f func(t *testing.T)) { f(t) },
			"bubble":  synctest.Test,
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				run(t, func(t *testing.T) {
					bus := eventbustest.New(t, c.opts...)
					rec := eventbustest.NewRecorder(t, bus, eventbus.CandleClosed, eventbus.SignalGenerated, eventbus.OrderPlaced)
					react(bus)
					publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, candle{"BTCUSDT", 100})
					c.rest(t, bus)
					rec.Within(0).Expect(t,
						eventbustest.Type(eventbus.CandleClosed),
						eventbustest.Payload(eventbus.SignalGenerated, signal{"BTCUSDT", "SELL"}),
						eventbustest.Payload(eventbus.OrderPlaced, order{"BTCUSDT", "SELL", 1}))
					rec.ExpectNone(t)
				})
			})
		}
	}
}

func TestSteppedHandlersRunOnTheGoroutineOfTheTest(t *testing.T) {
	bus := eventbustest.New(t, eventbustest.NotStarted())
	require.False(t, bus.Stats().Running)
	rec := eventbustest.NewRecorder(t, bus).Within(0)
	var prices []float64 // without a lock, for the race detector to see
	bus.SubscribeFunc(eventbus.CandleClosed, func(_ context.Context, e eventbus.Event) error {
		prices = append(prices, e.Data.(candle).Close)
		return nil
	})
	for i := range 3 {
		publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, candle{"BTCUSDT", float64(i)})
		rec.ExpectNone(t)
		_, err := bus.RunUntilIdle(t.Context())
		require.NoError(t, err)
		rec.Expect(t, eventbustest.Payload(eventbus.CandleClosed, candle{"BTCUSDT", float64(i)}))
	}
	require.Equal(t, []float64{0, 1, 2}, prices)
}

func TestWhatIsNotSteppedThroughIsLeftOver(t *testing.T) {
	run := func(then func(bus *eventbus.Bus), opts ...eventbustest.Option) string {
		return try(func(ft *fakeT) {
			bus := eventbustest.New(ft, append(opts, eventbustest.NotStarted())...)
			publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, candle{"BTCUSDT", 1})
			then(bus)
		}).said()
	}
	nothing := func(*eventbus.Bus) {}
	require.Contains(t, run(nothing), "events left: 1 on the data queue")
	require.Empty(t, run(nothing, eventbustest.AllowLeftovers()))
	require.Empty(t, run(func(bus *eventbus.Bus) { _, _ = bus.RunUntilIdle(t.Context()) }))
	require.Empty(t, run(func(bus *eventbus.Bus) { require.NoError(t, bus.Start(context.Background())) }))
}

func TestHandlerFailureOfASteppedBusFailsTheTest(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft, eventbustest.NotStarted())
		bus.SubscribeFunc(eventbus.OrderPlaced, fails, eventbus.WithName("risk"))
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		_, err := bus.RunUntilIdle(t.Context())
		require.NoError(t, err)
	})
	require.Contains(t, fake.said(), "handler risk failed on order_placed of the order queue: it fails")
	require.Len(t, fake.errors, 1)
}
