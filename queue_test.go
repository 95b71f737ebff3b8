package eventbus_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestQueueNamesAreParsedAndPrinted(t *testing.T) {
	for q, name := range map[eventbus.Queue]string{
		eventbus.DataQueue: "data", eventbus.SignalQueue: "signal", eventbus.OrderQueue: "order",
	} {
		parsed, err := eventbus.ParseQueue(name)
		require.NoError(t, err)
		require.Equal(t, q, parsed)
		require.Equal(t, name, q.String())
		text, err := json.Marshal(map[eventbus.Queue]int{q: 1})
		require.NoError(t, err)
		var back map[eventbus.Queue]int
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, map[eventbus.Queue]int{q: 1}, back)
	}
}

func TestParseQueueNamesAnUnknownQueue(t *testing.T) {
	_, err := eventbus.ParseQueue("Data")
	require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
	require.ErrorContains(t, err, `"Data"`)
	_, err = eventbus.Queue(3).MarshalText()
	require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
	q := eventbus.OrderQueue
	require.ErrorIs(t, q.UnmarshalText([]byte("x")), eventbus.ErrUnknownQueue)
	require.Equal(t, eventbus.OrderQueue, q)
	require.Equal(t, "Queue(3)", eventbus.Queue(3).String())
}

func TestOverflowRulesArePrinted(t *testing.T) {
	require.Equal(t, "block", eventbus.Block.String())
	require.Equal(t, "drop newest", eventbus.DropNewest.String())
	require.Equal(t, "drop oldest", eventbus.DropOldest.String())
	require.Equal(t, "Overflow(9)", eventbus.Overflow(9).String())
}

func TestDefaultQueueConfigIsWhatNewGives(t *testing.T) {
	want := map[eventbus.Queue]eventbus.QueueConfig{
		eventbus.DataQueue:   {Capacity: 1000, Overflow: eventbus.DropNewest, Timeout: time.Second},
		eventbus.SignalQueue: {Capacity: 100, Timeout: 5 * time.Second},
		eventbus.OrderQueue:  {Capacity: 50},
	}
	b := newBus(t)
	for q, c := range want {
		require.Equal(t, c, eventbus.DefaultQueueConfig(q))
		require.Equal(t, c.Capacity, b.Stats().Queues[q].Capacity)
		changed := eventbus.DefaultQueueConfig(q)
		changed.Capacity = 7
		require.Equal(t, 7, newBus(t, eventbus.WithQueue(q, changed)).Stats().Queues[q].Capacity)
		require.Equal(t, c, eventbus.DefaultQueueConfig(q), "the caller has a copy")
	}
	require.Equal(t, "eventbus: DefaultQueueConfig: eventbus: unknown queue: Queue(3)", panicOf(func() { eventbus.DefaultQueueConfig(3) }))
}

func FuzzUnmarshalText(f *testing.F) {
	f.Add([]byte("data"))
	f.Add([]byte("Order"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var q eventbus.Queue
		if err := q.UnmarshalText(text); err != nil {
			require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
			return
		}
		require.Equal(t, string(text), q.String())
	})
}
