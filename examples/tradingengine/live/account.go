package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
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
		quotes  map[string]engine.Quote
		sent    map[string]engine.Order // by client id; an order stays, so that a late report finds it
		rejects int
		resends int
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
