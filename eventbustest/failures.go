package eventbustest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/eventbus-go/eventbus"
)

const (
	maxFailures = 10 // how many failures of handlers are told one by one
	maxErrors   = 3  // how many errors of the same calls the sum at the end names
	maxKinds    = 20 // how many lines that sum has
)

// A failures fails the test when handlers fail.
type failures struct {
	out     *output
	allowed bool

	mu    sync.Mutex
	told  uint64 // guarded by mu; at most maxFailures
	tally tally  // guarded by mu
}

// tell is the bus's error handler. What has expired comes without a handler.
func (f *failures) tell(_ context.Context, err *eventbus.HandlerError) {
	if f.allowed || err.Handler == "" || !f.take(err) {
		return
	}
	msg := fmt.Sprintf("%v\n    event  %s", err, describe(err.Event))
	if len(err.Stack) > 0 {
		stack := bytes.ReplaceAll(bytes.TrimSpace(err.Stack), []byte("\n"), []byte("\n    "))
		msg += fmt.Sprintf("\n    %s", stack)
	}
	f.out.error(msg)
}

// take counts err and reports whether to tell it.
func (f *failures) take(err *eventbus.HandlerError) bool {
	k := kindOf(err) // not under the lock: it calls methods of the error
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.add(k)
	if f.told == maxFailures {
		return false
	}
	f.told++
	return true
}

// sum returns what is to be said at the end of the test about failures that
// were not told, if anything. Those that the bus has counted and not yet passed
// on, because its logger holds it up, are in the count alone.
func (f *failures) sum(s eventbus.Stats) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed uint64
	for _, q := range s.Queues {
		failed += q.Failed
	}
	if f.allowed || failed <= f.told {
		return ""
	}
	return fmt.Sprintf("eventbustest: handler calls that failed: %d, of which %d are told above (AllowHandlerErrors allows it)%s",
		failed, f.told, f.tally.lines())
}

// A kind is what failures have in common that the sum counts in one line.
type kind struct {
	handler string
	on      eventbus.EventType
	queue   eventbus.Queue
	text    string // the error's, on one line; "" for errors that are not named
}

func kindOf(err *eventbus.HandlerError) kind {
	return kind{oneLine(err.Handler), err.Event.Type, err.Queue, clip(oneLine(fmt.Sprint(err.Err)))}
}

func (k kind) String() string {
	text := k.text
	if text == "" {
		text = "with other errors"
	}
	return fmt.Sprintf("handler %s failed on %s of the %v queue: %s", k.handler, oneLine(string(k.on)), k.queue, text)
}

// A tally counts failures by kind. A handler whose error is another one each time
// does not hide that others fail too: the tally names a few of its errors.
type tally struct {
	kinds  []kind // in the order in which they came
	counts map[kind]uint64
}

func (t *tally) add(k kind) {
	if t.counts == nil {
		t.counts = make(map[kind]uint64)
	}
	if t.counts[k] == 0 && t.errorsOf(k) >= maxErrors {
		k.text = ""
	}
	if t.counts[k] == 0 {
		t.kinds = append(t.kinds, k)
	}
	t.counts[k]++
}

// errorsOf returns how many kinds there are that differ from k in the error alone.
func (t *tally) errorsOf(k kind) int {
	n := 0
	for _, other := range t.kinds {
		other.text = k.text
		if other == k {
			n++
		}
	}
	return n
}

// lines returns a line for each kind, after a line break.
func (t *tally) lines() string {
	var b strings.Builder
	for i, k := range t.kinds {
		if i == maxKinds {
			fmt.Fprintf(&b, "\n    ... %d more", len(t.kinds)-maxKinds)
			break
		}
		fmt.Fprintf(&b, "\n    %5d  %s", t.counts[k], k)
	}
	return b.String()
}
