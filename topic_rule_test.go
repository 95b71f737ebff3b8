package eventbus_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

type trade struct {
	symbol string
	n      int
}

func symbolOf(t trade) string { return t.symbol }

// stuckOnTrade returns a started bus whose data queue holds its events back,
// behind one that waits for the gate, and the trades that come after that.
func stuckOnTrade(t *testing.T, c eventbus.QueueConfig) (*eventbus.Bus, *journal[trade], *gate) {
	t.Helper()
	b := startedBus(t, eventbus.WithQueue(eventbus.DataQueue, c))
	var got journal[trade]
	g := newGate(t)
	b.SubscribeFunc("gate", g.handle)
	for _, typ := range []eventbus.EventType{"last", "bar", "other"} {
		b.SubscribeFunc(typ, got.handle)
	}
	publish(t, b, eventbus.DataQueue, "gate", nil)
	receive(t, g.entered)
	return b, &got, g
}

func TestATopicConflatesItsOwnEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 5, Overflow: eventbus.DropNewest})
		last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		bar := eventbus.NewTopic[trade]("bar", eventbus.DataQueue)
		other := eventbus.NewTopic[trade]("other", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		ctx := context.Background()
		for n := range 2 {
			require.NoError(t, bar.Publish(ctx, b, trade{"BTC", 10 + n}))
			require.NoError(t, last.Publish(ctx, b, trade{"BTC", n}))
		}
		require.NoError(t, other.Publish(ctx, b, trade{"BTC", 20}))
		require.NoError(t, last.Publish(ctx, b, trade{"", 30}))
		require.ErrorIs(t, last.Publish(ctx, b, trade{"", 31}), eventbus.ErrDropped, "the empty key replaces none")
		require.NoError(t, last.Publish(ctx, b, trade{"BTC", 2}), "it replaces one, though the queue is full")
		s := b.Stats().Queues[eventbus.DataQueue]
		require.Equal(t, []int{5, 2, 1}, []int{s.Depth, int(s.Conflated), int(s.Dropped)})
		g.open()
		flush(t, b)
		require.Equal(t, []trade{{"BTC", 10}, {"BTC", 2}, {"BTC", 11}, {"BTC", 20}, {"", 30}}, got.all())
	})
}

func TestATopicOverridesItsQueuesConflation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 9, ConflateBy: func(e eventbus.Event) string { return string(e.Type) }})
		last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		for n, symbol := range []string{"BTC", "ETH", "BTC"} {
			require.NoError(t, last.Publish(context.Background(), b, trade{symbol, n}))
			publish(t, b, eventbus.DataQueue, "bar", trade{symbol, n})
		}
		g.open()
		flush(t, b)
		require.Equal(t, []trade{{"BTC", 2}, {"BTC", 2}, {"ETH", 1}}, got.all())
	})
}

func TestATopicsEventsExpireByItsOwnLimit(t *testing.T) {
	for name, c := range map[string]struct {
		queue time.Duration
		want  []trade
	}{
		"where the queue's live on":       {0, []trade{{"BTC", 1}}},
		"where the queue's expire before": {time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 9, MaxAge: c.queue})
				last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithMaxAge(2*time.Second))
				require.NoError(t, last.Publish(context.Background(), b, trade{"BTC", 0}))
				publish(t, b, eventbus.DataQueue, "bar", trade{"BTC", 1})
				time.Sleep(time.Second)
				require.NoError(t, last.Publish(context.Background(), b, trade{"BTC", 2}))
				time.Sleep(time.Second + time.Millisecond)
				g.open()
				flush(t, b)
				require.Equal(t, append(c.want, trade{"BTC", 2}), got.all())
				s := b.Stats().Queues[eventbus.DataQueue]
				require.EqualValues(t, 2-len(c.want), s.Expired)
				require.Equal(t, s.Accepted, s.Handled+s.Expired)
			})
		})
	}
}

// A topic that says nothing about overflow keeps its queue's rule, and one that
// does keeps that beside the rest.
func TestATopicsRulesDoNotDisturbEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 1, Timeout: time.Second})
		own := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf), eventbus.WithMaxAge(time.Hour))
		drops := eventbus.NewTopic[trade]("other", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf), eventbus.WithOverflow(eventbus.DropNewest, 0))
		ctx := context.Background()
		require.NoError(t, own.Publish(ctx, b, trade{"BTC", 0}))
		began := time.Now()
		require.ErrorIs(t, drops.Publish(ctx, b, trade{"BTC", 1}), eventbus.ErrDropped)
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, own.Publish(ctx, b, trade{"ETH", 2}), eventbus.ErrQueueFull)
		require.Equal(t, time.Second, time.Since(began))
		g.open()
		flush(t, b)
		require.Equal(t, []trade{{"BTC", 0}}, got.all())
	})
}

func TestATopicWithAnInvalidRulePanics(t *testing.T) {
	for want, make := range map[string]func(){
		"WithConflateBy: the function is nil": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy[trade](nil))
		},
		"WithConflateBy: the key is made of int, the payload is eventbus_test.trade": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(int) string { return "" }))
		},
		"WithMaxAge: the age is 0s, want more than 0": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithMaxAge(0))
		},
	} {
		require.PanicsWithValue(t, "eventbus: NewTopic last: "+want, make)
	}
}

func TestATopicsKeyThatPanicsIsThePublishersError(t *testing.T) {
	b := startedBus(t)
	last := eventbus.NewTopic[*trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(t *trade) string { return t.symbol }))
	err := last.Publish(context.Background(), b, nil)
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, err, "ConflateBy panicked")
	require.NoError(t, last.Publish(context.Background(), b, &trade{"BTC", 1}))
}

func TestATopicThatConflatesAllocatesNothing(t *testing.T) {
	b := newBus(t)
	last := eventbus.NewTopic[*trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(t *trade) string { return t.symbol }))
	ctx, data := context.Background(), &trade{"BTC", 1}
	require.Zero(t, testing.AllocsPerRun(500, func() { _ = last.Publish(ctx, b, data) }))
	require.Equal(t, 1, b.Stats().Queues[eventbus.DataQueue].Depth)
}
