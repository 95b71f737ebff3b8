package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/wire"
)

// sendTimeout is how long an order is sent again and again when no answer comes.
const sendTimeout = 3 * time.Second

// Account is an engine.Venue: it sends orders over HTTP and hears of them over a websocket, the user stream. An order
// that got no answer is sent again under the same client id, which the exchange takes once.
type Account struct {
	URL  string
	Name string          // client ids begin with it; no two runs may have the same
	Lot  decimal.Decimal // orders are for multiples of it
	Log  *slog.Logger

	heard int // the sequence of the last report; only Run's goroutine touches it

	// Orders come on the order queue, quotes on the data queue and reports on a goroutine of Run: mu keeps them apart.
	// It is not held during a call or a publish.
	mu struct {
		sync.Mutex
		quotes   map[string]engine.Quote
		sent     map[string]engine.Order // by client id; an order stays, so that a late report finds it
		rejects  int
		resends  int
		tickTime []time.Duration // from the candle to the order, for each order
	}
}

// NewAccount does not connect.
func NewAccount(url, name string, lot decimal.Decimal, log *slog.Logger) *Account {
	a := &Account{URL: url, Name: name, Lot: lot, Log: log}
	a.mu.quotes, a.mu.sent = map[string]engine.Quote{}, map[string]engine.Order{}
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
	a.mu.tickTime = append(a.mu.tickTime, time.Since(o.Received))
	id = fmt.Sprintf("%s-%d", a.Name, o.ID)
	a.mu.sent[id] = o
	return id, url.Values{"symbol": {o.Symbol}, "side": {string(o.Side)}, "quantity": {quantity.String()},
		"price": {price.String()}, "newClientOrderId": {id}}
}

func (a *Account) ended(ctx context.Context, bus *eventbus.Bus, o engine.Order, reason string) error {
	return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Time: o.Time, Reason: reason})
}

// Run hears the user stream until ctx ends. A new connection goes on after the last report that was heard.
func (a *Account) Run(ctx context.Context, bus *eventbus.Bus) error {
	return again(ctx, a.Log, "user stream", func() (bool, error) {
		before := a.heard
		err := a.connect(ctx, bus)
		return a.heard > before, err
	})
}

func (a *Account) connect(ctx context.Context, bus *eventbus.Bus) error {
	conn, _, err := websocket.Dial(ctx, fmt.Sprintf("%s/ws/user?after=%d", a.URL, a.heard), nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for {
		var r wire.Report
		if err := wsjson.Read(ctx, conn, &r); err != nil {
			return err
		}
		if r.Sequence != a.heard+1 {
			return fmt.Errorf("report %d follows %d: want no gap", r.Sequence, a.heard)
		}
		if err := a.tell(ctx, bus, r); err != nil {
			return err
		}
		a.heard = r.Sequence
	}
}

// tell publishes what a report says of an order of ours.
func (a *Account) tell(ctx context.Context, bus *eventbus.Bus, r wire.Report) error {
	a.mu.Lock()
	o, ours := a.mu.sent[r.ClientID]
	a.mu.Unlock()
	at := time.UnixMilli(r.At).UTC()
	f := engine.Fill{Order: o, Time: at, Price: r.LastPrice, Quantity: r.LastQuantity, Partial: r.Status == wire.Partially}
	switch {
	case !ours:
		return nil
	case r.Happened == wire.Canceled:
		return engine.OrderUpdate.Publish(ctx, bus, engine.Cancellation{Order: o, Time: at, Reason: "cancelled"})
	case r.Happened == wire.Traded && f.Partial:
		return engine.OrderPartiallyFilled.Publish(ctx, bus, f)
	case r.Happened == wire.Traded:
		return engine.OrderFilled.Publish(ctx, bus, f)
	}
	return nil
}

// CancelAll asks for the end of all working orders.
func (a *Account) CancelAll(ctx context.Context) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, call(ctx, http.MethodDelete, a.URL+"/api/v3/openOrders", nil, nil)
	}, backoff.WithMaxElapsedTime(sendTimeout), backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
	return err
}
