package eventbustest_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestLogEventsLogsWhatIsHandled(t *testing.T) {
	all := []string{
		`eventbustest: data   #1  candle_closed  eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}  (from feed)` + "\n",
		`eventbustest: data   #2  candle_closed  *eventbustest_test.candle &{Symbol:"two\nlines" Close:102}` + "\n",
		`eventbustest: data   #3  nobody's\ntype  nil` + "\n",
		`eventbustest: signal #1  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}` + "\n",
		`eventbustest: order  #1  order_placed  string "` + strings.Repeat("x", 192) + `...` + "\n",
	}
	for name, c := range map[string]struct {
		opts []eventbustest.Option
		want []string
	}{
		"off by default": {nil, nil},
		"all":            {[]eventbustest.Option{eventbustest.LogEvents()}, all},
		"a type":         {[]eventbustest.Option{eventbustest.LogEvents(eventbus.CandleClosed)}, all[:2]},
		"types": {
			[]eventbustest.Option{eventbustest.LogEvents(eventbus.OrderPlaced, eventbus.OrderFilled), eventbustest.LogEvents(eventbus.SignalGenerated)},
			all[3:],
		},
		"a type, and all": {[]eventbustest.Option{eventbustest.LogEvents(eventbus.CandleClosed), eventbustest.LogEvents()}, all},
		"without a log of the bus": {
			[]eventbustest.Option{
				eventbustest.LogEvents(), eventbustest.WithLogLevel(slog.LevelError),
				eventbustest.WithBus(eventbus.WithLogger(slog.New(slog.DiscardHandler))),
			},
			all,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var taps int
			fake := try(func(ft *fakeT) {
				bus := eventbustest.New(ft, append(c.opts, eventbustest.NotStarted())...)
				taps = len(bus.Stats().Handlers)
				require.NoError(t, bus.Publish(t.Context(), eventbus.DataQueue,
					eventbus.Event{Type: eventbus.CandleClosed, Data: candle{"BTCUSDT", 101}, Source: "feed"}))
				publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, &candle{"two\nlines", 102})
				publish(t, bus, eventbus.DataQueue, "nobody's\ntype", nil)
				require.NoError(t, signalTopic.Publish(t.Context(), bus, signal{"BTCUSDT", "SELL"}))
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, strings.Repeat("x", 300))
				_, err := bus.RunUntilIdle(t.Context())
				require.NoError(t, err)
			})
			require.Empty(t, fake.said())
			require.ElementsMatch(t, c.want, slices.Collect(strings.Lines(fake.logged())))
			require.Equal(t, len(c.want) > 0, taps == 1, "a log that is off must cost nothing")
		})
	}
}

// The log shows causes before effects, though they are handled on other queues.
func TestLogEventsLogsAnEventBeforeAnyReactionToIt(t *testing.T) {
	for range 50 {
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.LogEvents())
			react(bus)
			publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, candle{"BTCUSDT", 100})
		})
		require.Equal(t, `eventbustest: data   #1  candle_closed  eventbustest_test.candle {Symbol:"BTCUSDT" Close:100}
eventbustest: signal #1  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
eventbustest: order  #1  order_placed  eventbustest_test.order {Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
`, fake.logged())
	}
}

// A test that logs must not behave as if somebody acted on the events.
func TestLogEventsHandlesNothing(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft, eventbustest.LogEvents())
		err := bus.PublishWait(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced})
		require.ErrorIs(t, err, eventbus.ErrUnhandled)
	})
	require.Empty(t, fake.said())
}

func TestLogEventsEndsWithTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.LogEvents(), eventbustest.AllowLeftovers())
			bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
				<-leave
				return errors.New("too late")
			})
			for range 2 {
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			}
			synctest.Wait()
		})
		close(leave)
		synctest.Wait()
		require.Zero(t, fake.late)
		require.Equal(t, "eventbustest: order  #1  order_placed  nil\n", strings.SplitAfter(fake.logged(), "\n")[0])
		require.NotContains(t, fake.logged(), "#2")
	})
}
