package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/race"
)

func TestPublishDoesNotAllocate(t *testing.T) {
	b, err := newBus()
	require.NoError(t, err)
	b.SubscribeFunc(template.Type, func(context.Context, eventbus.Event) error { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var failed error
	allocs := testing.AllocsPerRun(dataCapacity/2, func() {
		if err := b.Publish(ctx, eventbus.DataQueue, template); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	require.Zero(t, allocs)
	require.Error(t, b.Shutdown(ctx), "the queued events are handed back")
}

// The room that a batch travels in is used again when it has been handled.
func TestPublishBatchDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector empties pools")
	}
	b, err := newBus()
	require.NoError(t, err)
	events := newBatch()
	ctx := t.Context()
	var failed error
	allocs := testing.AllocsPerRun(500, func() {
		_, err := b.PublishBatch(ctx, eventbus.DataQueue, events)
		_, stepErr := b.RunUntilIdle(ctx)
		failed = errors.Join(failed, err, stepErr)
	})
	require.NoError(t, failed)
	require.Zero(t, allocs)
	require.NoError(t, b.Shutdown(ctx))
}

// Every run publishes one event and waits until the last handler has had it.
func TestPublishAndDispatchDoNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, tt := range []struct {
		name     string
		open     opener
		handlers int
	}{
		{"1 handler", openBus, 1},
		{"10 handlers", openBus, 10},
		{"pipeline", openBusPipeline, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hs := make([]handler, tt.handlers)
			for i := range hs {
				hs[i] = func(context.Context, eventbus.Event) error { return nil }
			}
			handled := make(chan struct{}, 1)
			hs[len(hs)-1] = func(context.Context, eventbus.Event) error { handled <- struct{}{}; return nil }
			c, err := tt.open(hs)
			require.NoError(t, err)
			var failed error
			allocs := testing.AllocsPerRun(2000, func() {
				if err := c.publish(1); err != nil {
					failed = err
				}
				<-handled
			})
			require.NoError(t, failed)
			require.Zero(t, allocs)
			require.NoError(t, c.close())
		})
	}
}

// Every run lets four publishers publish one event each and waits until the last handler has had all of them.
func TestConcurrentPublishersDoNotAllocate(t *testing.T) {
	const publishers = 4
	for _, handlers := range []int{1, 10} {
		handled := make(chan struct{}, publishers)
		hs := make([]handler, handlers)
		for i := range hs {
			hs[i] = func(context.Context, eventbus.Event) error { return nil }
		}
		hs[len(hs)-1] = func(context.Context, eventbus.Event) error { handled <- struct{}{}; return nil }
		c, err := openBus(hs)
		require.NoError(t, err)
		turns, failed := make(chan struct{}), make(chan error, publishers)
		for range publishers {
			go func() {
				for range turns {
					if err := c.publish(1); err != nil {
						failed <- err
						handled <- struct{}{}
					}
				}
			}()
		}
		allocs := testing.AllocsPerRun(2000, func() {
			for range publishers {
				turns <- struct{}{}
			}
			for range publishers {
				<-handled
			}
		})
		close(turns)
		require.Empty(t, failed)
		require.Zero(t, allocs, "%d handlers", handlers)
		require.NoError(t, c.close())
	}
}
