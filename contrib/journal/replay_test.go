package journal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// trade subscribes handlers that make an order of every tick whose price has risen.
func trade(bus *eventbus.Bus, placed *[]order) {
	last := 0.0
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
		defer func() { last = k.Price }()
		if k.Price > last {
			return signals.Publish(ctx, bus, signal{k.ID})
		}
		return nil
	})
	signals.Subscribe(bus, func(ctx context.Context, s signal) error {
		return orders.Publish(ctx, bus, order{ID: time.Duration(s.Tick).String()})
	})
	orders.Subscribe(bus, func(_ context.Context, o order) error {
		*placed = append(*placed, o)
		return nil
	})
}

func TestReplaySmoke(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	var live, again []order
	trade(bus, &live)
	for i := range 100 {
		require.NoError(t, ticks.Publish(limited(t), bus, tick{uint64(i), float64(i * 7 % 10)}))
	}
	step(t, bus)
	require.NoError(t, j.Close())
	require.NotEmpty(t, live)

	clock := journal.NewClock()
	b := newBus(t, eventbus.WithClock(clock.Now))
	trade(b, &again)
	done, err := journal.Replay(limited(t), b, path, replayTopics(journal.WithReplayClock(clock))...)
	require.NoError(t, err)
	require.Zero(t, done.Diverged, "%+v", done)
	require.EqualValues(t, 100, done.Published)
	require.Equal(t, live, again)
}
