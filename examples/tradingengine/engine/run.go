package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
)

const (
	// drainTimeout is how long the handlers may take to end after the last event. They take microseconds, and an order
	// that is on its way to a venue one round trip.
	drainTimeout = 5 * time.Second
	// venueTimeout is how long a venue may take to tell that it has cancelled all orders.
	venueTimeout = 5 * time.Second
)

// Run trades until the feed or ctx ends. Then no new order is placed, a venue's working orders are cancelled, the
// venue tells the end of each, and the bus is drained. No handler runs any more when Run returns. It returns the cause
// of ctx's end if that came first, and a handler's failure, which ends the run: a result without that handler's part
// would be wrong.
func (e *Engine) Run(ctx context.Context) error {
	ctx, e.fail = context.WithCancelCause(ctx)
	defer e.fail(nil)
	whole := context.WithoutCancel(ctx) // the bus outlives ctx: the handlers still finish what has begun
	if !e.config.Stepped {
		if err := e.bus.Start(whole); err != nil {
			return err
		}
	}
	leaveVenue := e.runVenue(whole)
	played := e.config.Feed.Run(ctx, e.bus)
	left := leaveVenue()
	limit, cancel := context.WithTimeout(whole, drainTimeout)
	defer cancel()
	err := errors.Join(left, e.bus.Shutdown(limit))
	var failed *eventbus.HandlerError
	switch {
	case err != nil:
		return errors.Join(played, err)
	case errors.As(context.Cause(ctx), &failed):
		return failed
	}
	return played
}

// runVenue keeps the broker's connection, if it has one, and returns what ends it in order.
func (e *Engine) runVenue(ctx context.Context) (leave func() error) {
	venue, ok := e.config.Broker.(Venue)
	if !ok {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := venue.Run(ctx, e.bus)
		if err != nil && ctx.Err() == nil {
			e.fail(fmt.Errorf("engine: the venue: %w", err))
		}
		ended <- err
	}()
	return func() error {
		err := e.cancelOrders(ctx, venue)
		cancel()
		<-ended
		return err
	}
}

// cancelOrders returns when the venue has told the end of every order.
func (e *Engine) cancelOrders(ctx context.Context, venue Venue) error {
	ctx, cancel := context.WithTimeout(ctx, venueTimeout)
	defer cancel()
	atRest := e.orders.halt()
	if err := e.bus.Flush(ctx); err != nil { // an order may be on its way
		return fmt.Errorf("engine: the orders on their way: %w", err)
	}
	if e.orders.atWork() == 0 {
		return nil
	}
	if err := venue.CancelAll(ctx); err != nil {
		return fmt.Errorf("engine: cancel all orders: %w", err)
	}
	select {
	case <-atRest:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("engine: the venue has not told the end of %d orders within %v", e.orders.atWork(), venueTimeout)
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
