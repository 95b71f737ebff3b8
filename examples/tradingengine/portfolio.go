package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// Trade is a purchase and, once it is Closed, the sale of the same quantity.
type Trade struct {
	Quantity   decimal.Decimal
	EntryTime  time.Time
	EntryPrice decimal.Decimal
	ExitTime   time.Time
	ExitPrice  decimal.Decimal
	Closed     bool
}

// profit of an open trade is what it would make at price.
func (t Trade) profit(price decimal.Decimal) decimal.Decimal {
	if t.Closed {
		price = t.ExitPrice
	}
	return price.Sub(t.EntryPrice).Mul(t.Quantity)
}

// portfolio follows the fills and values what is held at each close. Every amount in it is exact except the drawdown, a quotient.
type portfolio struct {
	bus   *eventbus.Bus
	start decimal.Decimal
	ends  int // keep so many trades from the beginning and as many up to the last; 0: keep all

	// Fills come on the order queue and candles on the data queue: mu keeps their processors apart.
	// It is not held during a publish.
	mu          sync.Mutex
	cash        decimal.Decimal
	position    decimal.Decimal
	fills       int
	trades      []Trade
	forgotten   int // trades between those at the beginning and the last
	closed, won int // trades
	candles     int
	held        int // candles with a position at the close
	first, last Candle
	peak        decimal.Decimal // the highest equity at a close
	trough      decimal.Decimal // the lowest since the peak
	drawdown    decimal.Decimal // the largest fall from a peak so far, as a fraction of the peak
}

func newPortfolio(bus *eventbus.Bus, cash decimal.Decimal) *portfolio {
	return &portfolio{bus: bus, start: cash, cash: cash, peak: cash, trough: cash}
}

func (p *portfolio) onFill(ctx context.Context, f Fill) error {
	topic, account := p.book(f)
	return topic.Publish(ctx, p.bus, account)
}

func (p *portfolio) book(f Fill) (eventbus.Topic[Account], Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fills++
	topic := positionOpened
	amount := f.Price.Mul(f.Quantity)
	if f.Order.Side == Buy {
		p.cash = p.cash.Sub(amount)
		p.position = p.position.Add(f.Quantity)
		p.forgetLocked()
		p.trades = append(p.trades, Trade{Quantity: f.Quantity, EntryTime: f.Time, EntryPrice: f.Price})
	} else {
		topic = positionClosed
		p.cash = p.cash.Add(amount)
		p.position = p.position.Sub(f.Quantity)
		trade := &p.trades[len(p.trades)-1]
		trade.ExitTime, trade.ExitPrice, trade.Closed = f.Time, f.Price, true
		p.closed++
		if trade.ExitPrice.GreaterThan(trade.EntryPrice) {
			p.won++
		}
	}
	return topic, Account{Time: f.Time, Cash: p.cash, Position: p.position}
}

// forgetLocked bounds the memory that trades take. It leaves some to spare, so that few calls move any.
func (p *portfolio) forgetLocked() {
	if p.ends == 0 || len(p.trades) < 4*p.ends {
		return
	}
	p.forgotten += len(p.trades) - 2*p.ends
	p.trades = slices.Delete(p.trades, p.ends, len(p.trades)-p.ends)
}

func (p *portfolio) onClose(_ context.Context, c Candle) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.candles == 0 {
		p.first = c
	}
	p.candles++
	if !p.position.IsZero() {
		p.held++
	}
	p.last = c
	p.markLocked()
	return nil
}

func (p *portfolio) markLocked() {
	equity := p.equityLocked()
	switch {
	case equity.GreaterThan(p.peak):
		p.peak, p.trough = equity, equity
	case equity.LessThan(p.trough):
		p.trough = equity
		p.drawdown = decimal.Max(p.drawdown, p.peak.Sub(equity).MustDiv(p.peak))
	}
}

func (p *portfolio) equityLocked() decimal.Decimal {
	return p.position.Mul(p.last.Close).Add(p.cash)
}
