package chaos

import (
	"errors"
	"time"

	"github.com/eventbus-go/eventbus"
)

// lawful says that the bus keeps the law of publishing as a whole.
const lawful = true

func withdrawn(q eventbus.QueueStats) uint64 { return q.Withdrawn }

func isClosed(s eventbus.Stats) bool { return s.Closed }

func isUnhandled(err error) bool { return errors.Is(err, eventbus.ErrUnhandled) }

func withClock(now func() time.Time) []eventbus.Option {
	return []eventbus.Option{eventbus.WithClock(now)}
}

func refusedIn(e *eventbus.ShutdownError) int { return e.Refused }

func handedOver(e *eventbus.ShutdownError) bool { return e.HandedOver }

func interruptedIn(e *eventbus.ShutdownError) (list []interrupted) {
	for _, i := range e.Interrupted {
		list = append(list, interrupted{i.Event, i.Queue, i.Handlers})
	}
	return list
}
