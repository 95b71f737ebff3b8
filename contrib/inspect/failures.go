package inspect

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

// Failures keeps the last failures of a bus: the error handler of the bus is set before
// there is a bus, and so before there is a [Page]. Give Record to
// [eventbus.WithErrorHandler], beside other error handlers if there are any, and the
// Failures to [WithFailures]. The zero value is ready to use.
//
// Failures of one handler and type with the same text are one entry, with their number: so
// a handler that fails all the time does not hide one that failed once.
type Failures struct {
	mu     sync.Mutex
	last   []failure // the newest last, up to maxFailures
	lastID uint64
}

const (
	maxFailures = 50
	maxText     = 1000 // bytes of an error text
	maxStack    = 8000 // bytes of a stack
)

// A failure is what the page shows of a HandlerError, the last one of its kind. It holds no
// payload.
type failure struct {
	ID       uint64             `json:"id"`    // of its kind
	Count    uint64             `json:"count"` // of its kind
	At       int64              `json:"at"`    // ms since 1970
	Queue    eventbus.Queue     `json:"queue"`
	Seq      uint64             `json:"seq"`
	Type     eventbus.EventType `json:"type"`
	Handler  string             `json:"handler"`
	Error    string             `json:"error"`
	Panicked bool               `json:"panicked"`
	Cause    *cause             `json:"cause,omitempty"`
	stack    string             // of a panic or Goexit; long, so asked for by ID
}

// Record notes a failure, and forgets the oldest of more than 50 entries. It keeps up to
// 1,000 bytes of the error's text and nothing of the payload. It may be called concurrently.
func (f *Failures) Record(ctx context.Context, err *eventbus.HandlerError) {
	n := failure{
		At: time.Now().UnixMilli(), Queue: err.Queue, Type: err.Event.Type, Handler: err.Handler,
		Error: shorten(err.Err.Error(), maxText), Panicked: err.Panicked, stack: shorten(string(err.Stack), maxStack),
	}
	if d, ok := eventbus.DeliveryFrom(ctx); ok {
		n.Seq, n.Cause = d.Seq, causeOf(d)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.last, n.isLike); i >= 0 {
		n.ID, n.Count = f.last[i].ID, f.last[i].Count+1
		f.last = slices.Delete(f.last, i, i+1)
	} else {
		f.lastID++
		n.ID, n.Count = f.lastID, 1
	}
	f.last = append(trim(f.last, maxFailures-1), n)
}

// isLike reports whether n and o are one entry.
func (n *failure) isLike(o failure) bool {
	return n.Handler == o.Handler && n.Type == o.Type && n.Queue == o.Queue && n.Error == o.Error
}

// recent returns the failures, the newest first.
func (f *Failures) recent() []failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := make([]failure, 0, len(f.last)) // never nil: the page wants a list
	for _, n := range slices.Backward(f.last) {
		last = append(last, n)
	}
	return last
}

// stack returns that of a failure by its ID, "" if it has none or is forgotten.
func (f *Failures) stack(id uint64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.last, func(n failure) bool { return n.ID == id }); i >= 0 {
		return f.last[i].stack
	}
	return ""
}

// trim returns the last n elements of list, in the same array.
func trim[T any](list []T, n int) []T {
	return slices.Delete(list, 0, max(0, len(list)-n))
}

// shorten returns the first n bytes of s.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
