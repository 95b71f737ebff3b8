package eventbustest

import (
	"sync"
	"testing"
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
