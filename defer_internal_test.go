package eventbus

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Which event earns a place beyond the bound of the deferred list. That it is full
// by then takes a Stop while handlers wait, which is hard to time from outside.
func TestTheFirstEventThatAHandlerDefersHasFreedASlot(t *testing.T) {
	three := quietBus(t, OrderQueue, QueueConfig{Capacity: 1})
	one, err := New(WithSingleThread())
	require.NoError(t, err)
	calling := mark(1<<markShift | calling)
	for name, c := range map[string]struct {
		by, to *queue // an event of by is at hand
		again  bool   // and its handlers have deferred one
		want   bool
	}{
		"own queue":                      {by: three.queues[OrderQueue], to: three.queues[OrderQueue], want: true},
		"own queue, again":               {by: three.queues[OrderQueue], to: three.queues[OrderQueue], again: true},
		"around a cycle":                 {by: three.queues[DataQueue], to: three.queues[OrderQueue], want: true},
		"around a cycle, again":          {by: three.queues[DataQueue], to: three.queues[OrderQueue], again: true},
		"single thread":                  {by: one.queues[OrderQueue], to: one.queues[OrderQueue], want: true},
		"single thread, again":           {by: one.queues[OrderQueue], to: one.queues[OrderQueue], again: true},
		"single thread, another's event": {by: one.queues[DataQueue], to: one.queues[OrderQueue]},
		"the queue of another bus":       {by: one.queues[OrderQueue], to: three.queues[OrderQueue]},
	} {
		t.Run(name, func(t *testing.T) {
			before := mark(c.by.position.Swap(uint64(calling)))
			defer c.by.position.Store(uint64(before))
			lineMu.Lock()
			defer lineMu.Unlock()
			p := c.by.proc
			p.deferredAt, c.to.deferredAt = 0, 0
			if c.again {
				p.deferredAt, c.to.deferredAt = p.begun(), c.to.mark().begun()
			}
			require.Equal(t, c.want, p.hasFreedLocked(c.to))
		})
	}
}
