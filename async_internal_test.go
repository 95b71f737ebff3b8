package eventbus

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whether a call that returns at its timeout has been abandoned by then is for
// the scheduler to say.
func TestALateReturnKeepsItsError(t *testing.T) {
	h := Async(HandlerFunc(func(context.Context, Event) error { return nil }), time.Second).(*asyncHandler)
	result := func(late bool, err error) error {
		c := &asyncCall{asyncHandler: h, late: late, err: err}
		var cancel context.CancelFunc
		c.ctx.Context, cancel = context.WithTimeout(context.Background(), 0)
		defer cancel()
		return c.result()
	}
	require.ErrorIs(t, result(true, io.EOF), ErrHandlerTimeout)
	require.ErrorIs(t, result(true, io.EOF), io.EOF)
	require.Equal(t, h.timedOut, result(true, nil))
	require.Equal(t, h.timedOut, result(true, fmt.Errorf("ask: %w", context.DeadlineExceeded)))
	require.Equal(t, io.EOF, result(false, io.EOF))
}
