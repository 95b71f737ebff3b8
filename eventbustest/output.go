package eventbustest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// An output is a test that the bus may write to from any goroutine, also when
// the test has ended: then nothing is written, since a test panics at that. mu
// is held while t writes, or the test could end in between.
type output struct {
	mu     sync.Mutex
	t      testing.TB
	closed bool // guarded by mu
}

// Write logs p. It implements [io.Writer] for the bus's logger.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return len(p), nil
	}
	return o.t.Output().Write(p)
}

// error fails the test with msg.
func (o *output) error(msg string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.t.Error(msg)
	}
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// maxFailures bounds how many failures of handlers are told one by one.
const maxFailures = 10

// A failures fails the test when handlers fail.
type failures struct {
	out     *output
	allowed bool

	mu   sync.Mutex
	told uint64 // guarded by mu; at most maxFailures
}

// tell is the bus's error handler. What has expired comes without a handler.
func (f *failures) tell(_ context.Context, err *eventbus.HandlerError) {
	if f.allowed || err.Handler == "" || !f.take() {
		return
	}
	msg := fmt.Sprintf("%v\n    event  %s", err, describe(err.Event))
	if len(err.Stack) > 0 {
		stack := bytes.ReplaceAll(bytes.TrimSpace(err.Stack), []byte("\n"), []byte("\n    "))
		msg += fmt.Sprintf("\n    %s", stack)
	}
	f.out.error(msg)
}

func (f *failures) take() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told == maxFailures {
		return false
	}
	f.told++
	return true
}

// sum returns what is to be said at the end of the test about failures that
// were not told, if anything.
func (f *failures) sum(s eventbus.Stats) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed uint64
	for _, q := range s.Queues {
		failed += q.Failed
	}
	switch {
	case f.allowed || failed <= f.told:
		return ""
	case f.told == 0:
		return fmt.Sprintf("eventbustest: handler calls that failed: %d (AllowHandlerErrors allows it)", failed)
	}
	return fmt.Sprintf("eventbustest: handler calls that failed: %d, the first %d of them are told above", failed, f.told)
}
