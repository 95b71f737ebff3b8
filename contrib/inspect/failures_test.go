package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// A frame shows the last failures, the newest first, with their stacks and causes.
func TestFailuresAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil, eventbus.WithCauses())
		bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			return bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent("signal", e.Data, "strategy"))
		})
		bus.SubscribeFunc("signal", func(_ context.Context, e eventbus.Event) error {
			switch e.Data {
			case 58:
				panic("no position")
			case 57:
				return errors.New(strings.Repeat("é", 5000))
			}
			return errRisky
		}, eventbus.WithName("risk"))
		for i := range 60 {
			publish(t, bus, eventbus.DataQueue, "tick", i)
		}
		synctest.Wait()
		f := look(t, page).next(t)
		require.Len(t, f.Failures, 3)
		last, panicked, long := f.Failures[0], f.Failures[1], f.Failures[2]
		require.Equal(t, []string{"signal", "signal", "risk", "<b>too risky</b>"}, []string{last.Queue, last.Type, last.Handler, last.Error})
		require.Equal(t, []uint64{60, 58}, []uint64{last.Seq, last.Count})
		require.Equal(t, "data tick 60", fmt.Sprint(last.Cause.Root.Queue, " ", last.Cause.Root.Type, " ", last.Cause.Root.Seq))
		require.Contains(t, panicked.Error, "no position")
		require.True(t, panicked.Panicked)
		require.Contains(t, ask(page, "GET", fmt.Sprint("failure?id=", panicked.ID)).Body.String(), "failures_test.go")
		require.Equal(t, "\n", ask(page, "GET", fmt.Sprint("failure?id=", last.ID)).Body.String())
		require.Equal(t, strings.Repeat("é", 500)+"…", long.Error)
	})
}

// A handler that fails in ever new ways is bounded, and the last ways are kept.
func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error { return fmt.Errorf("failure %v", e.Data) })
		for i := range 60 {
			publish(t, bus, eventbus.DataQueue, "tick", i)
		}
		synctest.Wait()
		f := look(t, page).next(t)
		require.Len(t, f.Failures, 50)
		require.Equal(t, "failure 59", f.Failures[0].Error)
		require.Equal(t, "failure 10", f.Failures[49].Error)
		require.Equal(t, []uint64{60, 11}, []uint64{f.Failures[0].ID, f.Failures[49].ID})
	})
}

// Without Failures, the page has none, and goes on.
func TestNewWithoutFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus(t)
		bus.SubscribeFunc("tick", fail(errRisky))
		publish(t, bus, eventbus.DataQueue, "tick", 1)
		require.Empty(t, look(t, inspect.New(bus)).next(t).Failures)
	})
}

// An event that has expired is a failure without a handler and a number.
func TestFailuresShowExpiredEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := eventbus.QueueConfig{Capacity: 10, Overflow: eventbus.Block, MaxAge: time.Second}
		bus, page := newPage(t, nil, eventbus.WithQueue(eventbus.DataQueue, cfg))
		require.NoError(t, bus.Publish(background, eventbus.DataQueue, eventbus.Event{Type: "tick", Time: time.Now().Add(-time.Hour)}))
		f := look(t, page).next(t)
		require.Len(t, f.Failures, 1)
		require.Contains(t, f.Failures[0].Error, "expired")
		require.Empty(t, f.Failures[0].Handler)
		require.Zero(t, f.Failures[0].Seq)
		require.Equal(t, "expired", f.Queues[eventbus.DataQueue].Losses[0].Reason)
	})
}
