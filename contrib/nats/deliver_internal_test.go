package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func failure(err error) error { return &eventbus.HandlerError{Handler: "risk", Err: err} }

// The outcome on each error of a PublishWait.
func TestImportDecidesByTheError(t *testing.T) {
	expired := &eventbus.HandlerError{Err: fmt.Errorf("%w: it is old", eventbus.ErrExpired)} // no handler got it
	for _, c := range []struct {
		name      string
		err       error
		busClosed bool
		unhandled bool // whether WithUnhandled is given
		want      outcome
	}{
		{name: "handled", want: done},
		{name: "handled while the bus shuts down", busClosed: true, want: done},
		{name: "a handler fails", err: failure(errors.New("no")), want: failed},
		{name: "one of two fails", err: errors.Join(failure(errors.New("no")), failure(errors.New("no"))), want: failed},
		{name: "a handler is refused by a full queue", err: failure(eventbus.ErrQueueFull), want: failed},
		{name: "a handler got too old a quote", err: failure(eventbus.ErrExpired), want: failed},
		{name: "a handler met another bus that is closed", err: failure(eventbus.ErrClosed), want: failed},
		{name: "a handler's own context ended", err: failure(context.DeadlineExceeded), want: failed},
		{name: "shut down", err: fmt.Errorf("x: %w", eventbus.ErrClosed), busClosed: true, want: over},
		{name: "shut down before the second handler", err: errors.Join(failure(errors.New("no")), eventbus.ErrClosed), busClosed: true, want: over},
		{name: "expired", err: expired, want: dead},
		{name: "expired, plainly", err: fmt.Errorf("x: %w", eventbus.ErrExpired), want: dead},
		{name: "nobody took it", err: eventbus.ErrUnhandled, want: failed},
		{name: "nobody took it, and need not", err: eventbus.ErrUnhandled, unhandled: true, want: done},
		{name: "carrying it panicked", err: eventbus.ErrInvalidEvent, want: failed},
		{name: "dropped", err: eventbus.ErrDropped, want: waiting},
		{name: "refused", err: eventbus.ErrQueueFull, want: waiting},
		{name: "not running", err: eventbus.ErrNotRunning, want: waiting},
		{name: "paused", err: eventbus.ErrPaused, want: waiting},
		{name: "not known", err: errors.New("not known"), want: waiting},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, decide(c.err, c.busClosed, c.unhandled)) })
	}
}
