package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// OnOrder returns when the exchange has answered, so that an order is known there before the next is sent.
func (a *Account) OnOrder(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
	id, query := a.prepare(o)
	if query == nil {
		return a.ended(ctx, bus, o, "there is no quote yet, or the budget does not cover a lot at it")
	}
	tries := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		tries++
		err := call(ctx, http.MethodPost, a.URL+"/api/v3/order", query, nil)
		var refused *refusal
		if errors.As(err, &refused) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(sendTimeout), backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
	var refused *refusal
	rejected := errors.As(err, &refused)
	a.mu.Lock()
	a.mu.resends += tries - 1
	if rejected {
		a.mu.rejects++
	}
	a.mu.Unlock()
	switch {
	case rejected:
		return a.ended(ctx, bus, o, refused.answer.Message)
	case err != nil:
		return fmt.Errorf("order %s: whether the exchange has it is not known: %w", id, err)
	}
	return nil
}

// prepare remembers the order before it is sent, because a report can come before the answer.
func (a *Account) prepare(o engine.Order) (id string, query url.Values) {
	a.mu.Lock()
	defer a.mu.Unlock()
	quote, known := a.mu.quotes[o.Symbol]
	price, quantity := quote.Bid, o.Quantity
	if o.Side == engine.Buy {
		price = quote.Ask
	}
	if known && o.Side == engine.Buy {
		lots, _ := o.Budget.MustQuoRem(price.Mul(a.Lot))
		quantity = decimal.Min(quantity, lots.Mul(a.Lot))
	}
	if !known || quantity.IsZero() {
		return "", nil
	}
	id = fmt.Sprintf("%s-%d", a.Name, o.ID)
	a.mu.sent[id] = o
	return id, url.Values{"symbol": {o.Symbol}, "side": {string(o.Side)}, "quantity": {quantity.String()},
		"price": {price.String()}, "newClientOrderId": {id}}
}

func (a *Account) ended(ctx context.Context, bus *eventbus.Bus, o engine.Order, reason string) error {
	return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Time: o.Time, Reason: reason})
}

// CancelAll asks for the end of all working orders.
func (a *Account) CancelAll(ctx context.Context) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, call(ctx, http.MethodDelete, a.URL+"/api/v3/openOrders", nil, nil)
	}, backoff.WithMaxElapsedTime(sendTimeout), backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
	return err
}

// Orders is what became of the orders that were sent.
type Orders struct{ Sent, Rejected, Resent int }

// Orders may be called when the engine has run.
func (a *Account) Orders() Orders {
	return Orders{Sent: len(a.mu.sent), Rejected: a.mu.rejects, Resent: a.mu.resends}
}
