package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

func TestRunReturnsAFailureThatComesAfterCtxHasEnded(t *testing.T) {
	told, broken := errors.New("told to stop"), errors.New("broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := config()
	c.Feed = feedFunc(func(ctx context.Context, bus *eventbus.Bus) error {
		cancel(told)
		require.NoError(t, engine.CandleClosed.Publish(context.WithoutCancel(ctx), bus, engine.Candle{}))
		return context.Cause(ctx)
	})
	e, err := engine.New(c)
	require.NoError(t, err)
	engine.CandleClosed.Subscribe(e.Bus(), func(context.Context, engine.Candle) error { return broken })
	err = e.Run(ctx)
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, told)
}

// A slowVenue takes so long over each order, and then fails.
type slowVenue struct {
	counter
	takes     time.Duration
	cancelled int
}

func (v *slowVenue) OnOrder(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
	v.counter.OnOrder(ctx, bus, o)
	time.Sleep(v.takes)
	return errors.New("no answer")
}

func (v *slowVenue) Run(ctx context.Context, _ *eventbus.Bus) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (v *slowVenue) CancelAll(context.Context) error {
	v.cancelled++
	return nil
}

func TestRunThatEndsSendsNothingAndCancelsAllOrders(t *testing.T) {
	for name, takes := range map[string]time.Duration{
		"a failure ends it":         4 * time.Second,
		"an order is stuck":         22 * time.Second,
		"an order is quick to fail": 0,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config()
				venue := &slowVenue{counter: counter{Broker: c.Broker}, takes: takes}
				c.Broker, c.Budget = venue, decimal.MustParse("10")
				c.Feed = feedFunc(func(ctx context.Context, bus *eventbus.Bus) error {
					for _, symbol := range []string{"A", "B", "C"} {
						buy := engine.Signal{Symbol: symbol, Side: engine.Buy, Close: decimal.One}
						require.NoError(t, engine.SignalGenerated.Publish(ctx, bus, buy))
					}
					<-ctx.Done()
					return context.Cause(ctx)
				})
				e, err := engine.New(c)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				require.ErrorContains(t, e.Run(ctx), "no answer")
				require.Equal(t, 1, venue.orders, "the others were in the queue")
				require.Equal(t, 1, venue.cancelled)
			})
		})
	}
}
