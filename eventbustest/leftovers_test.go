package eventbustest_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestEventsLeftOnAStoppedBusFailTheTest(t *testing.T) {
	run := func(opts ...eventbustest.Option) *fakeT {
		return try(func(ft *fakeT) {
			bus := eventbustest.New(ft, opts...)
			bus.Stop()
			for i := range 12 {
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, order{"BTCUSDT", "SELL", i})
			}
			publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
		})
	}
	fake := run()
	require.Len(t, fake.errors, 1)
	lines := strings.Split(fake.said(), "\n")
	require.Equal(t, "eventbustest: the test left work behind (AllowLeftovers allows it): "+
		"eventbus: shutdown: events left: 1 on the data queue, 12 on the order queue: eventbus: bus is not running", lines[0])
	require.Equal(t, "    data    candle_closed  nil", lines[1])
	require.Equal(t, `    order   order_placed  eventbustest_test.order {Symbol:"BTCUSDT" Side:"SELL" Quantity:0}`, lines[2])
	require.Equal(t, "    order   and 2 more", lines[12])
	require.Len(t, lines, 13)

	require.Empty(t, run(eventbustest.AllowLeftovers()).said())
}

func TestHandlerThatBlocksAtTheEndFailsTheTest(t *testing.T) {
	untilEnd := func(ctx context.Context, _ eventbus.Event) error {
		<-ctx.Done()
		return nil
	}
	forLong := func(context.Context, eventbus.Event) error {
		time.Sleep(time.Minute)
		return nil
	}
	// Whether Shutdown still sees a handler that leaves with its context is a
	// matter of chance; that the test fails is not.
	for name, c := range map[string]struct {
		handle eventbus.HandlerFunc
		events int
		want   string
		takes  time.Duration
	}{
		"leaves with its context, last event": {untilEnd, 1, "the test left work behind", 5 * time.Second},
		"leaves with its context":             {untilEnd, 3, "events left: 2 on the order queue", 5 * time.Second},
		"stays, last event":                   {forLong, 1, "handler exchange still runs on order_placed", 6 * time.Second},
		"stays":                               {forLong, 3, "events left: 2 on the order queue: handler exchange still runs on order_placed", 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				fake := try(func(ft *fakeT) {
					bus := eventbustest.New(ft)
					bus.SubscribeFunc(eventbus.OrderPlaced, c.handle, eventbus.WithName("exchange"))
					for range c.events {
						publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
					}
				})
				require.Equal(t, c.takes, time.Since(start))
				require.Len(t, fake.errors, 1)
				require.Contains(t, fake.said(), c.want)
				require.Contains(t, fake.logged(), `msg="eventbus: slow handler is still running" handler=exchange`)
				time.Sleep(time.Minute) // the bubble must not end before the handler
			})
		})
	}
}

func TestSlowHandlersAreAwaitedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft)
			bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
				time.Sleep(time.Second)
				return nil
			})
			for range 4 {
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			}
		})
		require.Empty(t, fake.said())
	})
}

func TestAllowLeftoversStopsTheBusWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var calls int
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.AllowLeftovers())
			bus.SubscribeFunc(eventbus.OrderPlaced, func(ctx context.Context, _ eventbus.Event) error {
				calls++
				<-ctx.Done()
				return nil
			})
			for range 3 {
				publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			}
			synctest.Wait()
		})
		require.Empty(t, fake.said())
		require.Equal(t, 1, calls)
		require.Zero(t, time.Since(start))
	})
}

func TestShutdownInTheTestIsTheShutdownThatCounts(t *testing.T) {
	run := func(opts ...eventbustest.Option) *fakeT {
		return try(func(ft *fakeT) {
			bus := eventbustest.New(ft, opts...)
			bus.Stop()
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			require.Error(t, bus.Shutdown(t.Context()))
		})
	}
	require.Contains(t, run().said(), "the test left work behind")
	require.Empty(t, run(eventbustest.AllowLeftovers()).said())
}

func TestNothingIsWrittenToATestThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned bool
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.AllowLeftovers(), eventbustest.WithLogLevel(slog.LevelDebug))
			bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
				time.Sleep(time.Minute) // whatever its context says
				returned = true
				return errors.New("too late")
			})
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
			synctest.Wait()
		})
		logged := fake.logged()
		require.NotContains(t, logged, "too late")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.True(t, returned)
		require.Zero(t, fake.late)
		require.Equal(t, logged, fake.logged())
		require.Empty(t, fake.said())
	})
}
