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

// A pace is how a publisher passes the time before an event, and until that has been handled. It is the same for every side.
type pace struct {
	name  string
	pause func(*rand.Rand)
	await func(took <-chan time.Duration) time.Duration
}

// sleepy lets threads go to sleep between events.
var sleepy = pace{
	name: "sleeps for 0.5 to 1.5 ms",
	pause: func(r *rand.Rand) {
		time.Sleep(500*time.Microsecond + time.Duration(r.Int64N(int64(time.Millisecond))))
	},
	await: func(took <-chan time.Duration) time.Duration { return <-took },
}

// busy keeps its core, as a feed handler that polls its socket. If it waited for the event, the processor would run on that
// core at once, and nobody would have to be woken.
var busy = pace{
	name: "polls for 20 µs",
	pause: func(*rand.Rand) {
		for end := time.Now().Add(20 * time.Microsecond); time.Now().Before(end); {
		}
	},
	await: func(took <-chan time.Duration) time.Duration {
		for len(took) == 0 {
		}
		return <-took
	},
}

// runLatency returns a runner that sends one event at a time into an idle carrier and times each from just before its
// publish to inside its handler. The sample's ns is the median of the round.
func runLatency(open opener, p pace) runner {
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
			if d := p.await(took); d >= 0 {
				return d, nil
			}
			return 0, fmt.Errorf("an event did not arrive within %v", patience)
		}
		s, err := timeSingly(send, p, events)
		return s, errors.Join(err, c.close())
	}
}

// timeSingly calls send for every event after a pause.
func timeSingly(send func() (time.Duration, error), p pace, events int) (sample, error) {
	random := rand.New(rand.NewPCG(1, 2))
	for range max(events/10, 1) {
		p.pause(random)
		if _, err := send(); err != nil {
			return sample{}, err
		}
	}
	runtime.GC()
	took := make([]float64, 0, events)
	for range events {
		p.pause(random)
		d, err := send()
		if err != nil {
			return sample{}, err
		}
		took = append(took, float64(d.Nanoseconds()))
	}
	return sample{ns: median(took), tail: quantile(took, 0.99)}, nil
}
