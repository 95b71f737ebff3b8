// Package live connects an engine to an exchange: Stream is a Feed of its market data, Account a Venue for orders.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/exchange/client"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// Stream is an engine.Feed of trades, book tickers and candles over a websocket. It connects again whenever the
// connection ends, fetches the candles that it missed, and counts the trades that it missed.
type Stream struct {
	URL string // such as http://127.0.0.1:8790
	Log *slog.Logger

	// Counts of what came, for the report when Run has returned.
	Messages, Connections, Candles, Fetched, Quotes, QuotesDropped int
	Trades, MissedTrades                                           int64

	last      map[string]int64 // the start of the last candle, by symbol
	lastTrade map[string]int64 // by symbol
}

// Resume makes the candles of c's symbol go on after c: those since then are fetched with the first that is heard. Call it
// before Run, which calls it for each candle itself.
func (s *Stream) Resume(c engine.Candle) {
	if s.last == nil {
		s.last = map[string]int64{}
	}
	s.last[c.Symbol] = c.Time.UnixMilli()
}

// Run returns the cause of ctx's end.
func (s *Stream) Run(ctx context.Context, bus *eventbus.Bus) error {
	s.lastTrade = map[string]int64{}
	return client.Again(ctx, s.Log, "market stream", func() (heard bool, err error) {
		before := s.Messages
		err = s.connect(ctx, bus)
		return s.Messages > before, err
	})
}

func (s *Stream) connect(ctx context.Context, bus *eventbus.Bus) error {
	conn, _, err := websocket.Dial(ctx, s.URL+"/stream", nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	s.Connections++
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		s.Messages++
		var m wire.Message
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("message %q: %w", data, err)
		}
		if err := s.tell(ctx, bus, m); err != nil {
			return fmt.Errorf("message of %s: %w", m.Stream, err)
		}
	}
}

// tell publishes what a message says.
func (s *Stream) tell(ctx context.Context, bus *eventbus.Bus, m wire.Message) error {
	_, kind, _ := strings.Cut(m.Stream, "@")
	switch {
	case kind == "trade":
		t, err := decode[wire.Trade](m.Data)
		if last, known := s.lastTrade[t.Symbol]; known {
			s.MissedTrades += max(0, t.ID-last-1)
		}
		s.lastTrade[t.Symbol] = t.ID
		s.Trades++
		return err
	case kind == "bookTicker":
		q, err := decode[wire.BookTicker](m.Data)
		if err != nil {
			return err
		}
		s.Quotes++
		err = engine.QuoteChanged.Publish(ctx, bus, engine.Quote{Symbol: q.Symbol, Bid: q.Bid, Ask: q.Ask})
		if errors.Is(err, eventbus.ErrDropped) { // the next one is on its way
			s.QuotesDropped++
			return nil
		}
		return err
	case strings.HasPrefix(kind, "kline_"):
		k, err := decode[wire.KlineEvent](m.Data)
		if err != nil || !k.Kline.Closed {
			return err
		}
		return s.candle(ctx, bus, k.Kline)
	}
	return nil // whatever else an exchange sends is not for us
}

func decode[T any](data []byte) (T, error) {
	var v T
	err := json.Unmarshal(data, &v)
	return v, err
}

// candle fetches those between the last one and this, if there are any, and publishes all in order. A candle that
// has been told is not told again. A fetched one can be hours old: a strategy's order at its close is at today's quote.
func (s *Stream) candle(ctx context.Context, bus *eventbus.Bus, k wire.Kline) error {
	all := []wire.KlineRow{wire.KlineRow(k)}
	next := k.Start
	if last, known := s.last[k.Symbol]; known {
		next = last + k.End + 1 - k.Start
	}
	if k.Start > next {
		missed, err := client.Klines(ctx, s.URL, k.Symbol, next, k.Start)
		if err != nil {
			return err
		}
		s.Fetched += len(missed)
		level, missing := slog.LevelInfo, (k.Start-next)/(k.End+1-k.Start)-int64(len(missed))
		if missing > 0 { // the exchange has them no more
			level = slog.LevelWarn
		}
		s.Log.Log(ctx, level, "candles were missed", "symbol", k.Symbol, "fetched", len(missed), "missing", missing)
		all = append(missed, all...)
	}
	for _, k := range all {
		if k.Start < next {
			continue
		}
		c := engine.Candle{Symbol: k.Symbol, Candle: candles.Candle{
			Time: time.UnixMilli(k.Start).UTC(), Open: k.Open, High: k.High, Low: k.Low, Close: k.Close, Volume: k.Volume}}
		if err := engine.CandleClosed.Publish(ctx, bus, c); err != nil {
			return err
		}
		s.Candles++
		s.Resume(c)
	}
	return nil
}
