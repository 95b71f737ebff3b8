package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
)

// script is an exchange that sends messages on each connection, ends it, and knows the candles in between.
type script struct {
	connections [][]string
	at          atomic.Int64
	asked       atomic.Value // the query of the last request for candles
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/v3/klines" {
		s.asked.Store(r.URL.RawQuery)
		json.NewEncoder(w).Encode([]wire.KlineRow{row(2), row(3), row(4)})
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	n := int(s.at.Add(1)) - 1
	if n >= len(s.connections) {
		<-conn.CloseRead(r.Context()).Done()
		return
	}
	for _, message := range s.connections[n] {
		conn.Write(r.Context(), websocket.MessageText, []byte(message))
	}
	conn.Close(websocket.StatusGoingAway, "")
}

// row is the candle of second n.
func row(n int64) wire.KlineRow {
	return wire.KlineRow{Start: n * 1000, End: n*1000 + 999, Symbol: "A", Open: d("1"), High: d("1"), Low: d("1"), Close: decimal.MustFromInt64(n, 0), Closed: true}
}

func kline(n int64, closed bool) string {
	k := wire.Kline(row(n))
	k.Closed = closed
	data, _ := json.Marshal(wire.KlineEvent{Kline: k})
	return `{"stream":"a@kline_1s","data":` + string(data) + `}`
}

func trade(id int) string {
	return fmt.Sprintf(`{"stream":"a@trade","data":{"e":"trade","s":"A","t":%d,"p":"1","q":"1"}}`, id)
}

func TestStreamFetchesCandlesThatItMissed(t *testing.T) {
	s := &script{connections: [][]string{
		{trade(7), kline(1, true), trade(8), kline(2, false), `{"stream":"a@depth","data":{}}`},
		{`no JSON`},
		{trade(12), kline(4, true), kline(4, true), trade(13), kline(5, true)},
	}}
	address := serve(t, s)
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus).Within(10 * time.Second)
	stream := &live.Stream{URL: address, Log: quiet}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, bus) }()
	for n := range 5 {
		rec.Expect(t, eventbustest.PayloadFunc(eventbus.CandleClosed, fmt.Sprint("candle ", n+1), func(c engine.Candle) bool {
			return c.Close.String() == fmt.Sprint(n+1) && c.Time.Unix() == int64(n+1) && c.Symbol == "A"
		}))
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	rec.ExpectNone(t)
	require.Equal(t, "startTime=2000&symbol=A", s.asked.Load())
	require.Equal(t, 5, stream.Candles)
	require.Equal(t, 2, stream.Fetched)
	require.EqualValues(t, 4, stream.Trades)
	require.EqualValues(t, 3, stream.MissedTrades, "9, 10 and 11")
	require.GreaterOrEqual(t, stream.Connections, 3)
}

func TestStreamResumesAfterTheLastCandle(t *testing.T) {
	s := &script{connections: [][]string{{kline(1, true), kline(5, true), kline(6, true)}}}
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus).Within(10 * time.Second)
	stream := &live.Stream{URL: serve(t, s), Log: quiet}
	stream.Resume(engine.Candle{Symbol: "A", Candle: candles.Candle{Time: time.Unix(1, 0)}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, bus) }()
	for n := 2; n <= 6; n++ {
		rec.Expect(t, eventbustest.PayloadFunc(eventbus.CandleClosed, fmt.Sprint("candle ", n), func(c engine.Candle) bool { return c.Time.Unix() == int64(n) }))
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	rec.ExpectNone(t)
	require.Equal(t, 3, stream.Fetched)
}

func TestStreamWarnsOfCandlesThatTheExchangeNoLongerHas(t *testing.T) {
	s := &script{connections: [][]string{{kline(1, true), kline(8, true)}}}
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus).Within(10 * time.Second)
	var logged bytes.Buffer
	stream := &live.Stream{URL: serve(t, s), Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, bus) }()
	rec.Expect(t, eventbustest.PayloadFunc(eventbus.CandleClosed, "candle 8", func(c engine.Candle) bool { return c.Time.Unix() == 8 }))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Contains(t, logged.String(), `msg="candles were missed" symbol=A fetched=3 missing=3`)
}
