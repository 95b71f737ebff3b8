package exchange

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

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
	placed, refused := e.mu.book.place(o, m.quote, e.refusalLocked(r), e.mu.now)
	if refused != nil {
		refuse(w, refused)
		return
	}
	e.tellLocked(before)
	json.NewEncoder(w).Encode(wire.Order{ClientID: placed.clientID, Status: placed.status(), Executed: placed.filled})
}

// refusalLocked is why an order is refused that is not at fault, or nil. One that has been on its way for longer than its
// recvWindow is refused, so that its sender knows from when on it can no longer arrive.
func (e *Exchange) refusalLocked(r *http.Request) *wire.Error {
	busy := e.mu.random.Float64() < e.config.Rejects
	sent, err := strconv.ParseInt(r.FormValue("timestamp"), 10, 64)
	window, badWindow := strconv.ParseInt(cmp.Or(r.FormValue("recvWindow"), "5000"), 10, 64)
	switch {
	case r.FormValue("timestamp") != "" && (err != nil || badWindow != nil):
		return &wire.Error{Code: -1100, Message: "timestamp, recvWindow: want milliseconds"}
	case err == nil && wire.Millis(time.Now()) > sent+window:
		return &wire.Error{Code: -1021, Message: fmt.Sprintf("the order was on its way for more than %d ms", window)}
	case busy:
		return &wire.Error{Code: -2010, Message: "the matching engine is busy"}
	}
	return nil
}

func (e *Exchange) serveState(w http.ResponseWriter, r *http.Request) {
	time.Sleep(e.config.Latency)
	id := r.FormValue("origClientOrderId")
	e.mu.Lock()
	state, known := e.mu.book.state(id)
	e.mu.Unlock()
	if !known {
		refuse(w, &wire.Error{Code: wire.UnknownOrder, Message: "there is no order " + strconv.Quote(id)})
		return
	}
	json.NewEncoder(w).Encode(state)
}

func (e *Exchange) serveCancelAll(http.ResponseWriter, *http.Request) { e.cancel("") }

func (e *Exchange) serveCancel(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("origClientOrderId")
	if id == "" || e.cancel(id) == 0 {
		refuse(w, &wire.Error{Code: -2011, Message: "no order " + strconv.Quote(id) + " works"})
	}
}

func (e *Exchange) cancel(clientID string) (cancelled int) {
	time.Sleep(e.config.Latency)
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.mu.book.reports)
	cancelled = e.mu.book.cancel(clientID, e.mu.now)
	e.tellLocked(before)
	return cancelled
}
