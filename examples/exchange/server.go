package exchange

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// buffered is how many messages a market stream may be behind.
const buffered = 4096

// Handler serves
//
//	GET    /stream                    market data: trades, book tickers and closed candles of all symbols
//	GET    /ws/user?after=SEQUENCE    reports of orders, from the one after SEQUENCE on
//	GET    /api/v3/klines             closed candles: symbol, startTime
//	POST   /api/v3/order              symbol, side, quantity, price, newClientOrderId
//	DELETE /api/v3/openOrders         cancels all orders
func (e *Exchange) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", e.serveStream)
	mux.HandleFunc("GET /ws/user", e.serveUser)
	mux.HandleFunc("GET /api/v3/klines", e.serveKlines)
	mux.HandleFunc("POST /api/v3/order", e.serveOrder)
	mux.HandleFunc("DELETE /api/v3/openOrders", e.serveCancel)
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
	after, err := strconv.Atoi(r.FormValue("after"))
	if err != nil || after < 0 {
		refuse(w, &wire.Error{Code: -1100, Message: "after: want the sequence of the last report that is known, or 0"})
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

func (e *Exchange) serveOrder(w http.ResponseWriter, r *http.Request) {
	time.Sleep(e.config.Latency)
	quantity, _ := decimal.Parse(r.FormValue("quantity")) // 0, which is refused, if it is no number
	price, _ := decimal.Parse(r.FormValue("price"))
	o := &order{symbol: r.FormValue("symbol"), side: r.FormValue("side"), clientID: r.FormValue("newClientOrderId"), quantity: quantity, price: price}
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.mu.markets[o.symbol]
	if m == nil {
		refuse(w, &wire.Error{Code: -1121, Message: "symbol " + strconv.Quote(o.symbol) + " is not traded here"})
		return
	}
	before := len(e.mu.book.reports)
	placed, refused := e.mu.book.place(o, m.quote, e.mu.random.Float64() < e.config.Rejects, e.mu.now)
	if refused != nil {
		refuse(w, refused)
		return
	}
	e.tellLocked(before)
	json.NewEncoder(w).Encode(map[string]any{"clientOrderId": placed.clientID, "status": placed.status(), "executedQty": placed.filled})
}

func (e *Exchange) serveCancel(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(e.config.Latency)
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.mu.book.reports)
	e.mu.book.cancel(e.mu.now)
	e.tellLocked(before)
}

func refuse(w http.ResponseWriter, err *wire.Error) {
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(err)
}
