package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	d     = decimal.MustParse
	began = time.Unix(1_700_000_000, 0)
)

func quote(bid, bidSize, ask, askSize string) wire.BookTicker {
	return wire.BookTicker{Symbol: "A", Bid: d(bid), BidSize: d(bidSize), Ask: d(ask), AskSize: d(askSize)}
}

func limit(side, id, quantity, price string) *order {
	return &order{symbol: "A", side: side, clientID: id, quantity: d(quantity), price: d(price)}
}

var busy = &wire.Error{Message: "the matching engine is busy"}

func newBook() *book { return &book{byClient: map[string]*order{}} }

// told is what the reports say, in short.
func told(b *book) (lines []string) {
	for i, r := range b.reports {
		if r.Sequence != i+1 {
			return []string{"a gap in the sequence"}
		}
		lines = append(lines, r.ClientID+" "+r.Happened+" "+r.Status+" "+r.LastQuantity.String()+" at "+r.LastPrice.String())
	}
	return lines
}

func TestBookFillsInParts(t *testing.T) {
	b := newBook()
	_, refused := b.place(limit("BUY", "x", "10", "101"), quote("99", "5", "100", "4"), nil, began)
	require.Nil(t, refused)
	b.match(quote("99", "5", "102", "50"), began) // too dear
	b.match(quote("99", "5", "101", "1"), began)
	b.match(quote("99", "5", "90", "50"), began)
	b.match(quote("99", "5", "90", "50"), began)
	_, refused = b.place(limit("SELL", "y", "3", "95"), quote("99", "2", "100", "4"), nil, began)
	require.Nil(t, refused)
	b.cancel("", began)
	b.match(quote("99", "50", "100", "50"), began)
	require.Equal(t, []string{
		"x NEW NEW 0 at 0", "x TRADE PARTIALLY_FILLED 4 at 100", "x TRADE PARTIALLY_FILLED 1 at 101", "x TRADE FILLED 5 at 90",
		"y NEW NEW 0 at 0", "y TRADE PARTIALLY_FILLED 2 at 99", "y CANCELED CANCELED 0 at 0",
	}, told(b))
	require.Empty(t, b.working)
}

func TestBookTakesAClientIDOnce(t *testing.T) {
	b := newBook()
	q := quote("99", "5", "100", "4")
	first, refused := b.place(limit("BUY", "x", "10", "101"), q, nil, began)
	require.Nil(t, refused)
	again, refused := b.place(limit("BUY", "x", "10", "101"), q, busy, began)
	require.Nil(t, refused, "the second is not refused: it is the first")
	require.Same(t, first, again)
	require.Len(t, b.reports, 2)
}

func TestBookRefusesAndSaysWhy(t *testing.T) {
	for want, o := range map[string]*order{
		"newClientOrderId is empty: want a text that no other order has": limit("BUY", "", "1", "100"),
		`side "HOLD": want BUY or SELL`:                                  limit("HOLD", "x", "1", "100"),
		"quantity 0, price 100: both must be more than 0":                limit("BUY", "x", "0", "100"),
		"price 121 is more than 20 % from the market, 100":               limit("BUY", "x", "1", "121"),
		"the matching engine is busy":                                    limit("SELL", "x", "1", "100"),
	} {
		b := newBook()
		_, refused := b.place(o, quote("99", "5", "100", "4"), busy, began)
		require.Equal(t, want, refused.Message)
		require.Empty(t, b.reports)
	}
}

func TestMarketsCandlesHaveNoGaps(t *testing.T) {
	m := newMarket("A", time.Second, 7, nil)
	var last wire.Kline
	var trades int64
	candles := 0
	for i := range 2000 {
		messages, err := m.step(began.Add(time.Duration(i) * 10 * time.Millisecond))
		require.NoError(t, err)
		for _, message := range messages {
			switch v := message.(type) {
			case wire.Trade:
				require.Equal(t, trades+1, v.ID)
				trades = v.ID
			case wire.BookTicker:
				require.True(t, v.Bid.LessThan(v.Ask))
			case wire.KlineEvent:
				k := v.Kline
				require.True(t, candles == 0 || k.Start == last.End+1)
				require.True(t, candles == 0 || k.Start == last.Start+1000)
				require.False(t, k.High.LessThan(decimal.Max(k.Open, k.Close)))
				require.False(t, k.Low.GreaterThan(decimal.Min(k.Open, k.Close)))
				last = k
				candles++
			}
		}
	}
	require.Equal(t, 19, candles)
	require.Len(t, m.since(last.Start-2000), 3)
}

// three candles, and then the end or an error.
type three struct {
	told int
	then error
}

func (s *three) Next() (candles.Candle, error) {
	if s.told == 3 {
		return candles.Candle{}, s.then
	}
	s.told++
	p := decimal.MustFromInt64(int64(s.told), 0)
	return candles.Candle{Time: began.Add(time.Duration(s.told) * time.Hour), Open: p, High: p, Low: p, Close: p}, nil
}

func TestReplayTellsTheCandlesOfTheFileAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{Symbols: []string{"A"}, Interval: time.Minute, Speed: 60, Replay: func(string) Source { return &three{then: io.EOF} }})
		require.NoError(t, err)
		require.NoError(t, e.Run(t.Context()))
		rows := e.mu.markets["A"].since(0)
		require.Len(t, rows, 3)
		for i, k := range rows {
			require.Equal(t, rows[0].Start+60_000*int64(i), k.Start)
			require.Equal(t, decimal.MustFromInt64(int64(i+1), 0).String(), k.Close.String())
		}
	})
}

func TestNoSpeedSkipsCandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 5000})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, e.Run(ctx), context.DeadlineExceeded)
		rows := e.mu.markets["A"].since(0)
		require.Greater(t, len(rows), 400)
		for i, k := range rows[1:] {
			require.Equal(t, rows[i].End+1, k.Start)
		}
	})
}

func TestRunEndsWithABadFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("line 4 is bad")
		e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1, Replay: func(string) Source { return &three{then: bad} }})
		require.NoError(t, err)
		require.ErrorIs(t, e.Run(t.Context()), bad)
	})
}

func TestStreamThatDoesNotKeepUpIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1, Drop: time.Hour})
		require.NoError(t, err)
		slow := make(chan []byte, 3)
		e.mu.streams[slow] = true
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		require.EqualError(t, e.Run(ctx), "enough")
		for range 3 {
			_, ok := <-slow
			require.True(t, ok)
		}
		_, ok := <-slow
		require.False(t, ok)
		require.Empty(t, e.mu.streams)
	})
}

func TestNewRefusesWhatCannotRun(t *testing.T) {
	_, err := New(Config{Symbols: []string{"A"}, Interval: time.Second})
	require.ErrorContains(t, err, `symbols ["A"], interval 1s, speed 0: want a symbol, 1ms or more, and more than 0`)
}

func TestHandlerRefusesAndSaysWhy(t *testing.T) {
	e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1})
	require.NoError(t, err)
	for _, c := range []struct {
		method, path string
		query        url.Values
		status       int
		want         string
	}{
		{"POST", "/api/v3/order", url.Values{"symbol": {"B"}}, 400, `symbol \"B\" is not traded here`},
		{"POST", "/api/v3/order", url.Values{"symbol": {"A"}, "side": {"BUY"}, "newClientOrderId": {"x"}, "quantity": {"many"}, "price": {"1"}}, 400, "quantity 0, price 1"},
		{"GET", "/api/v3/klines", url.Values{"symbol": {"A"}}, 400, "startTime in milliseconds"},
		{"GET", "/api/v3/klines", url.Values{"symbol": {"A"}, "startTime": {"0"}}, 200, "[]"},
		{"GET", "/ws/user", url.Values{"after": {"-1"}}, 400, "after: want the sequence"},
		{"GET", "/ws/user", url.Values{"after": {"1"}}, 400, "after: want the sequence of a report that was told"},
		{"GET", "/api/v3/order", url.Values{"origClientOrderId": {"x"}}, 400, `{"code":-2013,"msg":"there is no order \"x\""}`},
		{"POST", "/api/v3/order", url.Values{"symbol": {"A"}, "side": {"BUY"}, "newClientOrderId": {"x"}, "quantity": {"1"}, "price": {"0.1"}, "timestamp": {"now"}}, 400, "timestamp, recvWindow: want milliseconds"},
		{"DELETE", "/api/v3/openOrders", nil, 200, ""},
		{"DELETE", "/api/v3/order", nil, 400, `no order \"\" works`},
		{"DELETE", "/api/v3/order", url.Values{"origClientOrderId": {"x"}}, 400, `{"code":-2011,"msg":"no order \"x\" works"}`},
		{"GET", "/nothing", nil, 404, ""},
	} {
		answer := httptest.NewRecorder()
		e.Handler().ServeHTTP(answer, httptest.NewRequest(c.method, c.path+"?"+c.query.Encode(), http.NoBody))
		require.Equal(t, c.status, answer.Code, c.path)
		require.Contains(t, answer.Body.String(), c.want)
	}
}
