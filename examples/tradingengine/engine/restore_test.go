package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// counter is a broker that only counts the orders it is given.
type counter struct {
	engine.Broker
	orders int
}

func (c *counter) OnOrder(context.Context, *eventbus.Bus, engine.Order) error {
	c.orders++
	return nil
}

// replayed plays the feed of a config into the bus of an engine that is restored.
func replayed(c engine.Config) func(context.Context, *eventbus.Bus) error {
	return func(ctx context.Context, bus *eventbus.Bus) error {
		c.Feed.(*engine.Replay).Stepped = true
		return c.Feed.Run(ctx, bus)
	}
}

func TestRestoreSendsNothing(t *testing.T) {
	past, now := config("10", "9"), config("8", "8")
	broker := &counter{Broker: engine.NewPaperBroker(decimal.One)}
	now.Strategies, now.Broker = []engine.Strategy{&dip{}}, broker
	var sent int
	now.BrokerOptions = []eventbus.SubscribeOption{eventbus.Use(func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			sent++
			return next.Handle(ctx, e)
		})
	})}
	e, err := engine.New(now)
	require.NoError(t, err)
	var placed []engine.Order
	require.NoError(t, e.Restore(t.Context(), func(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
		placed = append(placed, o)
		return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Reason: "as it was then"})
	}, replayed(past)))
	require.Len(t, placed, 1)
	require.Zero(t, broker.orders+sent)
	require.Empty(t, e.Working(), "the answer of then has ended it")
	require.Equal(t, engine.Counts{Signals: 1, Orders: 1, Cancelled: 1}, e.Counts())

	require.NoError(t, e.Run(t.Context()))
	require.Equal(t, []int{1, 1}, []int{broker.orders, sent})
	require.Equal(t, []int{1, 2}, []int{placed[0].ID, e.Working()[0].ID}, "no number is given twice")
}

func TestRestoreReturnsTheFailureOfAHandler(t *testing.T) {
	broken := errors.New("broken")
	c := config("10", "9")
	c.Strategies = []engine.Strategy{&dip{}}
	e, err := engine.New(c)
	require.NoError(t, err)
	require.ErrorIs(t, e.Restore(t.Context(), func(context.Context, *eventbus.Bus, engine.Order) error { return broken }, replayed(c)), broken)
}
