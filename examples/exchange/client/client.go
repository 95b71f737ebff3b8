// Package client speaks to an exchange: it calls over HTTP, and connects again and again.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// Timeout bounds one call over HTTP.
const Timeout = time.Second

// A Refusal is the exchange's answer that a call is wrong: the same call again would be wrong again.
type Refusal wire.Error

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s (code %d)", r.Message, r.Code) }

// AsRefusal returns the refusal that err is, or nil.
func AsRefusal(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}

// Call decodes the answer into result, unless that is nil. The error is a *Refusal if the exchange says that the call is wrong.
func Call(ctx context.Context, method, address string, query url.Values, result any) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
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
		r := &Refusal{}
		if err := json.Unmarshal(body, r); err != nil {
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

// Klines asks for the closed candles of a symbol from start to the one at end, which is not among them.
func Klines(ctx context.Context, address, symbol string, start, end int64) (rows []wire.KlineRow, err error) {
	query := url.Values{"symbol": {symbol}, "startTime": {fmt.Sprint(start)}}
	err = Call(ctx, http.MethodGet, address+"/api/v3/klines", query, &rows)
	rows = slices.DeleteFunc(rows, func(k wire.KlineRow) bool { return k.Start >= end })
	for i := range rows {
		rows[i].Symbol = symbol
	}
	return rows, err
}

// Retry calls until that succeeds or is refused, ctx ends, or it has failed for longer than most.
func Retry(ctx context.Context, most time.Duration, call func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := call()
		if AsRefusal(err) != nil {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(most), backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
	return err
}

// Again connects until ctx ends, and waits longer each time that nothing was heard.
func Again(ctx context.Context, log *slog.Logger, what string, connect func() (heard bool, err error)) error {
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
