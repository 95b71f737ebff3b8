package eventbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Handler handles events. The bus calls it on the goroutine of the queue's
// processor, which calls nobody else until it returns. If its type is
// published to several queues, their processors may call it concurrently.
//
// The context carries the handler's identity, so that a publish with it, or
// with one derived from it, can never deadlock the bus. It ends when the
// context given to [Bus.Start] does, when the last processor has left after a
// [Bus.Stop], or when [Bus.Shutdown] gives up. Its values are those of that context: the
// values of the publisher's context do not reach handlers, so put into the event what they
// need. A goroutine that Handle starts is not the handler any more: it should publish with
// a context of its own.
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

// A Subscription is one handler's subscription to one event type, or to all.
type Subscription struct {
	calls atomic.Uint64 // counted by the processor once a run, or by the filter

	bus        *Bus
	eventType  EventType // empty for a tap, which gets every type
	id         uint64    // ascending in the order of subscription; set by subscribe
	name       string
	middleware []Middleware // of this subscription alone
	async      bool         // calls run on a goroutine of their own
	filter     *filter      // nil if every event gets to the handler
	wantsLast  bool         // see WithLast
	retainer   bool         // it is no handler but a part of Retain

	payload   reflect.Type  // what a topic's handler takes; nil of other handlers
	timeout   time.Duration // see WithHandlerTimeout; 0 for none
	slowAfter time.Duration // see WithSlowAfter; 0 for the bus's limit

	call  func(context.Context, Event) error // nil once it has left, so that the handler is not kept; guarded by table.mu
	state subState                           // guarded by table.mu
	joins *joiner                            // on its way to the table; nil without WithLast
	holds bool                               // it is counted in table.payloads; guarded by table.mu

	failed   atomic.Uint64
	panicked atomic.Uint64
	errors   *logThrottle
}

// Unsubscribe ends the subscription, and no other of the same handler. No call
// of the handler starts after it returns, apart from one for an event that a
// processor has begun to dispatch. The bus lets go of the handler as soon as no
// processor is at such an event. Calling it again does nothing. It may be called
// concurrently, inside handlers, and after [Bus.Shutdown].
func (s *Subscription) Unsubscribe() { s.bus.unsubscribe(s) }

// newSubscription returns a subscription that is not in the table yet. what
// begins the message of its panics.
func newSubscription(b *Bus, what string, t EventType, h Handler, opts []SubscribeOption) *Subscription {
	s := &Subscription{bus: b, eventType: t}
	err := s.setUp(h, opts)
	if err == nil {
		err = s.holdPayload()
	}
	if err != nil {
		panic(fmt.Sprintf("eventbus: %s: %v", what, err))
	}
	if s.slowAfter > 0 {
		b.pulse.allow(s.slowAfter)
	}
	return s
}

func (s *Subscription) setUp(h Handler, opts []SubscribeOption) error {
	if isNil(h) {
		return errors.New("the handler is nil")
	}
	s.name = nameOf(h)
	if typed, ok := h.(typedHandler); ok {
		s.payload = typed.payloadType()
	}
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(s); err != nil {
			return err
		}
	}
	s.errors = s.bus.newErrorThrottle(s.name, s.eventType)
	if s.timeout > 0 {
		h = Async(h, s.timeout)
	}
	call, err := s.wrap(h)
	if err != nil {
		return err
	}
	s.call = call
	if s.filter != nil {
		s.call = s.filtered(call)
	}
	return nil
}

// holdPayload makes the payload of a topic's handler that of the event type, for as long
// as s lives. It is an error if another subscription holds another one.
func (s *Subscription) holdPayload() error {
	if s.payload == nil || s.payload.Kind() == reflect.Interface {
		return nil
	}
	other := s.bus.table.holdPayload(s)
	if other == nil || s.bus.isClosed() {
		return nil
	}
	theirs, own := typeNames(other, s.payload)
	return fmt.Errorf("the handler takes a %s, and another subscription of that type a %s: want one payload type", own, theirs)
}

func isNil(h Handler) bool {
	f, isFunc := h.(HandlerFunc)
	return h == nil || isFunc && f == nil
}

// A namer is a handler that stands for another one.
type namer interface{ handlerName() string }

func nameOf(h Handler) string {
	switch h := h.(type) {
	case HandlerFunc:
		return funcName(h)
	case namer:
		return h.handlerName()
	}
	return fmt.Sprintf("%T", h)
}

// funcName returns f's name without the directories of its package's path and
// without the suffix that the compiler gives a method value.
func funcName(f any) string {
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
		return fmt.Sprintf("eventbus: no handler got %s of the %v queue: %v", quoted(e.Event.Type), e.Queue, e.Err)
	}
	return fmt.Sprintf("eventbus: handler %s failed on %s of the %v queue: %v", quoted(e.Handler), quoted(e.Event.Type), e.Queue, e.Err)
}

// Unwrap returns Err.
func (e *HandlerError) Unwrap() error { return e.Err }

// A Middleware wraps a handler in another one, which calls it, or not, and deals
// with how that ends: retries, timing, tracing, recovering. It is called once
// for each subscription, when that is made, and what it returns is then called
// for each event.
//
// The handler that it returns should pass on the context it was given, or one
// derived from it, so that publishes inside the handler still cannot deadlock
// the bus. A panic of next passes through it like any other. [HandlerInfo] tells whose
// handler next is.
type Middleware func(next Handler) Handler

// WithMiddleware wraps every handler of the bus, the first middleware outermost,
// around what [Use] gives to single subscriptions. Given several times, it adds
// to what was there. Logs, errors and [Stats] keep naming the handler itself. A
// middleware that is nil makes [New] fail; one that returns nil panics in
// Subscribe.
func WithMiddleware(m ...Middleware) Option {
	return func(c *config) error {
		if err := checkMiddleware(m); err != nil {
			return fmt.Errorf("WithMiddleware: %w", err)
		}
		c.middleware = append(c.middleware, m...)
		return nil
	}
}

// Use wraps the handler of one subscription, the first middleware outermost, and
// all of them inside those of [WithMiddleware]. Given several times, it adds to
// what was there. A middleware that is nil or returns nil panics in Subscribe.
func Use(m ...Middleware) SubscribeOption {
	return func(s *Subscription) error {
		if err := checkMiddleware(m); err != nil {
			return fmt.Errorf("Use: %w", err)
		}
		s.middleware = append(s.middleware, m...)
		return nil
	}
}

func checkMiddleware(m []Middleware) error {
	if i := slices.IndexFunc(m, func(m Middleware) bool { return m == nil }); i >= 0 {
		return fmt.Errorf("middleware %d is nil", i)
	}
	return nil
}

// wrap returns the call of h inside all middleware.
func (s *Subscription) wrap(h Handler) (func(context.Context, Event) error, error) {
	s.async = isAsync(h)
	for _, m := range slices.Backward(slices.Concat(s.bus.middleware, s.middleware)) {
		h = m(&namedHandler{h, s.name, s.eventType})
		if isNil(h) {
			return nil, errors.New("a middleware returned nil, want a handler")
		}
		if same, ok := h.(*namedHandler); ok { // it wraps nothing
			h = same.handler
		}
		s.async = s.async || isAsync(h)
	}
	if f, ok := h.(HandlerFunc); ok {
		return f, nil
	}
	return h.Handle, nil
}

// HandlerInfo tells a [Middleware] whose handler next is: the name that logs, errors and
// [Stats] give it, and the event type that it subscribed to, which is empty for a tap of
// [Bus.SubscribeAll]. next is what the bus gave the middleware; for any other Handler, as
// what another middleware returned, both are empty. HandlerInfo may be called at any time
// and concurrently; what it returns never changes.
func HandlerInfo(next Handler) (name string, t EventType) {
	if h, ok := next.(*namedHandler); ok {
		return h.name, h.eventType
	}
	return "", ""
}

// A namedHandler is what the bus gives a middleware: a handler, and whose it is.
type namedHandler struct {
	handler   Handler
	name      string
	eventType EventType
}

func (h *namedHandler) handlerName() string { return h.name }

// Handle calls the handler, a function as directly as a HandlerFunc does.
func (h *namedHandler) Handle(ctx context.Context, e Event) error {
	if f, ok := h.handler.(HandlerFunc); ok {
		return f(ctx, e)
	}
	return h.handler.Handle(ctx, e)
}
