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
	a.remember(sentOrder{Order: o, filled: filled, resumed: true, arrived: lastArrival(time.Now())}) // no other process sends it now
}

// reconcile asks about each order that works, and tells what the bus does not know of it. One of an earlier run that still
// works is cancelled: its limit is of a market that nobody has watched since. What was not filled of it waits for the
// strategy's next signal.
func (a *Account) reconcile(ctx context.Context, bus *eventbus.Bus) (err error) {
	orders, onWay := a.working()
	for _, o := range orders {
		if err == nil {
			err = a.reconcileOrder(ctx, bus, o, a.clientID(o.Order) == onWay)
		}
	}
	return err
}

func (a *Account) reconcileOrder(ctx context.Context, bus *eventbus.Bus, o sentOrder, onWay bool) error {
	state, err := a.ask(ctx, o)
	switch {
	case err != nil:
		return err
	case state == nil && onWay: // OnOrder will hear whether it has arrived
		return nil
	case state == nil:
		return a.refused(ctx, bus, o.Order, "the exchange does not know it")
	}
	for _, r := range state.Reports {
		if err := a.tell(ctx, bus, r); err != nil {
			return err
		}
	}
	if o.resumed && (state.Status == wire.New || state.Status == wire.Partially) {
		return a.cancel(ctx, o)
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

// ask returns nil for an order that the exchange does not know and that can no longer arrive.
func (a *Account) ask(ctx context.Context, o sentOrder) (*wire.Order, error) {
	for {
		last := !time.Now().Before(o.arrived)
		var state wire.Order
		err := client.Call(ctx, http.MethodGet, a.URL+"/api/v3/order", url.Values{"origClientOrderId": {a.clientID(o.Order)}}, &state)
		refused := client.AsRefusal(err)
		switch {
		case err == nil:
			return &state, nil
		case refused == nil || refused.Code != wire.UnknownOrder:
			return nil, err
		case last:
			return nil, nil
		}
		time.Sleep(time.Until(o.arrived)) // orderWindow at most
	}
}
