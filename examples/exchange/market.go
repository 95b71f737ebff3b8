package exchange

import (
	"errors"
	"io"
	"math/rand/v2"
	"time"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// kept is how many closed candles a market can tell again.
const kept = 1000

// Source is recorded candles; Next returns io.EOF after the last.
type Source interface {
	Next() (candles.Candle, error)
}

// A market is the trade in one symbol, without a clock or a goroutine: step moves it on.
type market struct {
	symbol   string
	interval time.Duration
	random   *rand.Rand
	replay   Source // nil: a random walk

	cents  int64 // the price
	quote  wire.BookTicker
	trades int64
	kline  wire.Kline
	closed []wire.Kline // the last
}

func newMarket(symbol string, interval time.Duration, seed uint64, replay Source) *market {
	m := &market{symbol: symbol, interval: interval, random: rand.New(rand.NewPCG(seed, 0)), replay: replay, cents: 10_000}
	m.quote.Symbol = symbol
	return m
}

// step returns what happens up to now. A replay has a candle in every interval, at the market's time and not the
// file's, whose weekends would look like gaps; it returns io.EOF after the last.
func (m *market) step(now time.Time) (messages []any, err error) {
	start := wire.Millis(now.Truncate(m.interval))
	if m.replay != nil {
		if m.kline.End == start { // this interval's candle is told
			return nil, nil
		}
		c, err := m.replay.Next()
		if err != nil {
			return nil, err
		}
		for _, price := range []decimal.Decimal{c.Open, c.High, c.Low, c.Close} {
			messages = append(messages, m.trade(now.Truncate(m.interval), price)...)
		}
		messages = append(messages, m.close(time.UnixMilli(start)))
		m.kline = wire.Kline{End: start}
		return messages, nil
	}
	if m.kline.Start != start && m.kline.Start > 0 {
		messages = append(messages, m.close(time.UnixMilli(m.kline.Start)))
		m.kline = wire.Kline{}
	}
	for range m.burst() {
		m.cents = max(100, m.cents+m.random.Int64N(11)-5)
		messages = append(messages, m.trade(now.Truncate(m.interval), decimal.MustFromInt64(m.cents, 2))...)
	}
	m.kline.Start = start
	return messages, nil
}

// burst is how many trades come at once: mostly few, and a hundred at times.
func (m *market) burst() int {
	if m.random.IntN(20) == 0 {
		return 100
	}
	return 1 + m.random.IntN(3)
}

// trade is followed by the quote that it leaves behind.
func (m *market) trade(at time.Time, price decimal.Decimal) []any {
	m.trades++
	size := decimal.MustFromInt64(1+m.random.Int64N(40), 0)
	k := &m.kline
	if k.Open.IsZero() {
		k.Open, k.High, k.Low = price, price, price
	}
	k.High, k.Low, k.Close, k.Volume = decimal.Max(k.High, price), decimal.Min(k.Low, price), price, k.Volume.Add(size)
	spread := decimal.MustFromInt64(1+m.random.Int64N(3), 2)
	m.quote.Update++
	m.quote.Bid, m.quote.Ask = price, price.Add(spread)
	m.quote.BidSize = decimal.MustFromInt64(1+m.random.Int64N(60), 0)
	m.quote.AskSize = decimal.MustFromInt64(1+m.random.Int64N(60), 0)
	return []any{
		wire.Trade{Event: m.event("trade", at), ID: m.trades, Price: price, Quantity: size, At: wire.Millis(at)},
		m.quote,
	}
}

// close ends the candle that began at start.
func (m *market) close(start time.Time) wire.KlineEvent {
	k := m.kline
	k.Symbol, k.Closed, k.LastTrade = m.symbol, true, m.trades
	k.Start, k.End = wire.Millis(start), wire.Millis(start.Add(m.interval))-1
	if len(m.closed) == kept {
		m.closed = append(m.closed[:0:0], m.closed[kept/2:]...)
	}
	m.closed = append(m.closed, k)
	return wire.KlineEvent{Event: m.event("kline", start), Kline: k}
}

func (m *market) event(kind string, at time.Time) wire.Event {
	return wire.Event{Type: kind, Time: wire.Millis(at), Symbol: m.symbol}
}

// since are the closed candles that began at start or later.
func (m *market) since(start int64) []wire.KlineRow {
	rows := []wire.KlineRow{}
	for _, k := range m.closed {
		if k.Start >= start {
			rows = append(rows, wire.KlineRow(k))
		}
	}
	return rows
}

// ended says whether a step's error is the end of a replay.
func ended(err error) bool { return errors.Is(err, io.EOF) }
