// Package bustest holds what the tests of several packages need: contexts and
// waits with a deadline, synctest bubbles with a watchdog, and buses that are
// shut down when their test ends.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// Patience bounds every wait of a test. In a synctest bubble it costs nothing.
const Patience = 30 * time.Second

// EveryQueue holds the queues of a bus.
var EveryQueue = []eventbus.Queue{eventbus.DataQueue, eventbus.SignalQueue, eventbus.OrderQueue}

// ErrHandler is what a handler returns, or panics with, that fails on purpose.
var ErrHandler = errors.New("the handler fails")

// Discard is a logger that writes nothing.
var Discard = slog.New(slog.DiscardHandler)

// Topic returns the event type number n.
func Topic(n int) eventbus.EventType { return eventbus.EventType(fmt.Sprint("topic ", n)) }

// Within returns a context that ends after d.
func Within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// Ended returns a context that has ended.
func Ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// InBackground runs f on a goroutine and returns where its result comes out.
func InBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// Flush waits until b has handled everything.
func Flush(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Flush(Within(t, Patience)))
}

// KillAtEnd shuts b down when the test ends. A bus that has lost an event may
// never end its Shutdown, so the wait for it is short.
func KillAtEnd(t testing.TB, b *eventbus.Bus) {
	t.Cleanup(func() {
		select {
		case <-InBackground(func() error { return b.Shutdown(Ended()) }):
		case <-time.After(time.Second):
			t.Error("Shutdown does not return either")
		}
	})
}

// Bubble runs f in a synctest bubble. A loop that spins there, or a mutex that
// stays locked, would only show when the test binary times out, so a watchdog
// outside the bubble reports it.
func Bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	watchdog := time.AfterFunc(time.Minute, func() {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic(t.Name() + " has not come to rest for a minute")
	})
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(24 * time.Hour) }) // goroutines that sleep wake up and leave
		f(t)
	})
}

// Stacks returns the stacks of all goroutines.
func Stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// Tell logs how far a test is, and at once on standard error if it takes long.
func Tell(t testing.TB, long bool, format string, args ...any) {
	t.Logf(format, args...)
	if long {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
}

// Heap returns the bytes in use after a garbage collection.
func Heap() int {
	runtime.GC()
	runtime.GC() // what sync.Pools held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
