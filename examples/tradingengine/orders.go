package main

import (
	"context"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// orderManager turns signals into orders: one position at a time, one order at a time.
type orderManager struct {
	bus *eventbus.Bus
	lot decimal.Decimal

	// Signals come on the signal queue and accounts on the order queue, each with a goroutine of its own: mu keeps them
	// apart. It is not held during a publish, which may wait for the very handlers that need it.
	mu       sync.Mutex
	cash     decimal.Decimal
	position decimal.Decimal
	working  bool // an order is placed and neither filled nor cancelled
	orders   int
	tooDear  int // buy signals whose close the cash did not cover a lot at
}

func newOrderManager(bus *eventbus.Bus, lot, cash decimal.Decimal) *orderManager {
	return &orderManager{bus: bus, lot: lot, cash: cash}
}

// onSignal places an order for as much as the cash buys when flat, or for the whole position when long, and ignores every
// other signal.
func (m *orderManager) onSignal(ctx context.Context, s Signal) error {
	order, ok := m.order(s)
	if !ok {
		return nil
	}
	return orderPlaced.Publish(ctx, m.bus, order)
}

func (m *orderManager) order(s Signal) (order Order, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	order = Order{ID: m.orders + 1, Side: s.Side, Time: s.Time}
	switch {
	case m.working:
		return order, false
	case s.Side == Buy && m.position.IsZero():
		order.Budget = m.cash
		order.Quantity = affordable(m.cash, s.Close, m.lot)
		if order.Quantity.IsZero() {
			m.tooDear++
		}
	case s.Side == Sell:
		order.Quantity = m.position
	}
	if order.Quantity.IsZero() {
		return order, false
	}
	m.orders++
	m.working = true
	return order, true
}

func (m *orderManager) onAccount(_ context.Context, a Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cash, m.position, m.working = a.Cash, a.Position, false
	return nil
}

func (m *orderManager) onCancelled(context.Context, Cancellation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.working = false
	return nil
}

// affordable is the largest multiple of lot that cash buys at price.
func affordable(cash, price, lot decimal.Decimal) decimal.Decimal {
	lots, _ := cash.MustQuoRem(price.Mul(lot))
	return lots.Mul(lot)
}
