package eventbus

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whether a call that returns at its timeout has been abandoned by then is for
// the scheduler to say.
func TestALateReturnKeepsItsError(t *testing.T) {
	h := Async(HandlerFunc(func(context.Context, Event) error { return nil }), time.Second).(*asyncHandler)
	err := (&asyncCall{asyncHandler: h, late: true, err: io.EOF}).result()
	require.ErrorIs(t, err, ErrHandlerTimeout)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, h.timedOut, (&asyncCall{asyncHandler: h, late: true}).result())
	require.Equal(t, io.EOF, (&asyncCall{asyncHandler: h, err: io.EOF}).result())
}
