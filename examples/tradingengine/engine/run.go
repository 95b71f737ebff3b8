package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
)

const (
	// drainTimeout is how long the handlers may take to end after the last event. They take microseconds.
	drainTimeout = 5 * time.Second
	// venueTimeout is how long a venue may take over the order that is on its way, and after that to tell that it has
	// cancelled all orders. It is longer than a broker may try to send one.
	venueTimeout = 10 * time.Second
)

// Run trades until the feed or ctx ends. Then no order is placed or sent any more, a venue's working orders are cancelled, the
// venue tells the end of each, and the bus is drained. No handler runs any more when Run returns. It returns the cause
// of ctx's end if that came first. A handler's failure ends the run, and is returned also when it comes after ctx's end: a
// result without that handler's part would be wrong.
func (e *Engine) Run(ctx context.Context) error {
	ctx, e.fail = context.WithCancelCause(ctx)
	defer e.fail(nil)
	whole := context.WithoutCancel(ctx) // the bus outlives ctx: the handlers still finish what has begun
	venue, _ := e.config.Broker.(Venue)
	if venue != nil { // a restored run has ended with the end of trading
		if err := TradingChanged.Publish(whole, e.bus, Trading{Allowed: true}); err != nil {
			return err
		}
	}
	if !e.config.Stepped {
		if err := e.bus.Start(whole); err != nil {
			return err
		}
	}
	leaveVenue := e.runVenue(whole, venue)
	played := e.config.Feed.Run(ctx, e.bus)
	left := leaveVenue()
	limit, cancel := context.WithTimeout(whole, drainTimeout)
	defer cancel()
	err := errors.Join(left, e.bus.Shutdown(limit))
	if failed := e.failed.Load(); failed != nil {
		played = failed
	}
	if err != nil {
		return errors.Join(played, err)
	}
	return played
}

// Restore brings the components to where a recorded run has left them, before Run: play steps the bus through what came from
// outside in that run. In the broker's place, answered hears the orders that the components place once more, and publishes
// what the broker published in its handler then; nothing is sent. So it is for a Venue, which publishes from Run or OnOrder: what
// a broker publishes from OnOpening, such as PaperBroker, is missing. Whoever has subscribed before Restore hears the whole
// history again. A handler's failure is returned.
func (e *Engine) Restore(ctx context.Context, answered func(context.Context, *eventbus.Bus, Order) error,
	play func(context.Context, *eventbus.Bus) error) error {
	ctx, e.fail = context.WithCancelCause(ctx)
	defer e.fail(nil)
	e.broker.Unsubscribe()
	recorded := hear(e, OrderPlaced, e, "Restore", answered)
	err := play(ctx, e.bus)
	recorded.Unsubscribe()
	e.connectBroker()
	if failed := e.failed.Load(); failed != nil {
		return failed
	}
	return err
}

// Working are the orders that are placed, and neither filled nor cancelled.
func (e *Engine) Working() []Order { return e.orders.atWork() }

// runVenue keeps the broker's connection, if it has one, and returns what ends it in order.
func (e *Engine) runVenue(ctx context.Context, venue Venue) (leave func() error) {
	if venue == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := venue.Run(ctx, e.bus); err != nil && ctx.Err() == nil {
			e.fail(fmt.Errorf("engine: the venue: %w", err))
		}
	}()
	return func() error {
		err := e.cancelOrders(ctx, venue)
		cancel()
		<-ended
		return err
	}
}

// cancelOrders returns when the venue has told the end of every order. The venue is asked for that also when an order is stuck
// on its way: the others work.
func (e *Engine) cancelOrders(ctx context.Context, venue Venue) error {
	e.ending.Store(true)
	limit, cancel := context.WithTimeout(ctx, venueTimeout)
	defer cancel()
	err := errors.Join(TradingChanged.Publish(limit, e.bus, Trading{}), e.bus.Flush(limit))
	if err != nil {
		err = fmt.Errorf("engine: the end of trading, and an order on its way: %w", err)
	}
	if len(e.orders.atWork()) == 0 {
		return err
	}
	limit, cancel = context.WithTimeout(ctx, venueTimeout)
	defer cancel()
	if failed := venue.CancelAll(limit); failed != nil {
		return errors.Join(err, fmt.Errorf("engine: cancel all orders: %w", failed))
	}
	select {
	case <-e.orders.rest():
		return err
	case <-limit.Done():
		return errors.Join(err, fmt.Errorf("engine: the venue has not told the end of %d orders within %v", len(e.orders.atWork()), venueTimeout))
	}
}

// Counts is what came of the signals.
type Counts struct {
	Signals   int
	TooDear   int // buy signals whose close the cash did not cover a lot at
	Vetoed    int // orders that a risk check objected to; they were not placed
	Orders    int // placed
	Cancelled int // or rejected by the broker, in whole or for the rest
}
