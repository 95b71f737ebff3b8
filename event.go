package eventbus

import "time"

// An EventType names what happened. Handlers subscribe to types. Programs
// define their own beside the ones below; the empty type is invalid.
type EventType string

// The event types of a trading engine. The bus gives none of them a meaning
// of its own, and ties none of them to a queue.
const (
	CandleUpdate         EventType = "candle_update"          // the current candle changed
	CandleClosed         EventType = "candle_closed"          // a candle is complete
	SignalGenerated      EventType = "signal_generated"       // a strategy wants to trade
	OrderPlaced          EventType = "order_placed"           // an order went to the exchange
	OrderFilled          EventType = "order_filled"           // an order was executed in full
	OrderPartiallyFilled EventType = "order_partially_filled" // an order was executed in part
	OrderUpdate          EventType = "order_update"           // any other change of an order
	PositionOpened       EventType = "position_opened"        // a position was opened
	PositionClosed       EventType = "position_closed"        // a position was closed
)

// An Event is what travels through a [Bus], by value. The bus never writes to
// one, apart from the Time that a queue with a MaxAge needs. Data is shared by the
// publisher and all handlers, so none of them may change what it refers to once
// the event is published.
type Event struct {
	Type   EventType // what happened; must not be empty
	Data   any       // the payload, nil if the type says it all
	Source string    // who published it, for logs and handlers
	Time   time.Time // when it happened; see QueueConfig.MaxAge for the zero value
}

// NewEvent returns an event whose Time is now.
func NewEvent(t EventType, data any, source string) Event {
	return Event{Type: t, Data: data, Source: source, Time: time.Now()}
}
