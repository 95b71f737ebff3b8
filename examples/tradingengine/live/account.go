package live

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/client"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// sendTimeout is how long an order is sent again and again when no answer comes.
const sendTimeout = 3 * time.Second

// Account is an engine.Venue: it sends orders over HTTP and hears of them over a websocket, the user stream. An order
// that got no answer is sent again under the same client id, which the exchange takes once.
type Account struct {
	URL  string
	Name string          // client ids begin with it; no two accounts may have the same
	Lot  decimal.Decimal // orders are for multiples of it
	Log  *slog.Logger

	heard int // the sequence of the last report, 0 if that is not known; only Run's goroutine touches it

	// Orders come on the order queue, quotes on the data queue and reports on a goroutine of Run: mu keeps them apart.
	// It is not held during a call or a publish.
	mu struct {
		sync.Mutex
		quotes map[string]engine.Quote
		sent   map[string]sentOrder // by client id; an order stays, so that a late report finds it
		onWay  string               // the client id of the order that has no answer yet
		orders Orders
	}
}

// A sentOrder is an order and what the bus has been told of it.
type sentOrder struct {
	engine.Order
	filled  decimal.Decimal // so far
	ended   bool
	resumed bool      // an earlier run sent it, or was about to
	arrived time.Time // by then it has arrived or never will, where no answer told
}

// NewAccount does not connect.
func NewAccount(url, name string, lot decimal.Decimal, log *slog.Logger) *Account {
	a := &Account{URL: url, Name: name, Lot: lot, Log: log}
	a.mu.quotes, a.mu.sent = map[string]engine.Quote{}, map[string]sentOrder{}
	return a
}

// OnQuote hears QuoteChanged: an order's price is that of the last quote.
func (a *Account) OnQuote(_ context.Context, q engine.Quote) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.quotes[q.Symbol] = q
	return nil
}

// OnOpening is for brokers that fill on paper.
func (a *Account) OnOpening(context.Context, *eventbus.Bus, engine.Opening) error { return nil }

// Run hears the user stream until ctx ends. A new connection goes on after the last report that was heard. An exchange that has
// begun anew is recognized by having told fewer, and an order that it does not know has ended.
func (a *Account) Run(ctx context.Context, bus *eventbus.Bus) error {
	return client.Again(ctx, a.Log, "user stream", func() (bool, error) {
		before := a.heard
		err := a.connect(ctx, bus)
		return a.heard > before, err
	})
}

// connect asks about the orders that work when it does not know which report was the last: nothing of theirs is missed
// then, because the stream begins before it asks, and nothing is told twice, because a report says how much is filled in all.
func (a *Account) connect(ctx context.Context, bus *eventbus.Bus) error {
	address := a.URL + "/ws/user"
	if a.heard > 0 {
		address = fmt.Sprintf("%s?after=%d", address, a.heard)
	}
	conn, answer, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		if answer != nil && answer.StatusCode == http.StatusBadRequest {
			a.heard = 0 // it has not told so many: it has begun anew
		}
		return err
	}
	defer conn.CloseNow()
	if a.heard == 0 {
		if err := a.reconcile(ctx, bus); err != nil {
			return err
		}
	}
	for {
		var r wire.Report
		if err := wsjson.Read(ctx, conn, &r); err != nil {
			return err
		}
		if a.heard > 0 && r.Sequence != a.heard+1 {
			err := fmt.Errorf("report %d follows %d: want no gap", r.Sequence, a.heard)
			a.heard = 0
			return err
		}
		if err := a.tell(ctx, bus, r); err != nil {
			return err
		}
		a.heard = r.Sequence
	}
}

// tell publishes what a report says of an order of ours, if that is new.
func (a *Account) tell(ctx context.Context, bus *eventbus.Bus, r wire.Report) (err error) {
	a.mu.Lock()
	o, ours := a.mu.sent[r.ClientID]
	a.mu.Unlock()
	at := time.UnixMilli(r.At).UTC()
	f := engine.Fill{Order: o.Order, Time: at, Price: r.LastPrice, Quantity: r.LastQuantity, Partial: r.Status == wire.Partially}
	switch {
	case !ours || o.ended:
		return nil
	case r.Happened == wire.Canceled:
		err = engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o.Order, Time: at, Reason: "cancelled"})
	case r.Happened != wire.Traded || !r.Filled.GreaterThan(o.filled):
		return nil
	case f.Partial:
		err = engine.OrderPartiallyFilled.Publish(ctx, bus, f)
	default:
		err = engine.OrderFilled.Publish(ctx, bus, f)
	}
	if err == nil {
		o.filled, o.ended = r.Filled, r.Status != wire.Partially
		a.remember(o)
	}
	return err
}
