package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
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
