package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

// runLatency returns a runner that sends one event at a time into an idle carrier and times each from just before its
// publish to inside its handler. The sample's ns is the median of the round.
func runLatency(open opener) runner {
	return func(events int) (sample, error) {
		var sent time.Time // written before the publish, read in the handler
		took := make(chan time.Duration, 2)
		c, err := open([]handler{func(context.Context, eventbus.Event) error {
			took <- time.Since(sent)
			return nil
		}})
		if err != nil {
			return sample{}, err
		}
		stuck := time.AfterFunc(patience, func() { took <- -1 })
		defer stuck.Stop()
		send := func() (time.Duration, error) {
			sent = time.Now()
			if err := c.publish(1); err != nil {
				return 0, err
			}
			if d := <-took; d >= 0 {
				return d, nil
			}
			return 0, fmt.Errorf("an event did not arrive within %v", patience)
		}
		s, err := timeSingly(send, events)
		return s, errors.Join(err, c.close())
	}
}

// timeSingly calls send for every event after a pause of 0.5 to 1.5 ms, long enough for threads to go to sleep. The
// pauses are the same for every side.
func timeSingly(send func() (time.Duration, error), events int) (sample, error) {
	pauses := rand.New(rand.NewPCG(1, 2))
	pause := func() {
		time.Sleep(500*time.Microsecond + time.Duration(pauses.Int64N(int64(time.Millisecond))))
	}
	for range max(events/10, 1) {
		pause()
		if _, err := send(); err != nil {
			return sample{}, err
		}
	}
	runtime.GC()
	took := make([]float64, 0, events)
	for range events {
		pause()
		d, err := send()
		if err != nil {
			return sample{}, err
		}
		took = append(took, float64(d.Nanoseconds()))
	}
	return sample{ns: median(took), tail: quantile(took, 0.99)}, nil
}
