package live

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/examples/tradingengine/wire"
)

// callTimeout bounds one call over HTTP.
const callTimeout = time.Second

// A refusal is the exchange's answer that a call is wrong: the same call again would be wrong again.
type refusal struct{ answer wire.Error }

func (r *refusal) Error() string {
	return fmt.Sprintf("refused: %s (code %d)", r.answer.Message, r.answer.Code)
}

// call decodes the answer into result, unless that is nil.
func call(ctx context.Context, method, address string, query url.Values, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode == http.StatusBadRequest:
		r := &refusal{}
		if err := json.Unmarshal(body, &r.answer); err != nil {
			return fmt.Errorf("status 400 with %q: want a code and a message", body)
		}
		return r
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s: want 200", answer.Status)
	case result == nil:
		return nil
	}
	return json.Unmarshal(body, result)
}

// Orders is what became of the orders that were sent.
type Orders struct {
	Sent, Rejected, Resent int
	TickToOrder            []time.Duration // from the receipt of a candle to the sending of its order, the shortest first
}

// Orders may be called when the engine has run.
func (a *Account) Orders() Orders {
	slices.Sort(a.mu.tickTime)
	return Orders{Sent: len(a.mu.sent), Rejected: a.mu.rejects, Resent: a.mu.resends, TickToOrder: a.mu.tickTime}
}

// Percentile of the times from tick to order is 0 without any.
func (o Orders) Percentile(p int) time.Duration {
	if len(o.TickToOrder) == 0 {
		return 0
	}
	return o.TickToOrder[min(len(o.TickToOrder)*p/100, len(o.TickToOrder)-1)]
}
