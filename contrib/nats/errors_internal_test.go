package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// What a failed call means for the next try.
func TestPublishJudgesErrors(t *testing.T) {
	api := func(code jetstream.ErrorCode, text string) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: 503, ErrorCode: code, Description: text})
	}
	for _, c := range []struct {
		err  error
		want verdict
		is   error
	}{
		{api(10023, "insufficient resources"), permanent, ErrFull},
		{api(10047, "insufficient storage resources available"), permanent, ErrFull},
		{api(10002, "resource limits exceeded for account"), permanent, ErrFull},
		{api(10077, "maximum bytes exceeded"), permanent, ErrFull},
		{api(10077, "mkdir x: no space left on device"), permanent, ErrFull},
		{api(10077, "message to large"), permanent, ErrTooLarge},
		{api(10077, "store is closed"), permanent, nil},
		{api(10054, "message size exceeds maximum allowed"), permanent, ErrTooLarge},
		{api(10097, "header size exceeds maximum allowed of 64k"), permanent, ErrTooLarge},
		{api(10059, "stream not found"), permanent, ErrNoStream},
		{api(10109, "invalid operation on sealed stream"), permanent, nil},
		{api(10008, "JetStream system temporarily unavailable"), temporary, nil},
		{api(10009, "not a leader"), temporary, nil},
		{api(10118, "stream is offline"), temporary, nil},
		{api(10158, "duplicate message id is in process"), temporary, nil},
		{api(10167, "too many requests"), temporary, nil},
		{api(10194, "stream is offline: unsupported"), temporary, nil},
		{nats.ErrMaxPayload, permanent, ErrTooLarge},
		{nats.ErrConnectionClosed, permanent, nil},
		{jetstream.ErrNoStreamResponse, unclear, nil},
		{nats.ErrReconnectBufExceeded, temporary, nil},
		{nats.ErrNoResponders, temporary, nil},
		{context.DeadlineExceeded, temporary, nil},
		{io.EOF, temporary, nil},
	} {
		got, err := judge(c.err)
		require.Equal(t, c.want, got, "%v", c.err)
		require.ErrorIs(t, err, c.err)
		for _, sentinel := range []error{ErrFull, ErrTooLarge, ErrNoStream} {
			require.Equal(t, c.is == sentinel, errors.Is(err, sentinel), "%v is %v", err, sentinel)
		}
	}
}
