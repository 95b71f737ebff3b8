package exchange

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

func TestOrderThatIsLateIsRefusedUnlessItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1, Latency: 20 * time.Millisecond})
		require.NoError(t, err)
		_, err = e.step(time.Now())
		require.NoError(t, err)
		post := func(id string, window string) string {
			query := url.Values{"symbol": {"A"}, "side": {"BUY"}, "newClientOrderId": {id}, "quantity": {"1"}, "price": {"100"},
				"timestamp": {strconv.FormatInt(wire.Millis(time.Now()), 10)}, "recvWindow": {window}}
			answer := httptest.NewRecorder()
			e.Handler().ServeHTTP(answer, httptest.NewRequest("POST", "/api/v3/order?"+query.Encode(), http.NoBody))
			return answer.Body.String()
		}
		require.Contains(t, post("late", "10"), `{"code":-1021,"msg":"the order was on its way for more than 10 ms"}`)
		require.Contains(t, post("early", "20"), `"clientOrderId":"early"`)
		require.Contains(t, post("early", "10"), `"clientOrderId":"early"`, "the first was in time")
		require.Len(t, e.mu.book.byClient, 1)
	})
}

func TestExchangeTellsWhatHasBecomeOfAnOrder(t *testing.T) {
	e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1})
	require.NoError(t, err)
	_, refused := e.mu.book.place(limit("BUY", "x", "10", "101"), quote("99", "5", "100", "4"), nil, began)
	require.Nil(t, refused)
	_, refused = e.mu.book.place(limit("BUY", "other", "10", "101"), quote("99", "5", "100", "1"), nil, began)
	require.Nil(t, refused)
	e.mu.book.cancel("x", began)
	answer := httptest.NewRecorder()
	e.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/api/v3/order?origClientOrderId=x", http.NoBody))
	var o wire.Order
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &o))
	require.Equal(t, "x CANCELED 5", o.ClientID+" "+o.Status+" "+o.Executed.String())
	var happened []string
	for _, r := range o.Reports {
		require.Equal(t, "x", r.ClientID)
		happened = append(happened, r.Happened+" "+r.Filled.String())
	}
	require.Equal(t, []string{"NEW 0", "TRADE 4", "TRADE 5", "CANCELED 5"}, happened)
	require.Len(t, e.mu.book.working, 1, "the other works on")
}

func TestUserStreamWithoutASequenceBeginsNow(t *testing.T) {
	e, err := New(Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 1})
	require.NoError(t, err)
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	place := func(id string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		before := len(e.mu.book.reports)
		_, refused := e.mu.book.place(limit("BUY", id, "1", "90"), quote("99", "5", "100", "4"), nil, began)
		require.Nil(t, refused)
		e.tellLocked(before)
	}
	place("before")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL+"/ws/user", nil)
	require.NoError(t, err)
	defer conn.CloseNow()
	place("after")
	var r wire.Report
	require.NoError(t, wsjson.Read(ctx, conn, &r))
	require.Equal(t, "after", r.ClientID)
	require.Equal(t, 2, r.Sequence)
	http.DefaultClient.CloseIdleConnections()
}
