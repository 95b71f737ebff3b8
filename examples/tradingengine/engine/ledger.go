package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// Ledger is a Portfolio: it follows the fills and values what is held at each close. Every amount in it is exact except
// the drawdown, a quotient.
type Ledger struct {
	ends int

	// Fills come on the order queue and candles on the data queue: mu keeps their processors apart.
	// It is not held during a publish.
	mu     sync.Mutex
	books  Books
	open   map[string]*Trade          // by symbol
	closes map[string]decimal.Decimal // the last, by symbol
	peak   decimal.Decimal            // the highest equity at a close
	trough decimal.Decimal            // the lowest since the peak
}

// NewLedger keeps so many trades from the beginning as ends says and as many up to the last, or all when ends is 0. Where there
// is more than one symbol, ends must be 0: an open trade of another symbol could be among those that are not kept.
func NewLedger(cash decimal.Decimal, ends int) *Ledger {
	return &Ledger{ends: ends, books: Books{Cash: cash}, peak: cash, trough: cash, open: map[string]*Trade{}, closes: map[string]decimal.Decimal{}}
}

// Books may be called at any time, but its trades change until the engine has run.
func (l *Ledger) Books() Books {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.books
}

// Equity is the cash and all positions at their last closes.
func (l *Ledger) Equity() decimal.Decimal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.equityLocked()
}

// OnFill books the fill.
func (l *Ledger) OnFill(ctx context.Context, bus *eventbus.Bus, f Fill) error {
	if f.Order.Side == Buy {
		return PositionOpened.Publish(ctx, bus, l.buy(f))
	}
	account, err := l.sell(f)
	if err != nil {
		return err
	}
	return PositionClosed.Publish(ctx, bus, account)
}

func (l *Ledger) buy(f Fill) Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	trade := l.open[f.Order.Symbol]
	if trade == nil {
		l.forgetLocked()
		trade = &Trade{Symbol: f.Order.Symbol, EntryTime: f.Time}
		l.open[f.Order.Symbol] = trade
		l.books.Trades = append(l.books.Trades, trade)
	}
	cost := f.Price.Mul(f.Quantity)
	l.books.Cash = l.books.Cash.Sub(cost)
	trade.Bought, trade.Cost = trade.Bought.Add(f.Quantity), trade.Cost.Add(cost)
	return l.accountLocked(f)
}

func (l *Ledger) sell(f Fill) (Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	trade := l.open[f.Order.Symbol]
	if held := l.positionLocked(f.Order.Symbol); f.Quantity.GreaterThan(held) {
		return Account{}, fmt.Errorf("engine: a sale of %s %q: only %s are held", f.Quantity, f.Order.Symbol, held)
	}
	proceeds := f.Price.Mul(f.Quantity)
	l.books.Cash = l.books.Cash.Add(proceeds)
	trade.Sold, trade.Proceeds, trade.ExitTime = trade.Sold.Add(f.Quantity), trade.Proceeds.Add(proceeds), f.Time
	if trade.Closed() {
		delete(l.open, f.Order.Symbol)
		l.books.Closed++
		if trade.Proceeds.GreaterThan(trade.Cost) {
			l.books.Won++
		}
	}
	return l.accountLocked(f), nil
}

func (l *Ledger) accountLocked(f Fill) Account {
	l.books.Fills++
	if f.Partial {
		l.books.Parts++
	}
	return Account{Fill: f, Cash: l.books.Cash, Position: l.positionLocked(f.Order.Symbol), Equity: l.equityLocked()}
}

// forgetLocked bounds the memory that trades take. It leaves some to spare, so that few calls move any.
func (l *Ledger) forgetLocked() {
	if l.ends == 0 || len(l.books.Trades) < 4*l.ends {
		return
	}
	l.books.Forgotten += len(l.books.Trades) - 2*l.ends
	l.books.Trades = slices.Delete(l.books.Trades, l.ends, len(l.books.Trades)-l.ends)
}

// OnClose values what is held.
func (l *Ledger) OnClose(c Candle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.books
	if b.Candles == 0 {
		b.First = c
	}
	b.Candles++
	b.Last = c
	l.closes[c.Symbol] = c.Close
	if l.open[c.Symbol] != nil {
		b.Held++
	}
	switch equity := l.equityLocked(); {
	case equity.GreaterThan(l.peak):
		l.peak, l.trough = equity, equity
	case equity.LessThan(l.trough):
		l.trough = equity
		b.Drawdown = decimal.Max(b.Drawdown, l.peak.Sub(equity).MustDiv(l.peak))
	}
}

func (l *Ledger) positionLocked(symbol string) decimal.Decimal {
	trade := l.open[symbol]
	if trade == nil {
		return decimal.Zero
	}
	return trade.Bought.Sub(trade.Sold)
}

func (l *Ledger) equityLocked() decimal.Decimal {
	equity := l.books.Cash
	for symbol := range l.open {
		equity = l.positionLocked(symbol).Mul(l.closes[symbol]).Add(equity)
	}
	return equity
}
