package eventbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// What the methods of a [Bus] return, wrapped with what it was about. Use
// [errors.Is].
var (
	ErrClosed        = errors.New("eventbus: bus is shut down")
	ErrRunning       = errors.New("eventbus: bus is running")
	ErrNotRunning    = errors.New("eventbus: bus is not running")
	ErrQueueFull     = errors.New("eventbus: queue is full")
	ErrDropped       = errors.New("eventbus: event dropped, queue is full")
	ErrExpired       = errors.New("eventbus: event expired")
	ErrUnknownQueue  = errors.New("eventbus: unknown queue")
	ErrInvalidEvent  = errors.New("eventbus: invalid event")
	ErrWouldDeadlock = errors.New("eventbus: a handler would wait for itself")
)

// A Bus carries events from publishers to handlers through three queues. Make
// one with [New]. All methods may be called concurrently and inside handlers.
type Bus struct {
	logger  *slog.Logger
	onError func(context.Context, *HandlerError)
	poll    time.Duration
	slow    time.Duration
	spin    time.Duration

	middleware []Middleware // around every handler
	strays     strayCalls
	waiters    sync.Pool // of *waiter

	queues     [numQueues]*queue
	processors []*processor // that serve the queues now; replaced under mu and lineMu while none is alive
	live       []*processor // that do while the bus is started
	steppers   []*processor // the stepper alone
	stepper    *processor   // that does in RunUntilIdle; with WithSingleThread the live one
	watch      *watch
	running    atomic.Bool // written under mu and lineMu
	stepped    atomic.Bool // RunUntilIdle was called, and Start not since; written under mu
	withheld   atomic.Bool // a throttle withholds records

	subMu      sync.Mutex
	lastID     uint64                          // guarded by subMu
	retentions sync.Map                        // of EventType to *retention; written under subMu
	routes     sync.Map                        // of EventType to *route; written under subMu
	taps       atomic.Pointer[[]*Subscription] // nil if there are none; replaced under subMu
	tapRoutes  int                             // how many routes lead to taps alone; guarded by subMu
	disabled   atomic.Pointer[[]*Subscription] // taken out by DisableAfter; the slice is replaced under subMu

	// mu guards the life cycle. It is taken before lineMu and never after.
	mu          sync.Mutex
	session     *session  // nil while the bus does not run
	stepSession *session  // of the last RunUntilIdle; nil if there is none
	shutdown    *shutdown // nil until Shutdown

	// observers wait for a change of what the processors have done; see await.
	observers atomic.Int32
	changeMu  sync.Mutex
	change    chan struct{} // guarded by changeMu; closed at the next change
}

// An Option configures a [Bus]. [New] returns its error.
type Option func(*config) error

// A config is what the options set.
type config struct {
	logger  *slog.Logger
	queues  [numQueues]QueueConfig
	poll    time.Duration
	slow    time.Duration
	spin    time.Duration
	single  bool
	onError func(context.Context, *HandlerError)

	middleware []Middleware
}

const (
	defaultPoll = 100 * time.Millisecond // the processors' safety net; see serve
	defaultSlow = 10 * time.Millisecond
)

// New returns a bus that is not started. Without options it has the queues
// described at [DataQueue], polls every 100 ms, reports handlers that run for
// longer than 10 ms, and logs to [slog.Default] as it is at this moment. If an
// option is invalid, New returns a nil Bus and an error that says which.
func New(opts ...Option) (*Bus, error) {
	c := config{logger: slog.Default(), queues: defaultQueues(), poll: defaultPoll, slow: defaultSlow}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("eventbus: New: option %d is nil", i)
		}
		if err := opt(&c); err != nil {
			return nil, fmt.Errorf("eventbus: New: %w", err)
		}
	}
	b := &Bus{logger: c.logger, onError: c.onError, poll: c.poll, slow: c.slow, spin: c.spin, middleware: c.middleware}
	for i := range b.queues {
		b.queues[i] = newQueue(b, Queue(i), c.queues[i])
	}
	b.makeProcessors(c.single)
	b.watch = newWatch(b, c.slow)
	return b, nil
}

// WithLogger sets the logger. Processor starts and stops are logged at INFO,
// handler calls at DEBUG, drops and slow handlers at WARN, failures of handlers
// at ERROR, and failures of a processor itself 4 above ERROR. A logger that
// panics is contained.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil; to log nothing, give it slog.DiscardHandler")
		}
		c.logger = l
		return nil
	}
}

// WithQueue replaces the configuration of one queue.
func WithQueue(q Queue, qc QueueConfig) Option {
	return func(c *config) error {
		if q >= numQueues {
			return fmt.Errorf("WithQueue: %w: %v", ErrUnknownQueue, q)
		}
		if err := qc.validate(); err != nil {
			return fmt.Errorf("WithQueue: %v queue: %w", q, err)
		}
		c.queues[q] = qc
		return nil
	}
}

// WithPollInterval sets how often an idle processor looks again though nothing
// has woken it; 100 ms without this option.
func WithPollInterval(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithPollInterval: the interval is %v, want more than 0", d)
		}
		c.poll = d
		return nil
	}
}

// WithSlowHandler sets how long a handler may run before it is reported as
// slow: once while it still runs, at most a quarter of d late, and once when it
// has ended. 0 turns the reports off. Without this option d is 10 ms.
func WithSlowHandler(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return fmt.Errorf("WithSlowHandler: the limit is %v, want 0 or more", d)
		}
		c.slow = d
		return nil
	}
}

// WithErrorHandler sets a function that gets every failure of a handler, on the
// goroutine of the processor and after it was logged. The context is the failed
// handler's, so f may publish. If f panics, that is logged.
func WithErrorHandler(f func(ctx context.Context, err *HandlerError)) Option {
	return func(c *config) error {
		if f == nil {
			return errors.New("WithErrorHandler: the function is nil")
		}
		c.onError = f
		return nil
	}
}

// WithSpin lets a processor that has run dry look for events for up to d before
// it sleeps. That takes a core, and saves the time that waking it costs. The
// default is 0: it sleeps after a few looks.
func WithSpin(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return fmt.Errorf("WithSpin: the duration is %v, want 0 or more", d)
		}
		c.spin = d
		return nil
	}
}

// WithSingleThread lets one goroutine serve the three queues: orders before
// signals before data, one event at a time. Handlers never run concurrently, so
// what only handlers use needs no lock; the order in which queues take turns is
// that of [Bus.RunUntilIdle]. An order is the next event handled, however much
// data waits.
func WithSingleThread() Option {
	return func(c *config) error {
		c.single = true
		return nil
	}
}

// Subscribe makes h handle the events of type t, after the handlers that are
// subscribed to it already. An event that is being dispatched when Subscribe is
// called may miss h; those that are published after it returns do not. A
// handler that is subscribed twice is called twice.
//
// Subscribe panics if t is empty, h is nil or an option is invalid. After
// [Bus.Shutdown] no handler is called any more.
func (b *Bus) Subscribe(t EventType, h Handler, opts ...SubscribeOption) *Subscription {
	if t == "" {
		panic("eventbus: Subscribe: the event type is empty")
	}
	s := newSubscription(b, fmt.Sprintf("Subscribe to %s", t), t, h, opts)
	if !s.wantsLast || !b.subscribeWithLast(s) {
		b.subscribe(s)
	}
	return s
}

// SubscribeFunc is [Bus.Subscribe] for a function.
func (b *Bus) SubscribeFunc(t EventType, f func(context.Context, Event) error, opts ...SubscribeOption) *Subscription {
	return b.Subscribe(t, HandlerFunc(f), opts...)
}

// SubscribeAll makes h a tap: it handles the events of every type, those that
// nobody has subscribed to included, in its place among the other handlers: after
// those that subscribed before it. An event that only taps see still counts as
// Unhandled in [QueueStats], so that a recorder does not hide that nobody acts
// on a type. In [HandlerStats] the type of a tap is empty.
//
// SubscribeAll panics if h is nil or an option is invalid. After [Bus.Shutdown]
// no handler is called any more.
func (b *Bus) SubscribeAll(h Handler, opts ...SubscribeOption) *Subscription {
	s := newSubscription(b, "SubscribeAll", "", h, opts)
	b.subscribe(s)
	return s
}
