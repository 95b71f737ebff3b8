package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// A feedFunc is a feed made of a function.
type feedFunc func(ctx context.Context, bus *eventbus.Bus) error

func (f feedFunc) Run(ctx context.Context, bus *eventbus.Bus) error { return f(ctx, bus) }

func TestCancellationDoesNotOvertakeTheAccountOfAFill(t *testing.T) {
	order := engine.Order{ID: 1, Side: engine.Buy, Quantity: decimal.MustParse("10"), Budget: decimal.MustParse("100")}
	buy := engine.Signal{Side: engine.Buy, Close: decimal.MustParse("10")}
	c := config()
	c.Broker = &counter{Broker: c.Broker}
	c.Feed = feedFunc(func(ctx context.Context, bus *eventbus.Bus) error {
		require.NoError(t, engine.SignalGenerated.Publish(ctx, bus, buy))
		require.NoError(t, bus.Flush(ctx))
		fill := engine.Fill{Order: order, Price: decimal.MustParse("10"), Quantity: decimal.MustParse("4"), Partial: true}
		require.NoError(t, engine.OrderPartiallyFilled.Publish(ctx, bus, fill))
		return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: order})
	})
	e, err := engine.New(c)
	require.NoError(t, err)
	handled := make(chan struct{}, 9)
	engine.SignalGenerated.Subscribe(e.Bus(), func(context.Context, engine.Signal) error {
		handled <- struct{}{}
		return nil
	})
	// Between the fill and its account the cancellation is in the queue.
	engine.OrderPartiallyFilled.Subscribe(e.Bus(), func(context.Context, engine.Fill) error {
		time.Sleep(50 * time.Millisecond)
		return nil
	}, eventbus.WithPriority(1))
	// The signal comes while the account is still that of before the fill.
	engine.OrderUpdate.Subscribe(e.Bus(), func(ctx context.Context, _ engine.Cancellation) error {
		<-handled
		require.NoError(t, engine.SignalGenerated.Publish(ctx, e.Bus(), buy))
		<-handled
		return nil
	})
	require.NoError(t, e.Run(t.Context()))
	require.Equal(t, engine.Counts{Signals: 2, Orders: 1, Cancelled: 1}, e.Counts(), "the cash was spent, and nothing was bought for it twice")
	require.Empty(t, e.Working())
}
