package eventbustest_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A fakeT is a test whose failures can be looked at. Like a real one it panics
// when it is written to after its end. Make one with try.
type fakeT struct {
	testing.TB // nil: what is not defined below must not be called

	mu       sync.Mutex
	errors   []string
	log      strings.Builder
	late     int // how often it was written to after its end
	failed   bool
	fatal    bool
	ended    bool
	cleanups []func()
}

// try runs f and then its cleanup functions, as package testing does with a test.
func try(f func(t *fakeT)) *fakeT {
	t := new(fakeT)
	t.do(func() { f(t) })
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		c := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		t.do(c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return t
}

// do runs f on a goroutine of its own, which Fatal can end.
func (t *fakeT) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// said returns all that t was failed with.
func (t *fakeT) said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.errors, "\n")
}

func (t *fakeT) logged() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.String()
}

func (t *fakeT) Helper()           {}
func (t *fakeT) Cleanup(f func())  { t.cleanups = append(t.cleanups, f) }
func (t *fakeT) Output() io.Writer { return t }

func (t *fakeT) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mustNotHaveEndedLocked()
	return t.log.Write(p)
}

func (t *fakeT) Error(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mustNotHaveEndedLocked()
	t.failed = true
	t.errors = append(t.errors, strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

func (t *fakeT) Fatal(args ...any) {
	t.Error(args...)
	t.mu.Lock()
	t.fatal = true
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *fakeT) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *fakeT) mustNotHaveEndedLocked() {
	if t.ended {
		t.late++
		panic("write to a test that has ended")
	}
}
