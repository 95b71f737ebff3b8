package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/examples/breaker"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var errDown = errors.New("service is down")

// A service is a handler that fails as long as it is down.
type service struct {
	fail     func() error // nil when it is up
	calls    int
	reported []error
	bus      *eventbus.Bus
}

func newService(t *testing.T, opt ...eventbus.SubscribeOption) *service {
	t.Helper()
	s := new(service)
	s.bus = eventbustest.New(t, eventbustest.AllowHandlerErrors(), eventbustest.WithBus(
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { s.reported = append(s.reported, err) })))
	s.bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		s.calls++
		if s.fail != nil {
			return s.fail()
		}
		return nil
	}, opt...)
	return s
}

// call publishes n events and returns how many of them reached the handler.
func (s *service) call(t *testing.T, n int) int {
	t.Helper()
	before := s.calls
	ctx := context.Background()
	for range n {
		require.NoError(t, s.bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced}))
	}
	require.NoError(t, s.bus.Flush(ctx))
	return s.calls - before
}

func TestTheBreakerOpensAndClosesAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errDown },
		"panic":  func() error { panic(errDown) },
		"Goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, eventbus.Use(breaker.Middleware(3, time.Minute)))
				s.fail = fail
				require.Equal(t, 3, s.call(t, 10))
				require.Len(t, s.reported, 10)
				require.NotErrorIs(t, s.reported[2], breaker.ErrOpen)
				require.ErrorIs(t, s.reported[3], breaker.ErrOpen)
				time.Sleep(time.Minute + time.Second)
				require.Equal(t, 1, s.call(t, 10), "a trial, which fails")
				s.fail = nil
				require.Zero(t, s.call(t, 10))
				time.Sleep(time.Minute + time.Second)
				require.Equal(t, 10, s.call(t, 10))
			})
		})
	}
}

func TestEachHandlerHasABreakerOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := breaker.Middleware(1, time.Minute)
		s, other := newService(t, eventbus.Use(m)), newService(t, eventbus.Use(m))
		s.fail = func() error { return errDown }
		require.Equal(t, 1, s.call(t, 5))
		require.Equal(t, 5, other.call(t, 5))
	})
}

func TestWhatIsNoFailureOfTheServiceIsNotCounted(t *testing.T) {
	for name, reason := range map[string]error{
		"wrong payload":   fmt.Errorf("%w: no order", eventbus.ErrPayloadType),
		"the bus stopped": fmt.Errorf("placing: %w", context.Canceled),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, eventbus.Use(breaker.Middleware(3, time.Minute)))
				s.fail = func() error { return errDown }
				require.Equal(t, 2, s.call(t, 2))
				s.fail = func() error { return reason }
				require.Equal(t, 5, s.call(t, 5), "no failures")
				s.fail = func() error { return errDown }
				require.Equal(t, 1, s.call(t, 5), "and no successes: the third failure opens it")

				time.Sleep(time.Minute + time.Second)
				s.fail = func() error { return reason }
				require.Equal(t, 5, s.call(t, 5), "none of them settles it")
				s.fail = nil
				require.Equal(t, 5, s.call(t, 5))
			})
		})
	}
}

func TestBadInputPanics(t *testing.T) {
	require.PanicsWithValue(t, "breaker: 0 failures and a pause of 1s, want 1 or more of both", func() { breaker.Middleware(0, time.Second) })
	require.PanicsWithValue(t, "breaker: 1 failures and a pause of 0s, want 1 or more of both", func() { breaker.Middleware(1, 0) })
}

func Example() {
	bus, err := eventbus.New(
		eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithMiddleware(breaker.Middleware(2, time.Minute)),
		eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { fmt.Println(err.Err) }))
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		return errors.New("service is down")
	})
	ctx := context.Background()
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		_ = bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, i, "strategy"))
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// service is down
	// service is down
	// breaker: open, the handler was not called: circuit breaker is open
}
