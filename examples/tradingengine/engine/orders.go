package engine

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// orderManager turns signals into orders: one position at a time and one order at a time for each symbol.
type orderManager struct {
	risk        []Risk
	lot, budget decimal.Decimal

	// Signals come on the signal queue and accounts on the order queue, each with a goroutine of its own: mu keeps them
	// apart. It is not held during a publish, which may wait for the very handlers that need it.
	mu        sync.Mutex
	account   Account // after the last fill
	positions map[string]decimal.Decimal
	working   map[string]Order // by symbol: placed, and neither filled nor cancelled
	lastID    int
	counts    Counts
	halted    bool
	atRest    chan struct{} // closed when no order works any more; nil when nobody waits for that
}

func newOrderManager(risk []Risk, lot, cash, budget decimal.Decimal) *orderManager {
	return &orderManager{risk: risk, lot: lot, budget: budget, account: Account{Cash: cash, Equity: cash},
		positions: map[string]decimal.Decimal{}, working: map[string]Order{}}
}

// onSignal places an order for as much as the cash buys when flat, or for the whole position when long, and ignores
// every other signal.
func (m *orderManager) onSignal(ctx context.Context, bus *eventbus.Bus, s Signal) error {
	order, account, ok := m.order(s)
	if !ok {
		return nil
	}
	for _, r := range m.risk {
		if err := r.Check(order, account); err != nil {
			m.veto(order)
			return OrderUpdate.Publish(ctx, bus, Cancellation{Order: order, Time: s.Time, Reason: err.Error()})
		}
	}
	return OrderPlaced.Publish(ctx, bus, order)
}

func (m *orderManager) order(s Signal) (order Order, account Account, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.Signals++
	order = Order{ID: m.lastID + 1, Symbol: s.Symbol, Side: s.Side, Time: s.Time}
	_, working := m.working[s.Symbol]
	position := m.positions[s.Symbol]
	switch {
	case working, m.halted:
		return order, account, false
	case s.Side == Buy && position.IsZero():
		order.Budget = m.availableLocked()
		order.Quantity = affordable(order.Budget, s.Close, m.lot)
		if order.Quantity.IsZero() {
			m.counts.TooDear++
		}
	case s.Side == Sell:
		order.Quantity = position
	}
	if order.Quantity.IsZero() {
		return order, account, false
	}
	m.lastID++
	m.counts.Orders++
	m.working[s.Symbol] = order
	return order, m.account, true
}

// availableLocked is the cash that no working order may need, up to the budget.
func (m *orderManager) availableLocked() decimal.Decimal {
	cash := m.account.Cash
	for _, o := range m.working {
		cash = cash.Sub(o.Budget)
	}
	if m.budget.IsPos() {
		cash = decimal.Min(cash, m.budget)
	}
	return decimal.Max(cash, decimal.Zero)
}

func (m *orderManager) veto(o Order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.Orders--
	m.counts.Vetoed++
	m.endLocked(o)
}

func (m *orderManager) onAccount(_ context.Context, _ *eventbus.Bus, a Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account = a
	m.positions[a.Fill.Order.Symbol] = a.Position
	if !a.Fill.Partial {
		m.endLocked(a.Fill.Order)
	}
	return nil
}

// onCancelled puts the end of the order behind the account of its last fill: that fill was published before the cancellation,
// and its account after the fill was handled, which can be later.
func (m *orderManager) onCancelled(ctx context.Context, bus *eventbus.Bus, c Cancellation) error {
	return OrderEnded.Publish(ctx, bus, c)
}

// onEnded hears of a veto too, whose order has ended by then.
func (m *orderManager) onEnded(_ context.Context, _ *eventbus.Bus, c Cancellation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.working[c.Order.Symbol].ID == c.Order.ID {
		m.counts.Cancelled++
		m.endLocked(c.Order)
	}
	return nil
}

func (m *orderManager) endLocked(o Order) {
	delete(m.working, o.Symbol)
	m.restLocked()
}

// onTrading lets signals lead to orders, or not.
func (m *orderManager) onTrading(_ context.Context, _ *eventbus.Bus, t Trading) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halted = !t.Allowed
	return nil
}

// rest returns what is closed when no order works any more. One caller at a time waits.
func (m *orderManager) rest() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	atRest := make(chan struct{})
	m.atRest = atRest
	m.restLocked()
	return atRest
}

func (m *orderManager) restLocked() {
	if m.atRest != nil && len(m.working) == 0 {
		close(m.atRest)
		m.atRest = nil
	}
}

// atWork are the orders that work, in the order of their IDs.
func (m *orderManager) atWork() []Order {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.working), func(a, b Order) int { return a.ID - b.ID })
}

// affordable is the largest multiple of lot that cash buys at price.
func affordable(cash, price, lot decimal.Decimal) decimal.Decimal {
	lots, _ := cash.MustQuoRem(price.Mul(lot))
	return lots.Mul(lot)
}
