package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// A SubscribeOption changes one subscription. An invalid one is set-up misuse:
// Subscribe panics with a message that says what was wrong.
type SubscribeOption func(*Subscription) error

// A Subscription is one handler's subscription to one event type, to those that match a
// pattern, or to all.
type Subscription struct {
	calls atomic.Uint64 // counted by the processor once a run, or by the filter

	bus        *Bus
	eventType  EventType // empty for a tap or a pattern
	pattern    string    // of the types that SubscribeMatch subscribes to
	priority   int
	id         uint64 // ascending in the order of subscription; set by subscribe
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
	done  chan struct{}                      // what Done returns; nil until somebody asks; guarded by table.mu
	joins *joiner                            // on its way to the table; nil without WithLast
	holds bool                               // it is counted in table.payloads; guarded by table.mu

	failed   atomic.Uint64
	panicked atomic.Uint64
	times    [numQueues]atomic.Pointer[handlerTimes] // of sampled calls; nil where there are none
	errors   *logThrottle
}

// Unsubscribe ends the subscription, and no other of the same handler. No call
// of the handler starts after it returns, apart from one for an event that a
// processor has begun to dispatch. The bus lets go of the handler as soon as no
// processor is at such an event. Calling it again does nothing. It may be called
// concurrently, inside handlers, and after [Bus.Shutdown].
func (s *Subscription) Unsubscribe() { s.bus.unsubscribe(s) }

// Done returns a channel that is closed when the subscription has ended and no call of
// its handler can begin or runs, calls that [Async] has abandoned included: from then
// on what only the handler uses may be read without a lock. A subscription ends with
// [Subscription.Unsubscribe], with the call of [Once], with [DisableAfter], and when
// [Bus.Shutdown] is complete. Every call returns the same channel, also after that.
//
// An event that was begun before the end goes through all its handlers first. So the
// channel must not be awaited inside the handler, nor in another handler of an event
// that both get: it would wait for itself. An event that [runtime.Goexit] has
// interrupted in [Bus.RunUntilIdle] is at hand until the next RunUntilIdle, Start or
// Shutdown. A goroutine that the handler has started is no call of it. Done may be
// called concurrently and inside handlers, and costs events nothing.
func (s *Subscription) Done() <-chan struct{} {
	done := s.bus.table.askDone(s)
	s.bus.closeDone(s)
	return done
}

// closeDone closes what Done has returned, if anything, as soon as no call of s, which
// has ended, can begin or runs. Whatever ends s calls it afterwards: what the processors
// are at by then is the last that may call s. They tell of their progress at the end of
// a run alone, so they are looked at again, ever more seldom.
func (b *Bus) closeDone(s *Subscription) {
	if !b.table.takeDone(s) {
		return
	}
	visits := b.visits()
	over := func() bool {
		visits = slices.DeleteFunc(visits, func(v *visit) bool { return v.isOver(s) })
		return len(visits) == 0
	}
	left := func() bool { return !b.abandoned.hasCallOf(s) } // a call is in there before its visit is over
	if over() && left() {
		close(s.done)
		return
	}
	go func() {
		for d := visitPatience; !b.awaitFor(d, over); d = min(2*d, defaultPoll) {
		}
		b.await(nil, left)
		close(s.done)
	}()
}

// askDone returns the channel of s.
func (t *table) askDone(s *Subscription) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if t.asked == nil {
			t.asked = make(map[*Subscription]struct{})
		}
		t.asked[s] = struct{}{}
	}
	return s.done
}

// takeDone reports whether the channel of s is to be closed, once: s has ended, and
// somebody has asked for it.
func (t *table) takeDone(s *Subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := s.call == nil || s.state == subDisabled || t.over
	if _, asked := t.asked[s]; !ended || !asked {
		return false
	}
	delete(t.asked, s)
	return true
}

// endAll ends the subscriptions, since Shutdown is complete: no event is begun any more.
func (b *Bus) endAll() {
	for _, s := range b.table.end() {
		b.closeDone(s)
	}
}

// end returns the subscriptions whose Done somebody has asked for.
func (t *table) end() []*Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return slices.Collect(maps.Keys(t.asked))
}

// newSubscription completes s, which has its bus and its type or pattern, and is not in
// the table yet. what begins the message of its panics.
func newSubscription(s *Subscription, what string, h Handler, opts []SubscribeOption) *Subscription {
	err := s.setUp(h, opts)
	if err == nil {
		err = s.holdPayload()
	}
	if err != nil {
		panic(fmt.Sprintf("eventbus: %s: %v", what, err))
	}
	if s.slowAfter > 0 {
		s.bus.pulse.allow(s.slowAfter)
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
