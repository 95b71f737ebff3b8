package eventbus_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func TestABusThatDoesNotRunHandsEverythingBackAtOnce(t *testing.T) {
	b := newBus(t)
	publish(t, b, eventbus.DataQueue, "tick", 1, 2)
	require.ErrorIs(t, b.Flush(context.Background()), eventbus.ErrNotRunning)
	var left *eventbus.ShutdownError
	require.ErrorAs(t, b.Shutdown(context.Background()), &left)
	require.ErrorIs(t, left, eventbus.ErrNotRunning)
	require.Len(t, left.Remaining[eventbus.DataQueue], 2)
}

func TestAHandlerCannotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		errs := make(chan error, 2)
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			errs <- b.Flush(ctx)
			errs <- b.Shutdown(ctx)
			b.Stats()
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", 1)
		require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
		require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
		shutdown(t, b)
	})
}

func TestAHandlerThatLeavesWhenShutdownGivesUpIsNamed(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			b, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)), eventbus.WithSlowHandler(0))
			require.NoError(t, err)
			b.SubscribeFunc("work", func(ctx context.Context, _ eventbus.Event) error {
				<-ctx.Done()
				return nil
			}, eventbus.WithName("patient"))
			require.NoError(t, b.Start(t.Context()))
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "work"}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorContains(t, b.Shutdown(ctx), "patient")
		})
	}
}
