package eventbustest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

// An Option changes what [New] does.
type Option func(*config) error

// A config is what the options set.
type config struct {
	bus            []eventbus.Option
	level          slog.Leveler
	allowErrors    bool
	allowLeftovers bool
	notStarted     bool
	log            eventLog
}

// WithBus passes options to [eventbus.New]. They come after those with which
// New sets the logger and the error handler. So [eventbus.WithLogger] replaces
// New's logger, and a function given to [eventbus.WithErrorHandler] is called
// after New's: whatever it does, the test fails on handler errors and is told
// which. Given several times, the options add up.
func WithBus(opts ...eventbus.Option) Option {
	return func(c *config) error {
		c.bus = append(c.bus, opts...)
		return nil
	}
}

// WithLogLevel sets the lowest level that the bus logs to the test. Without it
// that is WARN, and a test in which nothing goes wrong logs nothing. INFO adds the
// start and the stop of each processor, DEBUG every handler call.
func WithLogLevel(l slog.Leveler) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("WithLogLevel: the level is nil")
		}
		c.level = l
		return nil
	}
}

// AllowHandlerErrors lets handlers fail: return an error, panic, or end their
// goroutine. The failures are logged but do not fail the test.
func AllowHandlerErrors() Option {
	return func(c *config) error {
		c.allowErrors = true
		return nil
	}
}

// AllowLeftovers lets the test end with events that no handler was called for
// and with handlers that still run. The bus is then not drained at the end of
// the test but stopped where it is, and the handlers' context ends.
func AllowLeftovers() Option {
	return func(c *config) error {
		c.allowLeftovers = true
		return nil
	}
}

// NotStarted leaves it to the test to start the bus, or to step it with
// [eventbus.Bus.RunUntilIdle], which runs all handlers on the test's goroutine.
// If the bus does not run when the test ends, what has not been handled is left
// over. While a test that steps waits, nothing comes, so its recorders need not:
// with [Recorder.Within] 0 an expectation that is not met fails at once.
func NotStarted() Option {
	return func(c *config) error {
		c.notStarted = true
		return nil
	}
}

const (
	// drainTime is how long the end of a test waits for handlers. Only a test
	// that fails, or has slow handlers, notices.
	drainTime = 5 * time.Second

	// graceTime is how long handlers may take to see that their context has
	// ended, before the test ends without them.
	graceTime = time.Second
)

// New returns a bus for t that runs, unless [NotStarted] says otherwise. It is
// configured as [eventbus.New] does it, except for two things:
//
//   - It logs to t, at WARN and above. What it would log after t has ended is
//     dropped.
//   - When a handler fails, t fails, and goes on. The first ten failures are
//     told with the handler, the queue, the error, the event and, after a panic,
//     the stack. If there are more, the end of t tells how often which handler
//     failed on which type of which queue, and with which errors.
//
// When t and its subtests have ended, with t's cleanup functions, the bus is
// shut down. It handles what is queued, for up to 5 s. If a handler runs for
// longer, or events are left because of that or because the bus was stopped, t
// fails and is told what is left. A test that shuts the bus down itself with
// events left fails too, unless it says [AllowLeftovers]. Events that a queue's
// rule dropped, evicted, replaced or let expire, and those without a handler, are
// neither leftovers nor failures.
//
// If an option is invalid, New ends t with Fatal. It must be called from the
// goroutine that runs t. The context of handlers does not end with t's
// context, but when the bus has shut down.
//
// To see in t's log which events the bus handles, use [LogEvents].
func New(t testing.TB, opts ...Option) *eventbus.Bus {
	t.Helper()
	c, err := configure(opts)
	if err != nil {
		t.Fatalf("eventbustest: New: %v", err)
	}
	out := &output{t: t}
	errs := &failures{out: out, allowed: c.allowErrors}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: c.level}))
	own := []eventbus.Option{eventbus.WithLogger(logger), eventbus.WithErrorHandler(errs.tell)}
	bus, err := eventbus.New(append(own, c.bus...)...)
	if err != nil {
		t.Fatalf("eventbustest: New: %v", err)
	}
	c.log.attach(bus, out)
	t.Cleanup(func() {
		t.Helper()
		defer out.close()
		if err := shutDown(bus, c.allowLeftovers); err != nil && !c.allowLeftovers {
			t.Error(describeLeftovers(err))
		}
		if msg := errs.sum(bus.Stats()); msg != "" {
			t.Error(msg)
		}
	})
	if c.notStarted {
		return bus
	}
	// Not with t's context: that ends before the cleanup functions run, and
	// would stop the bus with events in its queues.
	if err := bus.Start(context.Background()); err != nil {
		t.Fatalf("eventbustest: New: %v", err)
	}
	return bus
}

func configure(opts []Option) (*config, error) {
	c := &config{level: slog.LevelWarn}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("option %d is nil", i)
		}
		if err := opt(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// shutDown shuts bus down and returns what Shutdown does. With atOnce it is not
// drained. If it leaves handlers running, their context has ended, and they get
// a moment to leave so that they do not outlive the test.
func shutDown(bus *eventbus.Bus, atOnce bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if atOnce {
		cancel()
	}
	err := bus.Shutdown(ctx)
	if err == nil && !atOnce {
		err = ranUntilTheEnd(ctx)
	}
	if err != nil {
		grace, cancel := context.WithTimeout(context.Background(), graceTime)
		defer cancel()
		_ = bus.Flush(grace) // after Shutdown, waits for the handlers that still run
	}
	return err
}

// ranUntilTheEnd returns an error if ctx, that of a Shutdown that left nothing,
// has ended: handlers ran until Shutdown gave up and ended their context, though
// they may have returned so soon after that that Shutdown did not see them.
func ranUntilTheEnd(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("a handler still ran %v after the test, until its context ended; the log names slow handlers", drainTime)
}

// maxLeftovers bounds how many leftovers of a queue are listed.
const maxLeftovers = 10

func describeLeftovers(err error) string {
	msg := fmt.Sprintf("eventbustest: the test left work behind (AllowLeftovers allows it): %v", err)
	var s *eventbus.ShutdownError
	if !errors.As(err, &s) {
		return msg
	}
	for q := eventbus.DataQueue; q <= eventbus.OrderQueue; q++ {
		events := s.Remaining[q]
		for _, e := range events[:min(len(events), maxLeftovers)] {
			msg += fmt.Sprintf("\n    %-6v  %s", q, describe(e))
		}
		if n := len(events) - maxLeftovers; n > 0 {
			msg += fmt.Sprintf("\n    %-6v  and %d more", q, n)
		}
	}
	return msg
}
