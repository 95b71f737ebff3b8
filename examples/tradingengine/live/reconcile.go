package live

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/client"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// Resume makes Run ask about an order that an earlier run has sent, or was about to send when it died; filled is how much
// of it the bus has been told of. It is never sent again. Call it before Run.
func (a *Account) Resume(o engine.Order, filled decimal.Decimal) {
	a.remember(sentOrder{Order: o, filled: filled, resumed: true})
}

// reconcile asks about each order that works, and tells what the bus does not know of it. One of an earlier run that still
// works is cancelled: its limit is of a market that nobody has watched since. What was not filled of it waits for the
// strategy's next signal.
func (a *Account) reconcile(ctx context.Context, bus *eventbus.Bus) error {
	orders, onWay := a.working()
	for _, o := range orders {
		arrived := time.Time{}
		if o.resumed { // by the time that this run has begun, no other process was there to send it
			arrived = a.began.Add(orderWindow + time.Millisecond)
		}
		state, err := a.ask(ctx, o.Order, arrived)
		switch {
		case err != nil:
			return err
		case state == nil && a.clientID(o.Order) == onWay: // OnOrder will hear whether it has arrived
			continue
		case state == nil:
			if err := a.refused(ctx, bus, o.Order, "the exchange does not know it"); err != nil {
				return err
			}
			o.ended = true
			a.remember(o)
			continue
		}
		for _, r := range state.Reports {
			if err := a.tell(ctx, bus, r); err != nil {
				return err
			}
		}
		if o.resumed && (state.Status == wire.New || state.Status == wire.Partially) {
			if err := a.cancel(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancel asks for the end of an order, which the stream tells. It may have ended meanwhile: then that is refused.
func (a *Account) cancel(ctx context.Context, o sentOrder) error {
	err := client.Call(ctx, http.MethodDelete, a.URL+"/api/v3/order", url.Values{"origClientOrderId": {a.clientID(o.Order)}}, nil)
	if client.AsRefusal(err) != nil {
		return nil
	}
	return err
}

// working returns the client id of the order that is on its way, too.
func (a *Account) working() (orders []sentOrder, onWay string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.mu.sent {
		if !o.ended {
			orders = append(orders, o)
		}
	}
	slices.SortFunc(orders, func(a, b sentOrder) int { return a.ID - b.ID })
	return orders, a.mu.onWay
}

// ask returns nil for an order that the exchange does not know and that can no longer arrive, because arrived has passed.
func (a *Account) ask(ctx context.Context, o engine.Order, arrived time.Time) (*wire.Order, error) {
	for {
		last := !time.Now().Before(arrived)
		var state wire.Order
		err := client.Call(ctx, http.MethodGet, a.URL+"/api/v3/order", url.Values{"origClientOrderId": {a.clientID(o)}}, &state)
		refused := client.AsRefusal(err)
		switch {
		case err == nil:
			return &state, nil
		case refused == nil || refused.Code != wire.UnknownOrder:
			return nil, err
		case last:
			return nil, nil
		}
		select {
		case <-time.After(time.Until(arrived)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
