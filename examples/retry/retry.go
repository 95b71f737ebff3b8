// Package retry is a middleware that calls a handler again when it fails.
package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/eventbus-go/eventbus"
)

// Middleware calls the handler up to tries times, with pauses that begin at
// first and grow by half each time, to a minute at most or to first if that is
// longer, give or take half. It gives up early when
// the handler's context ends, and at once on an error that will not go away: a
// wrong payload, or one that the handler has wrapped with [backoff.Permanent].
// The error it returns is the handler's last. It panics if tries or first is
// less than 1.
//
// The queue's other events wait during the pauses, so keep them short, or wrap
// the handler in eventbus.Async. A panic is not retried.
func Middleware(tries int, first time.Duration) eventbus.Middleware {
	if tries < 1 || first < 1 {
		panic(fmt.Sprintf("retry: %d tries and a first pause of %v, want 1 or more of both", tries, first))
	}
	return func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			var last error
			_, err := backoff.Retry(ctx, func() (struct{}, error) {
				last = next.Handle(ctx, e)
				if errors.Is(last, eventbus.ErrPayloadType) {
					return struct{}{}, backoff.Permanent(last)
				}
				return struct{}{}, last
			}, backoff.WithMaxTries(uint(tries)), backoff.WithMaxElapsedTime(0), backoff.WithBackOff(pauses(first)))
			if err != nil {
				return last
			}
			return nil
		})
	}
}

func pauses(first time.Duration) backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = first
	b.MaxInterval = max(b.MaxInterval, first)
	return b
}
