package eventbustest

import (
	"context"
	"fmt"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// LogEvents logs to the test each event of the given types, or of all if none is
// given, that the bus handles, on a line of its own: the queue, the event's number
// there, the type, the payload with its type, and the source.
//
//	eventbustest: data   #17  candle_closed  main.Candle {Symbol:"BTCUSDT" Close:101}  (from feed)
//
// The number is [eventbus.Delivery].Seq, and counts the events of all types. Of a
// long payload the first 200 characters are logged. The lines are there whatever
// [WithLogLevel] says, and with a logger of the test's own. Nothing is logged of
// events that no handler gets, since they were dropped, evicted, conflated or have
// expired, and nothing after the end of the test.
//
// The log is a tap, as of [eventbus.Bus.SubscribeAll], and the first to be called:
// an event is logged before the code under test can react to it. The bus's
// middleware and its [eventbus.HandlerStats] see the tap; without LogEvents there
// is none. It reads the payload in full, behind pointers too: the race detector
// tells if another goroutine changes it meanwhile.
//
// Given several times, the types add up. New ends the test if a type is empty.
func LogEvents(types ...eventbus.EventType) Option {
	return func(c *config) error {
		if i := slices.Index(types, ""); i >= 0 {
			return fmt.Errorf("LogEvents: event type %d is empty", i)
		}
		c.log.types = append(c.log.types, types...)
		c.log.all = c.log.all || len(types) == 0
		return nil
	}
}

// An eventLog says which events are logged. The zero eventLog logs none.
type eventLog struct {
	all   bool
	types []eventbus.EventType
}

// attach logs the events of bus to out from now on, if any are to be logged.
func (l eventLog) attach(bus *eventbus.Bus, out *output) {
	if !l.all && len(l.types) == 0 {
		return
	}
	bus.SubscribeAll(eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		_, err := fmt.Fprintf(out, "eventbustest: %-6v #%d  %s\n", d.Queue, d.Seq, oneLine(describe(e)))
		return err
	}), eventbus.WithName("eventbustest.LogEvents"), eventbus.Where(func(e eventbus.Event) bool {
		return l.all || slices.Contains(l.types, e.Type)
	}))
}
