// Package lockrank holds the order in which the locks of the bus are taken. With the
// race detector on, a [Mutex] checks it: at each Lock, and every 16th time for the locks
// that publishes take. Without the race detector a Mutex is a sync.Mutex.
package lockrank

// A Rank is a lock's place in the order. A goroutine takes locks in ascending
// order only, and of the locks of one rank only one at a time.
type Rank uint8

// The locks of the bus, outermost first. docs/design.md says what each guards.
const (
	_         Rank = iota
	LifeCycle      // Bus.mu
	Pulse          // the timer of a bus
	Table          // the table of subscriptions
	Admission      // the lists of all queues of all buses, and the wait-for graph
	Buffer         // the chunks and accounts of one queue
)
