// Package breaker is a middleware that stops calling a handler that keeps
// failing, and tries it again after a while.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/eventbus-go/eventbus"
)

// ErrOpen is why a handler failed that was not called: its breaker is open.
var ErrOpen = errors.New("breaker: open, the handler was not called")

// errUnfinished stands for a panic or a runtime.Goexit.
var errUnfinished = errors.New("breaker: the handler did not return")

// Middleware gives each handler a circuit breaker of its own. After so many
// failures in a row, panics and runtime.Goexit included, it opens: for the time pause the handler
// is not called, and each of its events fails with [ErrOpen]. Then one event is
// let through, which closes the breaker or opens it anew. A wrong payload, and
// context.Canceled as of a bus that stops, count neither as failure nor as
// success. It panics if failures or pause is less than 1.
//
// To take a handler out for good instead, use eventbus.DisableAfter.
func Middleware(failures int, pause time.Duration) eventbus.Middleware {
	if failures < 1 || pause < 1 {
		panic(fmt.Sprintf("breaker: %d failures and a pause of %v, want 1 or more of both", failures, pause))
	}
	return func(next eventbus.Handler) eventbus.Handler {
		cb := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Timeout:     pause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(failures) },
			IsExcluded: func(err error) bool {
				return errors.Is(err, eventbus.ErrPayloadType) || errors.Is(err, context.Canceled)
			},
		})
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) (err error) {
			done, refused := cb.Allow()
			if refused != nil {
				return fmt.Errorf("%w: %w", ErrOpen, refused)
			}
			err = errUnfinished
			defer func() { done(err) }() // after runtime.Goexit too, which CircuitBreaker.Execute would miss
			err = next.Handle(ctx, e)
			return err
		})
	}
}
