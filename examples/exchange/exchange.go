// Package exchange is an exchange on paper: a random walk or recorded candles as the streams of an exchange, and an order
// book that fills in parts. market.go and book.go decide, exchange.go moves them on with the clock, and server.go
// and orders.go speak HTTP and websocket.
package exchange

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// Config says what is traded and how. The zero value of a field is none of it.
type Config struct {
	Symbols  []string
	Interval time.Duration // of a candle, in the time of the market
	Speed    float64       // the market's time to the clock's; 1 is as long
	Seed     uint64
	Replay   func(symbol string) Source // in place of random walks

	Latency time.Duration // before an order is taken
	Rejects float64       // the share of orders that are refused for no fault of theirs
	Drop    time.Duration // end all market streams so often
}

// Exchange runs from Run on, which is called once. Its handlers may be called at any time.
type Exchange struct {
	config Config

	mu struct {
		sync.Mutex
		markets map[string]*market
		book    book
		random  *rand.Rand
		streams map[chan []byte]bool
		changed chan struct{} // closed, and replaced, when there are new reports
		now     time.Time     // of the market; only Run's goroutine changes it
	}
}

// tick is how often the markets move.
const tick = 10 * time.Millisecond

// New checks the configuration.
func New(c Config) (*Exchange, error) {
	if len(c.Symbols) == 0 || c.Interval < time.Millisecond || c.Speed <= 0 {
		return nil, fmt.Errorf("exchange: symbols %q, interval %v, speed %v: want a symbol, 1ms or more, and more than 0", c.Symbols, c.Interval, c.Speed)
	}
	e := &Exchange{config: c}
	e.mu.markets = map[string]*market{}
	for i, symbol := range c.Symbols {
		var replay Source
		if c.Replay != nil {
			replay = c.Replay(symbol)
		}
		e.mu.markets[symbol] = newMarket(symbol, c.Interval, c.Seed+uint64(i), replay)
	}
	e.mu.book.byClient = map[string]*order{}
	e.mu.random = rand.New(rand.NewPCG(c.Seed, 1))
	e.mu.streams = map[chan []byte]bool{}
	e.mu.changed = make(chan struct{})
	return e, nil
}

// Run moves the markets until ctx ends, or all replays do.
func (e *Exchange) Run(ctx context.Context) error {
	began := time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	dropped := began
	for {
		select {
		case <-ctx.Done():
			e.drop()
			return context.Cause(ctx)
		case now := <-ticker.C:
			running, err := e.stepTo(began.Add(time.Duration(float64(now.Sub(began)) * e.config.Speed)))
			if err != nil || !running {
				e.drop()
				return err
			}
			if e.config.Drop > 0 && now.Sub(dropped) >= e.config.Drop {
				e.drop()
				dropped = now
			}
		}
	}
}

// stepTo skips no candle, however fast the market's time runs.
func (e *Exchange) stepTo(now time.Time) (running bool, err error) {
	running = true
	for running && err == nil && e.mu.now.Add(e.config.Interval).Before(now) && !e.mu.now.IsZero() {
		running, err = e.step(e.mu.now.Add(e.config.Interval))
	}
	if !running || err != nil {
		return running, err
	}
	return e.step(now)
}

// step returns false when no market goes on.
func (e *Exchange) step(now time.Time) (running bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.now = now
	for _, symbol := range e.config.Symbols {
		m := e.mu.markets[symbol]
		messages, err := m.step(now)
		if err != nil && !ended(err) {
			return false, fmt.Errorf("exchange: %s: %w", symbol, err)
		}
		running = running || err == nil
		for _, message := range messages {
			if quote, ok := message.(wire.BookTicker); ok {
				e.matchLocked(quote)
			}
			e.sendLocked(message, symbol)
		}
	}
	return running, nil
}

func (e *Exchange) matchLocked(quote wire.BookTicker) {
	before := len(e.mu.book.reports)
	e.mu.book.match(quote, e.mu.now)
	e.tellLocked(before)
}
