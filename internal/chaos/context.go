package chaos

import (
	"context"
	"slices"
	"time"
)

// A contextKind is what is special about the context of a publish.
type contextKind uint8

const (
	plainContext  contextKind = iota // with a deadline, if the publication has a limit
	lateContext                      // cancelled after the limit
	brokenContext                    // done from the beginning, and without an error
)

func (d *decoder) contextKind() contextKind {
	k := []contextKind{plainContext, plainContext, plainContext, plainContext, lateContext, lateContext, brokenContext}[d.below(7)]
	if !d.has(odd) {
		return plainContext
	}
	return k
}

// contextOf returns the context of a publish.
func (m *machine) contextOf(ctx context.Context, p publication) (context.Context, context.CancelFunc) {
	switch {
	case p.context == brokenContext:
		return doneWithoutError{ctx}, func() {}
	case p.limit == 0:
		return ctx, func() {}
	case p.context == lateContext && p.limit > 0:
		ctx, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(p.limit, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	}
	return context.WithTimeout(ctx, p.limit)
}

// A doneWithoutError is a context whose author forgot the error.
type doneWithoutError struct{ context.Context }

func (doneWithoutError) Done() <-chan struct{} { return closedChannel }
func (doneWithoutError) Err() error            { return nil }

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// noteDeadline notes the deadline of a context that a session may have. A later deadline
// that a handler derives from it is none: package context drops it, so that the bus
// cannot know of it.
func (m *machine) noteDeadline(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := ctx.Deadline(); ok {
		m.deadlines = append(m.deadlines, d)
	}
}

// hidesDeadline reports whether a session may have a deadline that hides one at that time.
func (m *machine) hidesDeadline(at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.deadlines, func(d time.Time) bool { return !d.After(at) })
}
