package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	callTimeout = 2 * time.Second // of one try: what a dead server has taken is not answered
	firstWait   = 10 * time.Millisecond
	lastWait    = time.Second
)

// A retry says of a call that is tried again what else ends the tries, beside its context,
// and who is told of the failures in between.
type retry struct {
	quit    <-chan struct{} // closed: no further try, ErrClosed
	trouble func(error)     // told of the temporary failures; nil if nobody is to be
}

// manage makes a call to the server until it succeeds, fails for good, ctx ends or the
// node closes. Just after a start, or while there is no leader, the first calls fail.
func (n *Node) manage(ctx context.Context, call func(ctx context.Context) error) error {
	if isClosed(n.closing) {
		return ErrClosed
	}
	return n.try(ctx, retry{quit: n.closing}, func(ctx context.Context) (verdict, error) {
		verdict, err := judge(call(ctx))
		if errors.Is(err, ErrDiffers) || errors.Is(err, ErrGroupInUse) || errors.Is(err, errTooOld) {
			verdict = permanent
		}
		return verdict, err
	})
}

// try makes a call until it returns nil, or an error that is not temporary.
func (n *Node) try(ctx context.Context, r retry, call func(ctx context.Context) (verdict, error)) error {
	if ctx == nil {
		return errNilContext
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var last error // what was wrong, if the context's end does not tell
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		verdict, err := n.callOnce(ctx, call)
		if err != nil && (last == nil || ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
			last = err
		}
		switch {
		case err == nil:
			return nil
		case n.cut.Err() != nil:
			return closedAfter(last)
		case verdict == permanent:
			return err
		case ctx.Err() != nil:
			return ended(ctx, last)
		}
		if err := r.pause(ctx, wait, err); err != nil {
			return err
		}
	}
}

// pause waits before the next try. It returns why there is to be none.
func (r retry) pause(ctx context.Context, d time.Duration, last error) error {
	if r.trouble != nil {
		r.trouble(last)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ended(ctx, last)
	case <-r.quit:
		return closedAfter(last)
	}
}

func closedAfter(last error) error { return fmt.Errorf("%w; the last try: %w", ErrClosed, last) }

// errNoAnswer stands for the end of a try's own context, so that it is not taken for that of
// the caller's.
var errNoAnswer = fmt.Errorf("no answer within %v", callTimeout)

// callOnce makes a call that ends after callTimeout, and when Close waits no longer.
func (n *Node) callOnce(ctx context.Context, call func(ctx context.Context) (verdict, error)) (verdict, error) {
	try, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer context.AfterFunc(n.cut, cancel)()
	verdict, err := call(try)
	if verdict == temporary && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = errNoAnswer
	}
	return verdict, err
}

var errNilContext = errors.New("the context is nil")

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
