package eventbus_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// Whatever bytes a schedule is made of, a run of it keeps the accounts. What
// the fuzzer finds is worth more than what chance finds: it looks for bytes that
// reach other code.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(20) {
		f.Add(bytesOf(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxBytes {
			t.Skip("bytesOf makes no longer ones, and it would take long")
		}
		runSchedule(t, decodeSchedule(data), false)
	})
}

// A queue's name is one of three, whichever way it comes in, and goes out as it
// came.
func FuzzParseQueue(f *testing.F) {
	names := []string{"data", "signal", "order"}
	for _, name := range slices.Concat(names, []string{"", "Data", "order ", "Queue(0)", "dat\x00", "\xff"}) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := slices.Index(names, name)
		q, err := eventbus.ParseQueue(name)
		unmarshaled := eventbus.Queue(7)
		unmarshalErr := unmarshaled.UnmarshalText([]byte(name))
		if want < 0 {
			for _, err := range []error{err, unmarshalErr} {
				require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
				require.ErrorContains(t, err, fmt.Sprintf("%q; want", name))
			}
			require.Equal(t, eventbus.Queue(7), unmarshaled, "changed in spite of the error")
			return
		}
		require.NoError(t, err)
		require.NoError(t, unmarshalErr)
		require.EqualValues(t, want, q)
		require.Equal(t, q, unmarshaled)
		require.Equal(t, name, q.String())
		text, err := json.Marshal(map[eventbus.Queue]eventbus.Queue{q: q})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("{%q:%q}", name, name), string(text))
		var back map[eventbus.Queue]eventbus.Queue
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, map[eventbus.Queue]eventbus.Queue{q: q}, back)
	})
}

// New takes a queue's configuration as it is and shows it in Stats, or refuses
// it by name.
func FuzzQueueConfig(f *testing.F) {
	f.Add(uint8(0), 1000, uint8(1), int64(time.Second))
	f.Add(uint8(1), 1, uint8(0), int64(0))
	f.Add(uint8(2), 64, uint8(2), int64(0))
	f.Add(uint8(2), 64, uint8(2), int64(1))
	f.Add(uint8(3), 0, uint8(3), int64(-1))
	f.Add(uint8(0), 1<<24+1, uint8(0), int64(0))
	f.Fuzz(func(t *testing.T, queue uint8, capacity int, overflow uint8, timeout int64) {
		c := eventbus.QueueConfig{Capacity: capacity, Overflow: eventbus.Overflow(overflow), Timeout: time.Duration(timeout)}
		if capacity > 1<<12 && capacity <= 1<<24 {
			t.Skip("valid, and takes up to a gigabyte")
		}
		wrong := wrongIn(eventbus.Queue(queue), c)
		b, err := eventbus.New(eventbus.WithLogger(discard), eventbus.WithQueue(eventbus.Queue(queue), c))
		if wrong != "" {
			require.ErrorContains(t, err, wrong)
			require.ErrorContains(t, err, eventbus.Queue(queue).String())
			require.Nil(t, b)
			return
		}
		require.NoError(t, err)
		s := b.Stats().Queues[queue]
		require.Equal(t, c, eventbus.QueueConfig{Capacity: s.Capacity, Overflow: s.Overflow, Timeout: s.Timeout})
	})
}

// wrongIn returns what the error for c must say, "" if nothing is wrong with c.
func wrongIn(q eventbus.Queue, c eventbus.QueueConfig) string {
	switch {
	case q > eventbus.OrderQueue:
		return "unknown queue"
	case c.Capacity < 1 || c.Capacity > 1<<24:
		return fmt.Sprintf("the capacity is %d", c.Capacity)
	case c.Overflow > eventbus.DropOldest:
		return fmt.Sprintf("the overflow rule is Overflow(%d)", uint8(c.Overflow))
	case c.Timeout < 0, c.Timeout > 0 && c.Overflow == eventbus.DropOldest:
		return fmt.Sprintf("the timeout is %v", c.Timeout)
	}
	return ""
}
