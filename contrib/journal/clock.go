package journal

import (
	"sync/atomic"
	"time"
)

// A Clock shows the time of the data that is replayed: the Time of the event from outside
// whose handlers were called last. What its handlers publish does not move it. Make one with
// [NewClock] and give it to the bus and to [Replay]:
//
//	clock := journal.NewClock()
//	bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithClock(clock.Now))
//	replayed, err := journal.Replay(ctx, bus, path, journal.WithReplayClock(clock))
//
// Handlers that take the time from it, and not from time.Now, do on each replay what they
// did before. Before the first event it shows the zero time.
type Clock struct{ ns atomic.Int64 } // since 1970; 0 for the zero time

// NewClock returns a clock that shows the zero time.
func NewClock() *Clock { return new(Clock) }

// Now returns what the clock shows, in UTC. It may be called concurrently.
func (c *Clock) Now() time.Time { return timeOf(c.ns.Load()) }
