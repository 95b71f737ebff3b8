package eventbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/lockrank"
)

// The errors of a [Bus]. Its methods wrap them with the queue and the event type
// concerned: test for them with [errors.Is].
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
	ErrPaused        = errors.New("eventbus: queue is paused")
	ErrUnhandled     = errors.New("eventbus: no handler was called")
)

// A Bus carries events from publishers to handlers through three queues. Make
// one with [New]. All methods may be called concurrently and inside handlers.
type Bus struct {
	// What a publish and a wake-up read comes first, on few cache lines.
	queues     [numQueues]*queue
	processors []*processor // in the order in which RunUntilIdle asks them
	pulse      *pulse
	table      table
	abandoned  abandonedCalls
	spares     sync.Pool // of *publication, beside those of the handlers' contexts; see giveBack
	logs       logs

	logger     *slog.Logger
	onError    []func(context.Context, *HandlerError)
	clock      func() time.Time // nil for time.Now
	poll       time.Duration
	slowWait   time.Duration // of a publish
	spin       time.Duration
	middleware []Middleware // around every handler
	packer     packer       // of what travels with events
	timed      time.Time    // when New was called, with WithLatencies; zero without

	running  atomic.Bool // written under mu and admissionMu
	stepped  atomic.Bool // of Start and RunUntilIdle, the last call was RunUntilIdle; written under mu
	stepping atomic.Bool // RunUntilIdle runs; written under mu
	draining atomic.Bool // Shutdown has begun; written under mu

	// life is guarded by mu, which is taken before all other locks.
	mu   lockrank.Mutex
	life struct {
		session     *session             // nil while the bus does not run
		stepSession *session             // of the last RunUntilIdle; nil if there is none
		shutdown    *shutdown            // nil until Shutdown
		over        []context.CancelFunc // of sessions that nobody is in any more; see unlock
	}

	killed    context.Context // ends when Shutdown gives up
	kill      context.CancelFunc
	observers observers
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
	onError []func(context.Context, *HandlerError)

	clock    func() time.Time
	slowWait time.Duration

	middleware []Middleware
	packer     packer
	latencies  bool
}

const (
	defaultPoll     = 100 * time.Millisecond // a safety net against lost wake-ups: see processor.idle
	defaultSlow     = 10 * time.Millisecond
	defaultSlowWait = time.Second // as long as the data queue waits
)

// New returns a bus that is not started. Without options it has the queues
// described at [DataQueue], polls every 100 ms, and reports handlers that run for
// longer than 10 ms and publishes that wait for longer than 1 s. It logs to the
// logger that [slog.Default] returns when New is called. If an option is invalid, New
// returns a nil Bus and an error that says which.
func New(opts ...Option) (*Bus, error) {
	c := config{logger: slog.Default(), queues: defaultQueues(), poll: defaultPoll, slow: defaultSlow, slowWait: defaultSlowWait}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("eventbus: New: option %d is nil", i)
		}
		if err := opt(&c); err != nil {
			return nil, fmt.Errorf("eventbus: New: %w", err)
		}
	}
	b := &Bus{
		logger: c.logger, onError: c.onError, clock: c.clock, poll: c.poll,
		slowWait: c.slowWait, spin: c.spin, middleware: c.middleware,
	}
	b.packer = c.packer
	if c.latencies {
		b.timed = time.Now()
	}
	b.killed, b.kill = context.WithCancel(context.Background())
	b.mu.SetRank(lockrank.LifeCycle)
	b.table.mu.SetRank(lockrank.Table)
	for i := range b.queues {
		b.queues[i] = newQueue(b, Queue(i), c.queues[i])
	}
	b.makeProcessors(c.single)
	b.pulse = newPulse(b, c.slow)
	return b, nil
}

// makeProcessors makes one processor a queue, or one for all: orders before signals
// before data.
func (b *Bus) makeProcessors(single bool) {
	inOrder := []*queue{b.queues[OrderQueue], b.queues[SignalQueue], b.queues[DataQueue]}
	if single {
		b.processors = []*processor{newProcessor(b, inOrder...)}
		return
	}
	for _, q := range inOrder {
		b.processors = append(b.processors, newProcessor(b, q))
	}
}

// now returns the time of the bus's clock.
func (b *Bus) now() time.Time {
	if b.clock != nil {
		return b.clock()
	}
	return time.Now()
}

// expires reports whether the ages of events are checked. RunUntilIdle checks them
// only if the bus has a clock from WithClock, so that the same events give the same
// calls every day.
func (b *Bus) expires() bool { return b.clock != nil || !b.stepped.Load() }

// machineTime returns how long ago New was called, by the machine's clock. It is read for
// latencies alone.
func (b *Bus) machineTime() time.Duration { return max(1, time.Since(b.timed)) }

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

// WithQueue replaces the whole configuration of one queue: a field that qc leaves zero is
// zero, and not the default. To change one field, begin with [DefaultQueueConfig].
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
// slow: once while it still runs, at most d and 25 ms after it began, and once when
// it has ended. 0 turns the reports off. Without this option d is 10 ms.
func WithSlowHandler(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return fmt.Errorf("WithSlowHandler: the limit is %v, want 0 or more", d)
		}
		c.slow = d
		return nil
	}
}

// WithSlowPublish sets how long a publish may wait for room before that is logged
// at WARN, with queue, type, how long it has waited and what the processor is at.
// 0 turns it off. Without this option d is 1 s.
func WithSlowPublish(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return fmt.Errorf("WithSlowPublish: the limit is %v, want 0 or more", d)
		}
		c.slowWait = d
		return nil
	}
}

// WithClock sets the clock by which events get their time and their age: that of
// [Topic.Publish], and of an event with a zero Time where a maximum age applies; and
// what MaxAge compares with. It is read once a publish or batch and once an event
// that can expire, without a lock, and concurrently. If it panics, the publish
// returns an error that wraps [ErrInvalidEvent], or the event has expired. Without
// this option the clock is [time.Now], and in [Bus.RunUntilIdle] nothing expires.
// Time limits, slow reports and throttles use the machine's clock.
func WithClock(now func() time.Time) Option {
	return func(c *config) error {
		if now == nil {
			return errors.New("WithClock: the function is nil")
		}
		c.clock = now
		return nil
	}
}

// WithErrorHandler adds a function that gets every failure of a handler, on the
// goroutine of the processor and after it was logged. The context is the failed
// handler's, so f may publish. If f panics, that is logged. Given several times,
// the functions are called in that order.
func WithErrorHandler(f func(ctx context.Context, err *HandlerError)) Option {
	return func(c *config) error {
		if f == nil {
			return errors.New("WithErrorHandler: the function is nil")
		}
		c.onError = append(c.onError, f)
		return nil
	}
}

// WithSpin lets a processor that has run dry look for events for up to d before
// it sleeps. That takes a core, and saves the time that waking it costs. The
// default is 0: it sleeps at once.
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
// subscribed to it already, unless [WithPriority] says otherwise. An event that is
// being dispatched when Subscribe is called may miss h; those that are published
// after it returns do not. A handler that is subscribed twice is called twice.
//
// Subscribe panics if t is empty, h is nil or an option is invalid. Once
// [Bus.Shutdown] is complete no handler is called any more: a subscription is then
// logged at WARN, and its [Subscription.Done] is closed.
func (b *Bus) Subscribe(t EventType, h Handler, opts ...SubscribeOption) *Subscription {
	if t == "" {
		panic("eventbus: Subscribe: the event type is empty")
	}
	s := newSubscription(&Subscription{bus: b, eventType: t}, "Subscribe to "+quoted(t), h, opts)
	if s.wantsLast {
		b.subscribeWithLast(s)
	} else {
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
// those that subscribed before it, unless [WithPriority] says otherwise. An event that
// only taps see still counts as Unhandled in [QueueStats], so that a recorder does not
// hide that nobody acts on a type. In [HandlerStats] the type of a tap is empty.
//
// SubscribeAll panics if h is nil or an option is invalid. After [Bus.Shutdown]
// no handler is called any more: see [Bus.Subscribe].
func (b *Bus) SubscribeAll(h Handler, opts ...SubscribeOption) *Subscription {
	s := newSubscription(&Subscription{bus: b}, "SubscribeAll", h, opts)
	b.subscribe(s)
	return s
}
