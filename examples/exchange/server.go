package exchange

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// buffered is how many messages a market stream may be behind.
const buffered = 4096

// Handler serves
//
//	GET    /stream                    market data: trades, book tickers and closed candles of all symbols
//	GET    /ws/user?after=SEQUENCE    reports of orders, from the one after SEQUENCE on; without after, from now on
//	GET    /api/v3/klines             closed candles: symbol, startTime
//	POST   /api/v3/order              symbol, side, quantity, price, newClientOrderId; timestamp, recvWindow
//	GET    /api/v3/order              what has become of an order: origClientOrderId
//	DELETE /api/v3/order              cancels an order: origClientOrderId
//	DELETE /api/v3/openOrders         cancels all orders
func (e *Exchange) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", e.serveStream)
	mux.HandleFunc("GET /ws/user", e.serveUser)
	mux.HandleFunc("GET /api/v3/klines", e.serveKlines)
	mux.HandleFunc("POST /api/v3/order", e.serveOrder)
	mux.HandleFunc("GET /api/v3/order", e.serveState)
	mux.HandleFunc("DELETE /api/v3/order", e.serveCancel)
	mux.HandleFunc("DELETE /api/v3/openOrders", e.serveCancelAll)
	return mux
}

func (e *Exchange) serveStream(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(r.Context())
	frames := make(chan []byte, buffered)
	e.mu.Lock()
	e.mu.streams[frames] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.leaveLocked(frames)
		e.mu.Unlock()
	}()
	for {
		select {
		case frame, ok := <-frames:
			if !ok {
				conn.Close(websocket.StatusTryAgainLater, "the stream has ended, connect again")
				return
			}
			if conn.Write(ctx, websocket.MessageText, frame) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *Exchange) serveUser(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	told := len(e.mu.book.reports) // before the client knows that it is connected: what it asks from then on is no older
	e.mu.Unlock()
	after, err := strconv.Atoi(cmp.Or(r.FormValue("after"), strconv.Itoa(told)))
	if err != nil || after < 0 || after > told { // a client that has heard more has heard it of another exchange
		refuse(w, &wire.Error{Code: -1100, Message: "after: want the sequence of a report that was told, or 0"})
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(r.Context())
	for {
		e.mu.Lock()
		reports, changed := e.mu.book.reports, e.mu.changed
		e.mu.Unlock()
		for ; after < len(reports); after++ {
			if wsjson.Write(ctx, conn, reports[after]) != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Exchange) serveKlines(w http.ResponseWriter, r *http.Request) {
	start, err := strconv.ParseInt(r.FormValue("startTime"), 10, 64)
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.mu.markets[r.FormValue("symbol")]
	if m == nil || err != nil {
		refuse(w, &wire.Error{Code: -1121, Message: "want a symbol that is traded here, and startTime in milliseconds"})
		return
	}
	json.NewEncoder(w).Encode(m.since(start))
}

func refuse(w http.ResponseWriter, err *wire.Error) {
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(err)
}
