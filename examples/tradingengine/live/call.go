package live

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
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

// again connects until ctx ends, and waits longer each time that nothing was heard.
func again(ctx context.Context, log *slog.Logger, what string, connect func() (heard bool, err error)) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 20 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 2 * time.Second}
	wait.Reset()
	for {
		heard, err := connect()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if heard {
			wait.Reset()
		}
		pause, level := wait.NextBackOff(), slog.LevelInfo
		if !heard {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "no connection", "of", what, "error", err, "again_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
