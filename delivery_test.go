package eventbus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestDeliveryTellsEventQueueHandlerAndNumber(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, opts...)
			type ctxKey struct{}
			got := make(map[eventbus.Queue][]eventbus.Delivery)
			note := func(ctx context.Context, e eventbus.Event) error {
				d, ok := eventbus.DeliveryFrom(context.WithValue(ctx, ctxKey{}, 1))
				require.True(t, ok)
				require.Equal(t, e, d.Event)
				got[d.Queue] = append(got[d.Queue], d)
				return errors.New("as if it had failed")
			}
			b.SubscribeFunc("e", note, eventbus.WithName("one"))
			b.Subscribe("e", eventbus.Async(eventbus.HandlerFunc(note), time.Minute), eventbus.WithName("two"), eventbus.OnQueue(eventbus.OrderQueue))
			b.SubscribeFunc("e", func(context.Context, eventbus.Event) error { panic("between") })
			b.SubscribeFunc("e", note, eventbus.WithName("three"))
			for i := range 3 {
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent("e", i, "test")))
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent("nobody's", i, "test")))
			}
			start(t, b)
			require.NoError(t, b.Flush(context.Background()))
			require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.NewEvent("e", 9, "test")))
			require.NoError(t, b.Shutdown(context.Background()))
			var seqs []uint64
			var names []string
			for _, d := range got[eventbus.OrderQueue] {
				seqs, names = append(seqs, d.Seq), append(names, d.Handler)
			}
			require.Equal(t, []uint64{1, 1, 1, 3, 3, 3, 5, 5, 5}, seqs)
			require.Equal(t, []string{"one", "two", "three", "one", "two", "three", "one", "two", "three"}, names)
			require.Len(t, got[eventbus.DataQueue], 2)
			require.Equal(t, uint64(1), got[eventbus.DataQueue][0].Seq)
		})
	}
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	b := newBus(t)
	var allocs float64
	b.SubscribeFunc("e", func(ctx context.Context, _ eventbus.Event) error {
		allocs = testing.AllocsPerRun(100, func() { _, _ = eventbus.DeliveryFrom(ctx) })
		return nil
	})
	start(t, b)
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	require.NoError(t, b.Flush(context.Background()))
	require.Zero(t, allocs)
}

func TestOnlyAHandlersContextBelongsToADelivery(t *testing.T) {
	_, ok := eventbus.DeliveryFrom(context.Background())
	require.False(t, ok)

	abandoned := make(chan bool)
	b := newBus(t)
	b.Subscribe("e", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
		<-ctx.Done()
		for {
			if _, ok := eventbus.DeliveryFrom(ctx); !ok {
				close(abandoned)
				return nil
			}
			time.Sleep(time.Millisecond)
		}
	}), time.Millisecond))
	start(t, b)
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	<-abandoned
}

// A processor that takes over a queue from RunUntilIdle remembers handlers that
// are not those that the queue was last at.
func TestADeliveryNamesItsHandlerAfterTheBusWasSteppedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var names []string
		note := func(ctx context.Context, _ eventbus.Event) error {
			d, _ := eventbus.DeliveryFrom(ctx)
			names = append(names, d.Handler)
			return nil
		}
		b.SubscribeFunc("a", note, eventbus.WithName("of a"))
		b.SubscribeFunc("b", note, eventbus.WithName("of b"))
		for range 2 {
			start(t, b)
			publish(t, b, eventbus.DataQueue, "a", nil)
			flush(t, b)
			b.Stop()
			publish(t, b, eventbus.DataQueue, "b", nil)
			runUntilIdle(t, b)
		}
		require.Equal(t, []string{"of a", "of b", "of a", "of b"}, names)
	})
}
