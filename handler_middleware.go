package eventbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A Middleware wraps a handler in another one, which calls it, or not, and deals
// with how that ends: retries, timing, tracing, recovering. It is called once
// for each subscription, when that is made, and what it returns is then called
// for each event.
//
// The handler that it returns should pass on the context it was given, or one
// derived from it, so that publishes inside the handler still cannot deadlock
// the bus. A panic of next passes through it like any other.
type Middleware func(next Handler) Handler

// WithMiddleware wraps every handler of the bus, the first middleware outermost,
// around what [Use] gives to single subscriptions. Given several times, it adds
// to what was there. Logs, errors and [Stats] keep naming the handler itself. A
// middleware that is nil makes [New] fail; one that returns nil panics in
// Subscribe.
func WithMiddleware(m ...Middleware) Option {
	return func(c *config) error {
		if err := checkMiddleware(m); err != nil {
			return fmt.Errorf("WithMiddleware: %w", err)
		}
		c.middleware = append(c.middleware, m...)
		return nil
	}
}

// Use wraps the handler of one subscription, the first middleware outermost, and
// all of them inside those of [WithMiddleware]. Given several times, it adds to
// what was there. A middleware that is nil or returns nil panics in Subscribe.
func Use(m ...Middleware) SubscribeOption {
	return func(s *Subscription) error {
		if err := checkMiddleware(m); err != nil {
			return fmt.Errorf("Use: %w", err)
		}
		s.middleware = append(s.middleware, m...)
		return nil
	}
}

func checkMiddleware(m []Middleware) error {
	if i := slices.IndexFunc(m, func(m Middleware) bool { return m == nil }); i >= 0 {
		return fmt.Errorf("middleware %d is nil", i)
	}
	return nil
}

// wrap returns the call of h inside all middleware.
func (s *Subscription) wrap(h Handler) (func(context.Context, Event) error, error) {
	s.async = isAsync(h)
	for _, m := range slices.Backward(slices.Concat(s.bus.middleware, s.middleware)) {
		h = m(h)
		if isNil(h) {
			return nil, errors.New("a middleware returned nil, want a handler")
		}
		s.async = s.async || isAsync(h)
	}
	if f, ok := h.(HandlerFunc); ok {
		return f, nil
	}
	return h.Handle, nil
}
