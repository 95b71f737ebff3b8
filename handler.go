package eventbus

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
)

// A Handler handles events. The bus calls it on the goroutine of the queue's
// processor, which calls nobody else until it returns. If its type is
// published to several queues, their processors may call it concurrently.
//
// The context carries the processor's identity, so that a publish with it, or
// with one derived from it, can never deadlock the bus. It ends when the
// context given to [Bus.Start] does, or when [Bus.Shutdown] gives up. A
// goroutine that Handle starts is not the handler any more: it should publish
// with a context of its own.
//
// An error that Handle returns, a panic, and a call of [runtime.Goexit] are
// counted, logged and passed to the function given to [WithErrorHandler]; the
// handlers after it still run.
type Handler interface {
	Handle(ctx context.Context, e Event) error
}

// A HandlerFunc is a function used as a [Handler].
type HandlerFunc func(ctx context.Context, e Event) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, e Event) error { return f(ctx, e) }

// A Subscription is one handler's subscription to one event type.
type Subscription struct {
	call  func(context.Context, Event) error
	calls atomic.Uint64

	bus       *Bus
	eventType EventType
	route     *route // set by subscribe
	id        uint64 // ascending in the order of subscription; set by subscribe
	name      string

	failed   atomic.Uint64
	panicked atomic.Uint64
	errors   throttle
}

// Unsubscribe ends the subscription, and no other of the same handler. No call
// of the handler starts after it returns, apart from one for an event that a
// processor has begun to dispatch. Calling it again does nothing. It may be
// called concurrently, inside handlers, and after [Bus.Shutdown].
func (s *Subscription) Unsubscribe() { s.bus.unsubscribe(s) }

// A SubscribeOption changes one subscription.
type SubscribeOption func(*Subscription) error

// WithName names the handler in logs, errors and [Stats]. Without it the name
// is that of the handler's function, such as main.(*Engine).onCandle, or of its
// type. An empty name is set-up misuse and panics in Subscribe.
func WithName(name string) SubscribeOption {
	return func(s *Subscription) error {
		if name == "" {
			return fmt.Errorf("WithName: the name is empty")
		}
		s.name = name
		return nil
	}
}

func newSubscription(b *Bus, t EventType, h Handler, opts []SubscribeOption) *Subscription {
	if t == "" {
		panic("eventbus: Subscribe: the event type is empty")
	}
	f, isFunc := h.(HandlerFunc)
	if h == nil || isFunc && f == nil {
		panic(fmt.Sprintf("eventbus: Subscribe to %s: the handler is nil", t))
	}
	s := &Subscription{bus: b, eventType: t, call: h.Handle, name: fmt.Sprintf("%T", h)}
	if isFunc {
		s.call, s.name = f, funcName(f)
	}
	for _, opt := range opts {
		if opt == nil {
			panic(fmt.Sprintf("eventbus: Subscribe to %s: an option is nil", t))
		}
		if err := opt(s); err != nil {
			panic(fmt.Sprintf("eventbus: Subscribe to %s: %v", t, err))
		}
	}
	s.errors.limit = maxErrorLogs
	return s
}

// funcName returns f's name without the directories of its package's path and
// without the suffix that the compiler gives a method value.
func funcName(f HandlerFunc) string {
	fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer())
	if fn == nil {
		return "func"
	}
	name := strings.TrimSuffix(fn.Name(), "-fm")
	return name[strings.LastIndexByte(name, '/')+1:]
}

// A HandlerError tells that a handler failed to handle an event, or that no
// handler got it because it had expired.
type HandlerError struct {
	Queue   Queue  // where the event was
	Event   Event  // what the handler was called with
	Handler string // the handler's name; "" if the event had expired

	// Err is the handler's error, or wraps ErrExpired. If the handler
	// panicked, Err wraps the panic's value if that is an error, and else
	// quotes it.
	Err error

	Panicked bool   // whether the handler panicked
	Stack    []byte // of the panic or the runtime.Goexit, nil otherwise
}

// Error names the handler, the event's type and the queue.
func (e *HandlerError) Error() string {
	if e.Handler == "" {
		return fmt.Sprintf("eventbus: no handler got %s of the %v queue: %v", e.Event.Type, e.Queue, e.Err)
	}
	return fmt.Sprintf("eventbus: handler %s failed on %s of the %v queue: %v", e.Handler, e.Event.Type, e.Queue, e.Err)
}

// Unwrap returns Err.
func (e *HandlerError) Unwrap() error { return e.Err }

// A route leads from an event type to its handlers.
type route struct {
	// list is replaced under Bus.subMu. It is nil once the last handler is gone
	// and the route out of the table.
	list atomic.Pointer[handlerList]
}

// A handlerList is the handlers of a type at one time. It never changes.
type handlerList struct {
	route     *route
	eventType EventType
	subs      []*Subscription                      // in the order of subscription
	calls     []func(context.Context, Event) error // theirs
}

func newHandlerList(r *route, t EventType, subs []*Subscription) *handlerList {
	l := &handlerList{route: r, eventType: t, subs: subs}
	for _, s := range subs {
		l.calls = append(l.calls, s.call)
	}
	return l
}

// nobody is the list of a type that has no handler.
var nobody = new(handlerList)

// serves reports whether l is still the list of t.
func (l *handlerList) serves(t EventType) bool {
	return l != nil && l.eventType == t && l.route != nil && l.route.list.Load() == l
}

// count adds n calls to every handler.
func (l *handlerList) count(n uint64) {
	if n > 0 {
		for _, s := range l.subs {
			s.calls.Add(n)
		}
	}
}

// countFirst adds a call to the first n handlers.
func (l *handlerList) countFirst(n int) {
	for _, s := range l.subs[:n] {
		s.calls.Add(1)
	}
}

func (b *Bus) subscribe(t EventType, s *Subscription) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	b.lastID++
	s.id = b.lastID
	r, old := b.route(t)
	if r == nil {
		r, old = new(route), nobody
	}
	s.route = r
	r.list.Store(newHandlerList(r, t, append(old.subs[:len(old.subs):len(old.subs)], s)))
	b.routes.Store(t, r)
}

func (b *Bus) unsubscribe(s *Subscription) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	old := s.route.list.Load()
	if old == nil {
		return
	}
	subs := slices.DeleteFunc(slices.Clone(old.subs), func(o *Subscription) bool { return o == s })
	if len(subs) > 0 {
		s.route.list.Store(newHandlerList(s.route, old.eventType, subs))
		return
	}
	s.route.list.Store(nil)
	b.routes.Delete(old.eventType)
}

// route returns the route of t and its list, nil if nobody has subscribed to t.
func (b *Bus) route(t EventType) (*route, *handlerList) {
	r, ok := b.routes.Load(t)
	if !ok {
		return nil, nil
	}
	return r.(*route), r.(*route).list.Load()
}

// handlersOf returns the handlers of t, nobody if there are none. A list that
// is gone was the last one when it went, which is as good as none.
func (b *Bus) handlersOf(t EventType) *handlerList {
	if _, list := b.route(t); list != nil {
		return list
	}
	return nobody
}
