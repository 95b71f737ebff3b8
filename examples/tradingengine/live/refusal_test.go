package live_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// refuse answers that an order is refused.
func refuse(w http.ResponseWriter, message string) {
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(wire.Error{Code: -2010, Message: message})
}

// hangUp ends the connection of a request without an answer.
func hangUp(t *testing.T, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	require.NoError(t, err)
	conn.Close()
}

func TestOrderThatIsRefusedAfterATryWithoutAnAnswer(t *testing.T) {
	for name, first := range map[string]func(take func()){
		"the first try has arrived":         func(take func()) { take() },
		"the first try arrives later":       func(take func()) { time.AfterFunc(400*time.Millisecond, take) },
		"the first try arrives at the last": func(take func()) { time.AfterFunc(900*time.Millisecond, take) },
		"the first try never arrives":       func(func()) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := map[string]int{} // by client id; orders are sent one after the other
			address := run(t, exchange.Config{Symbols: []string{"A"}, Interval: time.Second, Speed: 20, Seed: 2}, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost {
						h.ServeHTTP(w, r)
						return
					}
					id := r.FormValue("newClientOrderId")
					if tries[id]++; tries[id] > 1 {
						refuse(w, "a duplicate, or the matching engine is busy")
						return
					}
					hangUp(t, w)
					first(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
				})
			})
			a := newAccount(t, address)
			a.trade(t, 4*time.Second)
			require.Positive(t, a.Orders().Resent)
			require.Equal(t, name == "the first try never arrives", a.Orders().Rejected > 0)
			requireSameBooks(t, a, address)
		})
	}
}
