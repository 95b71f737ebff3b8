package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/client"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// orderWindow is how long an order may be on its way. The exchange refuses a later one: what it does not know by then, it
// will never know. The exchange compares its own clock with the time at which the order was sent, so this assumes that the
// two clocks agree.
const orderWindow = client.Timeout

// lastArrival is when an order that was sent at a time is late. Times travel in whole milliseconds.
func lastArrival(sent time.Time) time.Time { return sent.Add(orderWindow + time.Millisecond) }

// OnOrder returns when the exchange has answered, so that an order is known there before the next is sent. A refusal is an
// answer to one try alone: an earlier one, of which no answer came, may have arrived, or may do so yet. So the exchange is
// asked about the order then, and one that it knows works on.
func (a *Account) OnOrder(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
	query := a.prepare(o)
	if query == nil {
		return a.refused(ctx, bus, o, "there is no quote yet, or the budget does not cover a lot at it")
	}
	sent, tries := sentOrder{Order: o}, 0
	err := client.Retry(ctx, sendTimeout, func() error {
		tries++
		now := time.Now()
		query.Set("timestamp", strconv.FormatInt(wire.Millis(now), 10))
		err := client.Call(ctx, http.MethodPost, a.URL+"/api/v3/order", query, nil)
		if client.AsRefusal(err) == nil {
			sent.arrived = lastArrival(now)
		}
		return err
	})
	refused := client.AsRefusal(err)
	if refused != nil {
		err = client.Retry(ctx, sendTimeout, func() error {
			state, err := a.ask(ctx, sent)
			if state != nil {
				refused = nil
			}
			return err
		})
	}
	a.mu.Lock()
	a.mu.orders.Resent += tries - 1
	if err == nil {
		a.mu.onWay = ""
	}
	if refused != nil {
		a.mu.orders.Rejected++
	}
	a.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("order %s: whether the exchange has it is not known: %w", a.clientID(o), err)
	case refused != nil:
		return a.refused(ctx, bus, o, refused.Message)
	}
	return nil
}

// prepare remembers the order before it is sent, because a report can come before the answer.
func (a *Account) prepare(o engine.Order) (query url.Values) {
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
		return nil
	}
	a.mu.onWay = a.clientID(o)
	a.mu.sent[a.mu.onWay] = sentOrder{Order: o}
	a.mu.orders.Sent++
	return url.Values{"symbol": {o.Symbol}, "side": {string(o.Side)}, "quantity": {quantity.String()}, "price": {price.String()},
		"newClientOrderId": {a.clientID(o)}, "recvWindow": {strconv.FormatInt(orderWindow.Milliseconds(), 10)}}
}

func (a *Account) clientID(o engine.Order) string { return fmt.Sprintf("%s-%d", a.Name, o.ID) }

// remember keeps what has become of an order.
func (a *Account) remember(o sentOrder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.sent[a.clientID(o.Order)] = o
}

// refused tells that an order has ended without having been at the exchange, or is unknown there.
func (a *Account) refused(ctx context.Context, bus *eventbus.Bus, o engine.Order, reason string) error {
	a.remember(sentOrder{Order: o, ended: true})
	return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Time: o.Time, Reason: reason})
}

// CancelAll asks for the end of the orders that work, one after the other: others may trade on the same account.
// An order that got no answer at all can arrive behind it, until its window is over: OnOrder's error says that its fate is not known.
func (a *Account) CancelAll(ctx context.Context) (err error) {
	orders, _ := a.working()
	for _, o := range orders {
		err = errors.Join(err, client.Retry(ctx, sendTimeout, func() error { return a.cancel(ctx, o) }))
	}
	return err
}

// Orders is what became of the orders that this run has sent.
type Orders struct{ Sent, Rejected, Resent int }

// Orders may be called at any time.
func (a *Account) Orders() Orders {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.orders
}
