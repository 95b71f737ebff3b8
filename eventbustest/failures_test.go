package eventbustest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestHandlerFailuresBeyondTenAreCounted(t *testing.T) {
	for failures, errs := range map[int]int{9: 9, 10: 10, 11: 11, 500: 11} {
		fake := try(func(ft *fakeT) {
			bus := eventbustest.New(ft, eventbustest.WithLogLevel(slog.LevelError+8))
			bus.SubscribeFunc(eventbus.CandleClosed, fails)
			for range failures {
				publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
			}
		})
		require.Len(t, fake.errors, errs, "%d failures", failures)
		if failures == 500 {
			require.Equal(t, `eventbustest: handler calls that failed: 500, of which 10 are told above (AllowHandlerErrors allows it)
      500  handler eventbustest_test.fails failed on candle_closed of the data queue: it fails`, fake.errors[10])
		}
	}
}

// A handler that fails often, with errors of which no two are the same, does not
// hide that another one failed once.
func TestHandlerFailuresBeyondTenAreToldByCall(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft, eventbustest.NotStarted(), eventbustest.WithLogLevel(slog.LevelError+8))
		bus.SubscribeFunc(eventbus.OrderPlaced, func(_ context.Context, e eventbus.Event) error {
			return fmt.Errorf("order %v\nis too large", e.Data)
		}, eventbus.WithName("risk"))
		bus.SubscribeFunc(eventbus.OrderFilled, func(context.Context, eventbus.Event) error { panic("overdrawn") }, eventbus.WithName("book"))
		for i := range 40 {
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, i%10)
		}
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderFilled, nil)
		publish(t, bus, eventbus.SignalQueue, eventbus.OrderPlaced, 0)
		_, err := bus.RunUntilIdle(t.Context())
		require.NoError(t, err)
	})
	require.Equal(t, `eventbustest: handler calls that failed: 42, of which 10 are told above (AllowHandlerErrors allows it)
        4  handler risk failed on order_placed of the order queue: order 0\nis too large
        4  handler risk failed on order_placed of the order queue: order 1\nis too large
        4  handler risk failed on order_placed of the order queue: order 2\nis too large
       28  handler risk failed on order_placed of the order queue: with other errors
        1  handler book failed on order_filled of the order queue: panic: overdrawn
        1  handler risk failed on order_placed of the signal queue: order 0\nis too large`, fake.errors[10])
}

func TestHandlerFailuresOfManyKindsAreCutDown(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft, eventbustest.WithLogLevel(slog.LevelError+8))
		for i := range 25 {
			bus.SubscribeFunc(eventbus.OrderPlaced, fails, eventbus.WithName(fmt.Sprint("risk", i)))
		}
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	})
	lines := strings.Split(fake.errors[10], "\n")
	require.Len(t, lines, 22)
	require.Equal(t, "        1  handler risk19 failed on order_placed of the order queue: it fails", lines[20])
	require.Equal(t, "    ... 5 more", lines[21])
}

// A failure is counted before it is logged and told after that, and a logger that
// blocks must not hide it.
func TestHandlerFailureThatIsNotToldIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		fake := try(func(ft *fakeT) {
			logger := slog.New(blockingLog{slog.DiscardHandler, blocked})
			bus := eventbustest.New(ft, eventbustest.WithBus(eventbus.WithLogger(logger)))
			bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error { return errors.New("no margin") })
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		})
		require.Len(t, fake.errors, 2)
		require.Contains(t, fake.errors[0], "the test left work behind")
		require.Equal(t, "eventbustest: handler calls that failed: 1, of which 0 are told above (AllowHandlerErrors allows it)", fake.errors[1])
		close(blocked)
	})
}

// A blockingLog blocks at ERROR until the channel is closed. It holds no lock
// meanwhile.
type blockingLog struct {
	slog.Handler
	until chan struct{}
}

func (l blockingLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (l blockingLog) Handle(context.Context, slog.Record) error {
	<-l.until
	return nil
}
