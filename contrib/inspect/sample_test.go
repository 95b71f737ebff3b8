package inspect_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// An order leads back to its tick over the events between.
func TestEventsLeadBackToTheirRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil, eventbus.WithCauses(), eventbus.WithLatencies())
		forward := func(q eventbus.Queue, typ eventbus.EventType) func(context.Context, eventbus.Event) error {
			return func(ctx context.Context, e eventbus.Event) error {
				time.Sleep(time.Millisecond)
				return bus.Publish(ctx, q, eventbus.NewEvent(typ, nil, "test"))
			}
		}
		bus.SubscribeFunc("tick", forward(eventbus.SignalQueue, "signal"))
		bus.SubscribeFunc("signal", forward(eventbus.OrderQueue, "order"))
		bus.SubscribeFunc("order", fail(nil), eventbus.WithName("broker"))
		v := look(t, page)
		synctest.Wait()
		publish(t, bus, eventbus.DataQueue, "other", nil)
		publish(t, bus, eventbus.DataQueue, "tick", nil)
		f := v.next(t)

		order := only(t, f.Events, "order")
		require.Equal(t, cause{Queue: "signal", Seq: 1, Hops: 2, Root: order.Cause.Root}, *order.Cause)
		require.Equal(t, "data tick 2", fmt.Sprint(order.Cause.Root.Queue, " ", order.Cause.Root.Type, " ", order.Cause.Root.Seq))
		require.InDelta(t, 0.002, *order.Cause.Root.Before, 1e-9)
		signal := only(t, f.Events, "signal")
		require.Equal(t, order.Cause.Seq, signal.Seq)
		require.Equal(t, 1, signal.Cause.Hops)
		require.Nil(t, only(t, f.Events, "tick").Cause)
		for _, h := range f.Handlers {
			if h.Name == "broker" {
				require.InDelta(t, 0.002, h.FromRoot.P50, 0.0002)
			}
		}
	})
}

func only(t testing.TB, events []event, typ string) (found event) {
	t.Helper()
	n := 0
	for _, e := range events {
		if e.Type == typ {
			found = e
			n++
		}
	}
	require.Equal(t, 1, n, typ)
	return found
}

// Payloads are shown as the program writes them, and not without it.
func TestWithPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		format := func(e eventbus.Event) string {
			switch d := e.Data.(type) {
			case string:
				return d
			default:
				panic("no string")
			}
		}
		bus, page := newPage(t, []inspect.Option{inspect.WithPayloads(format)})
		v, plain := look(t, page), look(t, inspect.New(bus))
		synctest.Wait()
		publish(t, bus, eventbus.DataQueue, "short", "<i>AAPL</i>")
		publish(t, bus, eventbus.DataQueue, "long", strings.Repeat("é", 1000))
		publish(t, bus, eventbus.DataQueue, "none", 1)
		f, p := v.next(t), plain.next(t)
		require.Equal(t, "<i>AAPL</i>", only(t, f.Events, "short").Payload)
		require.Equal(t, strings.Repeat("é", 250)+"…", only(t, f.Events, "long").Payload)
		require.Equal(t, "the formatter panicked: no string", only(t, f.Events, "none").Payload)
		require.Empty(t, only(t, p.Events, "short").Payload)
		require.Zero(t, bus.Stats().Queues[eventbus.DataQueue].Failed)
	})
}

// However many events there are, a few of each type are taken between frames: so a rare
// type is seen beside a flood.
func TestSampleIsBoundedByType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := map[eventbus.EventType]int{}
		format := func(e eventbus.Event) string { taken[e.Type]++; return "" }
		bus, page := newPage(t, []inspect.Option{inspect.WithPayloads(format)})
		v := look(t, page)
		for i := range 10 {
			synctest.Wait()
			for range 400 {
				publish(t, bus, eventbus.DataQueue, "tick", 1)
				publish(t, bus, eventbus.DataQueue, "candle", 1)
			}
			publish(t, bus, eventbus.DataQueue, "halt", 1)
			synctest.Wait()
			f := v.next(t)
			require.Equal(t, map[eventbus.EventType]int{"tick": 10 * (i + 1), "candle": 10 * (i + 1), "halt": i + 1}, taken)
			require.LessOrEqual(t, len(f.Events), 40)
			require.Equal(t, "halt", f.Events[0].Type, "the newest comes first")
		}
	})
}

// A program that makes up types without end gets a few samples of those that came late.
func TestSampleIsBoundedThoughTypesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := 0
		bus, page := newPage(t, []inspect.Option{inspect.WithPayloads(func(eventbus.Event) string { taken++; return "" })})
		v := look(t, page)
		synctest.Wait()
		for i := range 900 {
			publish(t, bus, eventbus.DataQueue, eventbus.EventType(fmt.Sprint("type", i)), 1)
		}
		synctest.Wait()
		require.Equal(t, 64+10, taken)
		v.leave()

		taken = 0
		v = look(t, page)
		synctest.Wait()
		publish(t, bus, eventbus.DataQueue, "type899", 1)
		require.Len(t, v.next(t).Events, 1, "who comes later begins anew")
	})
}

// The sample shows what handlers see behind the middleware of the bus.
func TestSampleShowsWhatMiddlewareMakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mark := func(next eventbus.Handler) eventbus.Handler {
			return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
				e.Source += ", marked"
				return next.Handle(ctx, e)
			})
		}
		bus, page := newPage(t, nil, eventbus.WithMiddleware(mark))
		v := look(t, page)
		synctest.Wait()
		publish(t, bus, eventbus.DataQueue, "tick", 1)
		require.Equal(t, "test, marked", only(t, v.next(t).Events, "tick").Source)
	})
}

// The tap neither fails nor counts as a handler.
func TestTapLeavesEventsUnhandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		look(t, page).next(t)
		require.ErrorIs(t, bus.PublishWait(background, eventbus.OrderQueue, eventbus.NewEvent("order", 1, "")), eventbus.ErrUnhandled)
	})
}
