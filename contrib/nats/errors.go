package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The errors of this package. Its functions wrap them with what they are about: test for
// them with [errors.Is].
var (
	ErrClosed      = errors.New("eventbusnats: the node is closed")
	ErrFull        = errors.New("eventbusnats: the store is full")
	ErrTooLarge    = errors.New("eventbusnats: the message is too large")
	ErrNoStream    = errors.New("eventbusnats: the stream does not exist, it was deleted")
	ErrInvalidData = errors.New("eventbusnats: the data cannot be published")
	ErrDirInUse    = errors.New("eventbusnats: the directory is in use")
	ErrDiffers     = errors.New("eventbusnats: what exists differs from what is wanted")
	ErrGroupInUse  = errors.New("eventbusnats: the group has an importer")
	ErrMissed      = errors.New("eventbusnats: events were gone before they were handled")
	ErrUndecodable = errors.New("eventbusnats: the message cannot be decoded")
)

// A verdict is what a failed call to the server means for the next try.
type verdict int

const (
	temporary verdict = iota // the next try may succeed
	permanent                // it will not
	unclear                  // nobody listens: the stream was deleted, or has no leader at present
)

// Error codes of the server that this package tells apart.
const (
	codeIncomplete         = 10004
	codeClusterNotAvail    = 10008
	codeNotLeader          = 10009
	codeInsufficient       = 10023
	codeMemoryExceeded     = 10028
	codeAccountExceeded    = 10002
	codeStorageExceeded    = 10047
	codeMessageTooLarge    = 10054
	codeStreamNotFound     = 10059
	codeStoreFailed        = 10077
	codeHeadersTooLarge    = 10097
	codeStreamOffline      = 10118
	codeInProcess          = 10158 // the same message id is being replicated: an earlier try of this publish
	codeLastSeqUnavailable = 10163
	codeTooManyRequests    = 10167
	codeOfflineReason      = 10194
	codeTooManyBatches     = 10210
)

// judge tells what err, from a call to the server, means for the next try. The error that
// it returns wraps err and, where there is one, a sentinel.
func judge(err error) (verdict, error) {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api):
		return judgeAPI(api, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return permanent, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return unclear, err
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg),
		errors.Is(err, nats.ErrHeadersNotSupported), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return permanent, err
	}
	return temporary, err // timeouts, no responders, a connection that is broken or being made
}

// judgeAPI judges an answer of the server. An answer that is not known to be temporary is
// permanent: to try again would be to spin.
func judgeAPI(api *jetstream.APIError, err error) (verdict, error) {
	switch api.ErrorCode {
	case codeIncomplete, codeClusterNotAvail, codeNotLeader, codeStreamOffline, codeOfflineReason, codeInProcess, codeLastSeqUnavailable,
		codeTooManyRequests, codeTooManyBatches:
		return temporary, err
	case codeInsufficient, codeMemoryExceeded, codeStorageExceeded, codeAccountExceeded:
		return permanent, fmt.Errorf("%w: %w", ErrFull, err)
	case codeMessageTooLarge, codeHeadersTooLarge:
		return permanent, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case codeStreamNotFound:
		return permanent, fmt.Errorf("%w: %w", ErrNoStream, err)
	case codeStoreFailed:
		return permanent, judgeStore(api, err)
	}
	return permanent, err
}

// judgeStore judges the one code under which the server tells all that its store says. "no
// space" comes from the creation of a stream; a publish that the disk refuses is not answered.
func judgeStore(api *jetstream.APIError, err error) error {
	switch {
	case strings.Contains(api.Description, "message to large"): // as the server spells it
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case strings.Contains(api.Description, "maximum"), strings.Contains(api.Description, "no space"):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// ended returns ctx's error with the last failure, which says what was waited for.
func ended(ctx context.Context, last error) error {
	if last == nil || errors.Is(last, ctx.Err()) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; the last try: %w", context.Cause(ctx), last)
}
