package retry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/examples/retry"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var errBusy = errors.New("exchange is busy")

// run publishes one event to a handler that fails as outcomes says, and returns
// how often it was called and what was reported.
func run(t *testing.T, tries int, outcomes ...error) (calls int, reported error) {
	t.Helper()
	bus := eventbustest.New(t, eventbustest.AllowHandlerErrors(), eventbustest.WithBus(
		eventbus.WithMiddleware(retry.Middleware(tries, time.Second)),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { reported = err })))
	bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		calls++
		return outcomes[calls-1]
	})
	require.NoError(t, bus.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced}))
	require.NoError(t, bus.Flush(t.Context()))
	return calls, reported
}

func TestAHandlerIsCalledAgainUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		calls, err := run(t, 5, errBusy, errBusy, nil)
		require.NoError(t, err)
		require.Equal(t, 3, calls)
		require.InDelta(t, 2.5, time.Since(began).Seconds(), 1.25, "1 s and 1.5 s, give or take half")
	})
}

func TestTheLastErrorIsReportedWhenTheTriesAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := errors.New("rejected")
		calls, err := run(t, 3, errBusy, errBusy, last)
		require.Equal(t, 3, calls)
		require.ErrorIs(t, err, last)
	})
}

func TestAnErrorThatWillNotGoAwayIsNotRetried(t *testing.T) {
	for _, permanent := range []error{backoff.Permanent(errBusy), fmt.Errorf("%w: no order", eventbus.ErrPayloadType)} {
		synctest.Test(t, func(t *testing.T) {
			calls, err := run(t, 3, permanent)
			require.Equal(t, 1, calls)
			require.ErrorIs(t, err, permanent)
		})
	}
}

func TestThePausesEndWithTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := retry.Middleware(100, time.Hour)(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { return errBusy }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, h.Handle(ctx, eventbus.Event{}), errBusy)
		require.LessOrEqual(t, time.Since(began), time.Second)
	})
}

func TestThePausesGrowAndNeverShrink(t *testing.T) {
	for _, c := range []struct{ first, last time.Duration }{{time.Second, time.Minute}, {time.Hour, time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			const tries = 20
			var at []time.Time
			h := retry.Middleware(tries, c.first)(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
				at = append(at, time.Now())
				return errBusy
			}))
			require.ErrorIs(t, h.Handle(t.Context(), eventbus.Event{}), errBusy)
			require.Len(t, at, tries)
			require.InEpsilon(t, c.first, at[1].Sub(at[0]), 0.51)
			require.InEpsilon(t, c.last, at[tries-1].Sub(at[tries-2]), 0.51)
		})
	}
}

func TestShutdownThatGivesUpEndsThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t, eventbustest.AllowHandlerErrors(), eventbustest.AllowLeftovers())
		calls := 0
		bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
			calls++
			return errBusy
		}, eventbus.Use(retry.Middleware(5, time.Hour)))
		require.NoError(t, bus.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced}))
		synctest.Wait()

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, bus.Shutdown(ctx), context.DeadlineExceeded)
		synctest.Wait() // for the handler, whose pause would last half an hour at least
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, 1, calls)
		require.EqualValues(t, 1, bus.Stats().Queues[eventbus.OrderQueue].Failed)
	})
}

func TestBadInputPanics(t *testing.T) {
	require.PanicsWithValue(t, "retry: 0 tries and a first pause of 1s, want 1 or more of both", func() { retry.Middleware(0, time.Second) })
	require.PanicsWithValue(t, "retry: 1 tries and a first pause of 0s, want 1 or more of both", func() { retry.Middleware(1, 0) })
}

func Example() {
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	tries := 0
	bus.SubscribeFunc(eventbus.OrderPlaced, func(_ context.Context, e eventbus.Event) error {
		tries++
		if tries < 3 {
			return errors.New("exchange is busy")
		}
		fmt.Println(e.Data, "placed at try", tries)
		return nil
	}, eventbus.Use(retry.Middleware(5, time.Millisecond)))
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	_ = bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, "buy 100", "strategy"))
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: buy 100 placed at try 3
}
