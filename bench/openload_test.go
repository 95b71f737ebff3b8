package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestOpenLoadTimesEveryEvent(t *testing.T) {
	for _, tt := range timetables {
		for name, open := range map[string]opener{"bus": openBus, "hand": openHandPoll} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				s, err := tt.run(open)(500)
				require.NoError(t, err)
				require.Positive(t, s.ns)
				require.LessOrEqual(t, s.ns, s.tail)
				require.LessOrEqual(t, s.tail, s.far)
			})
		}
	}
}

// The first events warm up, and the handler of the fifth after them stalls for longer than it takes for all others to become due.
func TestOpenLoadCountsAStallForEveryEventThatWaits(t *testing.T) {
	const stall = 50 * time.Millisecond
	a := newArrivals(2, 20)
	c := &carrier{send: func(e eventbus.Event) error {
		if a.left == 16 {
			time.Sleep(stall)
		}
		return a.handle(t.Context(), e)
	}}
	late, err := timetable{burst: 1, period: 100 * time.Microsecond}.publish(c, a.left)
	require.NoError(t, err)
	require.NoError(t, a.await())
	require.Len(t, late, 22)
	require.Len(t, a.took, 20)
	for i, took := range a.took[4:] {
		require.GreaterOrEqual(t, took, float64(stall-time.Duration(i)*100*time.Microsecond), "event %d after the stall", i)
	}
}

func TestOpenLoadPublishesWholeBurstsAndTheRest(t *testing.T) {
	var due []time.Time
	c := &carrier{send: func(e eventbus.Event) error { due = append(due, e.Time); return nil }}
	_, err := timetable{burst: 3, period: time.Millisecond}.publish(c, 7)
	require.NoError(t, err)
	require.Len(t, due, 7)
	for i, at := range due {
		require.Equal(t, time.Duration(i/3)*time.Millisecond, at.Sub(due[0]), "event %d", i)
	}
}

func TestOpenLoadReportsAPublishThatFailed(t *testing.T) {
	refused := errors.New("refused")
	open := func([]handler) (*carrier, error) {
		return &carrier{
			send:  func(eventbus.Event) error { return refused },
			close: func() error { return nil },
		}, nil
	}
	_, err := timetables[0].run(open)(10)
	require.ErrorIs(t, err, refused)
}
