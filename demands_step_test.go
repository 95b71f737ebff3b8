package eventbus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// D15: a hundred stepped runs call the same handlers with the same events in the
// same order, whatever fails on the way and whatever finds its queue full.
func TestAHundredSteppedRunsMakeTheSameCalls(t *testing.T) {
	var first string
	for run := range 100 {
		b := newBus(t, blocking(1, eventbus.SignalQueue, eventbus.OrderQueue)...)
		log := cascade(b)
		for i := range 50 {
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		handled, err := b.RunUntilIdle(context.Background())
		require.NoError(t, err)
		require.Equal(t, strings.Count(log.String(), "tap"), handled)
		if run == 0 {
			first = log.String()
			require.True(t, strings.HasPrefix(first, strings.Join([]string{
				"before tick 0", "after tick 0", "tap tick 0",
				"before signal 0", "after signal 0", "tap signal 0", "before order 0", "after order 0", "tap order 0",
				"before signal 1000", "after signal 1000", "tap signal 1000", "before order 1000", "after order 1000", "tap order 1000",
				"before tick 1",
			}, "\n")), first)
		}
		require.Equal(t, first, log.String())
	}
}

// cascade subscribes handlers that answer each third tick with two signals, of
// which one finds the queue full, other ticks with one, and signals with orders,
// and handlers before and after each of those. It returns the log of their calls.
func cascade(b *eventbus.Bus) *strings.Builder {
	var log strings.Builder
	note := func(who string) func(context.Context, eventbus.Event) error {
		return func(_ context.Context, e eventbus.Event) error {
			fmt.Fprintf(&log, "%s %s %v\n", who, e.Type, e.Data)
			return nil
		}
	}
	for typ, answer := range map[eventbus.EventType]func(context.Context, int) error{
		"tick": func(ctx context.Context, n int) error {
			if n == 7 {
				return errHandler
			}
			err := b.Publish(ctx, eventbus.SignalQueue, event("signal", n))
			if n%3 == 0 {
				err = b.Publish(ctx, eventbus.SignalQueue, event("signal", n+1000))
			}
			return err
		},
		"signal": func(ctx context.Context, n int) error { return b.Publish(ctx, eventbus.OrderQueue, event("order", n)) },
		"order": func(_ context.Context, n int) error {
			if n == 2 {
				panic("two")
			}
			return nil
		},
	} {
		b.SubscribeFunc(typ, note("before"))
		b.SubscribeFunc(typ, func(ctx context.Context, e eventbus.Event) error { return answer(ctx, e.Data.(int)) })
		b.SubscribeFunc(typ, note("after"))
	}
	b.SubscribeAll(eventbus.HandlerFunc(note("tap")))
	return &log
}

// D15: what handlers publish is queued, and never handled inside their calls.
func TestSteppingQueuesNestedPublishes(t *testing.T) {
	b := newBus(t)
	inside, seen := 0, 0
	b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		inside++
		defer func() { inside-- }()
		require.Equal(t, 1, inside)
		seen++
		if seen < 1000 {
			return b.Publish(ctx, eventbus.OrderQueue, e)
		}
		return nil
	})
	publish(t, b, eventbus.OrderQueue, "tick", 0)
	handled, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1000, handled)
	shutdown(t, b)
}
