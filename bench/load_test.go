package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// fakeCarrier hands every event to call in the publisher's goroutine.
func fakeCarrier(settle func() error, call func(h handler, i int) error) opener {
	return func(hs []handler) (*carrier, error) {
		var published atomic.Int64
		return &carrier{
			publish: func(n int) error {
				for range n {
					i := int(published.Add(1)) - 1
					for _, h := range hs {
						if err := call(h, i); err != nil {
							return err
						}
					}
				}
				return nil
			},
			settle: settle,
			close:  func() error { return nil },
		}, nil
	}
}

func deliver(h handler) error { return h(context.Background(), template) }

func TestLoadReportsAPublishThatFailed(t *testing.T) {
	refused := errors.New("refused")
	_, err := load{publishers: 1, handlers: 1}.run(fakeCarrier(nil, func(h handler, i int) error {
		if i == 70 {
			return refused
		}
		return deliver(h)
	}))(100)
	require.ErrorIs(t, err, refused)
}

func TestLoadReportsACallTooMany(t *testing.T) {
	_, err := load{publishers: 1, handlers: 1}.run(fakeCarrier(nil, func(h handler, i int) error {
		if i == 42 {
			_ = deliver(h)
		}
		return deliver(h)
	}))(100)
	require.ErrorContains(t, err, "called 101 times for 100 events")
}

func TestLoadCountsWhatALossyCarrierLost(t *testing.T) {
	s, err := load{publishers: 1, handlers: 3}.run(fakeCarrier(func() error { return nil }, func(h handler, i int) error {
		if i >= 10 && i%10 == 0 { // the first 10 events warm up
			return nil
		}
		return deliver(h)
	}))(100)
	require.NoError(t, err)
	require.Equal(t, 30, s.lost)
}

func TestLoadSharesEventsAmongPublishers(t *testing.T) {
	for _, publishers := range []int{1, 3, 4} {
		shares := make(chan int, publishers)
		c := &carrier{publish: func(n int) error { shares <- n; return nil }}
		p := load{publishers: publishers}.prepare(c, 10)
		p.release()
		sum := 0
		for range publishers {
			n := <-shares
			require.InDelta(t, 10/publishers, n, 1)
			sum += n
		}
		p.wait()
		require.Equal(t, 10, sum)
	}
}

func TestExpectSpreadsEventsOverTheTallies(t *testing.T) {
	ts := newTallies(4)
	expect(ts, 6, true)
	require.Equal(t, []int{2, 2, 1, 1}, wants(ts))
	expect(ts, 2, true)
	require.Equal(t, []int{1, 1, 0, 0}, wants(ts))
	<-ts[3].done
	expect(ts, 6, false)
	require.Equal(t, []int{6, 6, 6, 6}, wants(ts))
}

func wants(ts []tally) (n []int) {
	for i := range ts {
		n = append(n, ts[i].want)
	}
	return n
}

func TestBalancedNamesTheQueueThatIsNot(t *testing.T) {
	var stats eventbus.Stats
	require.NoError(t, balanced(stats))
	stats.Queues[eventbus.SignalQueue] = eventbus.QueueStats{Queue: eventbus.SignalQueue, Accepted: 3, Handled: 2}
	require.ErrorContains(t, balanced(stats), "signal queue")
	stats.Queues[eventbus.SignalQueue] = eventbus.QueueStats{Queue: eventbus.SignalQueue, Accepted: 3, Handled: 3, Failed: 1}
	require.ErrorContains(t, balanced(stats), "signal queue")
}
