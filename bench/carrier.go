package main

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A handler is what every side calls for an event. All sides of a case get the same func values.
type handler = func(context.Context, eventbus.Event) error

// A carrier takes events from publishers to handlers: the bus, a loop written by hand, or a peer.
type carrier struct {
	// publish sends n copies of template from the goroutine that calls it. The loop is the carrier's, so that each
	// pays for its own call and for nothing else.
	publish func(n int) error

	// send publishes e, where events differ. Peers have none.
	send func(e eventbus.Event) error

	// settle, where events can get lost, is called after the last publish returned and returns when each event has
	// been handled or lost. It is nil where every event must arrive.
	settle func() error

	// close ends the carrier's goroutines and returns when they have ended.
	close func() error
}

// An opener starts a carrier that calls handlers.
type opener func(handlers []handler) (*carrier, error)

// template is the event that publishers send: 72 bytes, stamped once, since reading the clock would cost as much as the
// channel. Only tests change it.
var template = eventbus.Event{
	Type:   eventbus.CandleUpdate,
	Data:   &candle{Open: 1, High: 3, Low: 1, Close: 2, Volume: 10},
	Source: "bench",
	Time:   time.Now(),
}

// A candle is what a market data event carries: 64 bytes.
type candle struct {
	Open, High, Low, Close, Volume float64
	Trades, First, Last            int64
}

// The capacities of the bus's queues by default, which the channels by hand have too.
const (
	dataCapacity   = 1000
	signalCapacity = 100
	orderCapacity  = 50
)
