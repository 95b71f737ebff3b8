package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

// A chaos is a run of a schedule.
type chaos struct {
	t        *testing.T
	realTime bool
	ledger

	bus       *eventbus.Bus
	closing   atomic.Bool  // Shutdown has been called, or is about to be
	closed    atomic.Int64 // at this time, in nanoseconds; 0 if it was not
	stepping  atomic.Bool  // so has RunUntilIdle
	mishaps   atomic.Int64
	numbers   [3]int       // of the publishes by the handlers of a queue, who write them
	strangers [3]int       // and of those by handlers with a context of their own
	sources   atomic.Int64 // how many calls of Async handlers have published
	answers   atomic.Int64 // how many times handlers have answered an event
	aside     atomic.Int64 // how many calls of Async handlers with a timeout run
	asides    atomic.Int64 // how many have begun
	contexts  []context.CancelFunc

	subMu       sync.Mutex
	subscribers []*subscriber // in the order of subscription
	passing     []*subscriber // those who come and go
}

func topic(n int) eventbus.EventType { return eventbus.EventType(fmt.Sprint("topic ", n)) }

// scaled returns d, or what stands for it in real time.
func (c *chaos) scaled(d time.Duration) time.Duration {
	if c.realTime && d > 0 && d < time.Hour {
		return max(d/50, time.Microsecond)
	}
	return d
}

func (c *chaos) run() {
	before := goleak.IgnoreCurrent()
	c.open()
	for i, r := range c.plan.rounds {
		c.round(i, r)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.control(c.plan.end)
	}()
	c.await(done)
	if err := goleak.Find(before); err != nil {
		c.violated("%v", err)
	}
	err := c.bus.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "late", Data: new(entry)})
	if !errors.Is(err, eventbus.ErrClosed) {
		c.violated("after Shutdown, Publish returned %v", err)
	}
	stats := c.bus.Stats()
	stats.Queues[eventbus.DataQueue].Rejected-- // the one above
	c.verifyResult()
	c.verify(stats, c.subscribers, c.shutdowns[0].err)
	expect(&c.ledger, 0, stats.Abandoned, "Abandoned")
	if !c.interrupted() {
		c.verifySubscribers(stats.Handlers, c.subscribers)
	}
	c.judge()
}

// interrupted reports whether a handler has ended RunUntilIdle with its
// goroutine, and nobody went on with its event.
func (c *chaos) interrupted() bool {
	for i := range c.queues {
		if c.queues[i].pending != nil {
			return true
		}
	}
	return false
}

// judge fails the test if there were violations.
func (c *chaos) judge() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.violations {
		c.t.Error(v)
	}
	if c.violations != nil {
		c.t.Fatalf("%v\n%+v", c.bus.Stats(), *c.plan)
	}
}

// fail ends the run.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	c.violated(format, args...)
	c.judge()
}

func (c *chaos) open() {
	s := c.plan
	options := []eventbus.Option{
		eventbus.WithPollInterval(s.poll), eventbus.WithSlowHandler(c.scaled(s.slow)),
		eventbus.WithLogger(slog.New(&troubledLogger{slog.DiscardHandler, c})),
		eventbus.WithErrorHandler(c.onError),
	}
	for i := range s.queues {
		options = append(options, eventbus.WithQueue(eventbus.Queue(i), s.queues[i].config(c.scaled)))
	}
	for n := range s.layers {
		options = append(options, eventbus.WithMiddleware(c.layer(n+1)))
	}
	if s.mode == single {
		options = append(options, eventbus.WithSingleThread())
	}
	if c.realTime {
		options = append(options, eventbus.WithSpin(s.spin))
	}
	var err error
	c.bus, err = eventbus.New(options...)
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		for _, cancel := range c.contexts {
			cancel()
		}
	})
	killAtEnd(c.t, c.bus)
	c.subscribeFirst()
}

// subscribeFirst subscribes the ear, and those who are there all the time.
func (c *chaos) subscribeFirst() {
	silent := []step{{}}
	if c.plan.ear {
		c.subscribe(shape{all: true}, silent)
	}
	for t, q := range c.plan.retained {
		if q >= 0 {
			c.subscribe(shape{topic: t, typed: true}, silent)
		}
	}
	for _, h := range c.plan.handlers {
		c.subscribe(h.shape, h.script)
	}
}

// killAtEnd shuts b down when the test ends. If b has lost an event, that may
// spin for ever.
func killAtEnd(t *testing.T, b *eventbus.Bus) {
	t.Cleanup(func() {
		select {
		case <-inBackground(func() error { return b.Shutdown(ended()) }):
		case <-time.After(time.Second):
			t.Error("Shutdown does not return either")
		}
	})
}

func (c *chaos) round(number int, r round) {
	var work sync.WaitGroup
	for i, list := range r.publishers {
		work.Go(func() {
			for n, p := range list {
				time.Sleep(c.scaled(p.pause))
				c.publish(context.Background(), p, &entry{source: firstPublisher + i, number: (number*1000 + n) * numbersPerPublish}, outside)
			}
		})
	}
	for _, list := range r.controllers {
		work.Go(func() {
			for _, call := range list {
				time.Sleep(c.scaled(call.pause))
				c.control(call)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	c.await(done)
	c.settle()
}

// await waits for done. It starts the bus whenever somebody has stopped it, or
// steps it, ends all pauses, and else gives no help: the bus polls once an hour.
func (c *chaos) await(done <-chan struct{}) {
	for range patienceTicks {
		select {
		case <-done:
			return
		case <-time.After(c.tick()):
			c.goOn()
		}
	}
	c.fail("publishers or Shutdown hang\n%s", stacks())
}

// patienceTicks is how often a run is helped before it is taken for hung.
const patienceTicks = 5000

func (c *chaos) tick() time.Duration {
	if c.realTime {
		return 3 * time.Millisecond
	}
	return 300 * time.Millisecond
}

// settle brings the bus to rest and compares the accounts.
func (c *chaos) settle() {
	late := 0
	for range 100_000 { // handlers may stop or pause it at each event
		c.goOn()
		quiet, asides := c.aside.Load() == 0, c.asides.Load()
		ctx, cancel := context.WithTimeout(context.Background(), c.tick())
		err := c.bus.Flush(ctx)
		cancel()
		switch {
		case c.closing.Load():
			return
		case err == nil && !(quiet && c.asides.Load() == asides): // they may have published since, or may yet
			time.Sleep(c.scaled(time.Millisecond))
		case err == nil:
			c.verifyRest()
			c.judge()
			return
		case errors.Is(err, context.DeadlineExceeded) && late < patienceTicks: // a handler may wait for a queue that is paused
			late++
		case !errors.Is(err, eventbus.ErrNotRunning) && !errors.Is(err, eventbus.ErrPaused):
			c.fail("at rest, Flush returned %v", err)
		}
	}
	c.fail("handlers stop the bus over and over")
}

func (c *chaos) verifyRest() {
	c.verify(c.bus.Stats(), c.subscribers, nil)
	if !c.realTime {
		synctest.Wait() // the counts of handlers come later
		stats := c.bus.Stats()
		expect(&c.ledger, 0, stats.Abandoned, "Abandoned")
		c.verifySubscribers(stats.Handlers, c.subscribers)
	}
}
