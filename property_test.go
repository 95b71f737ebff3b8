package eventbus_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
)

var (
	oneSeed = flag.Int64("seed", -1, "run the property test with this seed only")
	seeds   = flag.Int("seeds", 0, "how many seeds the property test runs")
)

// D13: whatever happens to a bus, each event has exactly one fate: it is
// handled, evicted, handed back or refused with an error. The accounts agree
// with those of the test, the order of each publisher holds, nobody waits longer
// than he has to, and no goroutine is left. Most schedules run in synctest
// bubbles, where nothing but the bus decides how long it takes; each fourth runs
// in real time.
func TestAccountsUnderChaos(t *testing.T) {
	n, first := 400, rand.Uint64N(1<<40)
	if testing.Short() {
		n = 60
	}
	if *seeds > 0 {
		n = *seeds
	}
	if *oneSeed >= 0 {
		runSeed(t, uint64(*oneSeed), false)
		runSeed(t, uint64(*oneSeed), true)
		return
	}
	began, told, events := time.Now(), time.Now(), 0
	for i := range n {
		events += runSeed(t, first+uint64(i), i%4 == 3)
		if t.Failed() {
			return
		}
		if i+1 == n || time.Since(told) > 10*time.Second {
			told = time.Now()
			left := time.Since(began) / time.Duration(i+1) * time.Duration(n-i-1)
			tell(t, *seeds > 0, "%d of %d seeds from %d, %d events, %v, about %v left",
				i+1, n, first, events, time.Since(began).Round(time.Second), left.Round(time.Second))
		}
	}
}

// tell logs how far a test is, and at once if it takes long.
func tell(t *testing.T, long bool, format string, args ...any) {
	t.Logf(format, args...)
	if long {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
}

func runSeed(t *testing.T, seed uint64, realTime bool) (events int) {
	kind := "bubble"
	if realTime {
		kind = "real"
	}
	if !t.Run(fmt.Sprintf("seed=%d/%s", seed, kind), func(t *testing.T) {
		events = runSchedule(t, decodeSchedule(bytesOf(seed)), realTime)
	}) {
		t.Logf("replay with go test -race -run '^TestAccountsUnderChaos$' -seed %d -count 20 .", seed)
	}
	return events
}

func runSchedule(t *testing.T, s schedule, realTime bool) (events int) {
	t.Helper()
	c := &chaos{schedule: s, realTime: realTime, ledger: ledger{inBubble: !realTime}}
	watchdog := time.AfterFunc(30*time.Second, func() { c.hangs(t.Name()) })
	defer watchdog.Stop()
	run := func(t *testing.T) {
		c.t = t
		c.run()
	}
	if realTime {
		run(t)
	} else {
		bubble(t, run)
	}
	return len(c.entries)
}

// hangs ends a run that does not end by itself. A goroutine that spins, in a
// bubble above all, cannot be ended from outside, so the process has to go, with
// all that is known of the run.
func (c *chaos) hangs(name string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	c.mu.Lock()
	defer c.mu.Unlock()
	panic(fmt.Sprintf("%s hangs; before that: %q\n%+v\n\n%s", name, c.violations, c.schedule, stacks))
}

// A chaos is a run of a schedule.
type chaos struct {
	t        *testing.T
	schedule schedule
	realTime bool
	ledger

	bus      *eventbus.Bus
	closing  atomic.Bool // Shutdown has been called
	mishaps  atomic.Int64
	numbers  [3]int // of the publishes by the handlers of a queue, who write them
	contexts []context.CancelFunc

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
	for i, r := range c.schedule.rounds {
		c.round(i, r)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.control(c.schedule.end)
	}()
	c.await(done)
	if err := goleak.Find(before); err != nil {
		c.violated("%v", err)
	}
	err := c.bus.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "late"})
	if !errors.Is(err, eventbus.ErrClosed) {
		c.violated("after Shutdown, Publish returned %v", err)
	}
	stats := c.bus.Stats()
	stats.Queues[eventbus.DataQueue].Rejected-- // the one above
	c.verifyResult()
	c.verify(stats, c.subscribers, c.shutdowns[0].err)
	c.verifySubscribers(stats.Handlers, c.subscribers)
	c.judge()
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
		c.t.Fatalf("%v\n%+v", c.bus.Stats(), c.schedule)
	}
}

// fail ends the run.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	c.violated(format, args...)
	c.judge()
}

func (c *chaos) open() {
	s := c.schedule
	options := []eventbus.Option{
		eventbus.WithPollInterval(s.poll), eventbus.WithSlowHandler(c.scaled(s.slow)),
		eventbus.WithLogger(slog.New(&troubledLogger{slog.DiscardHandler, c})),
		eventbus.WithErrorHandler(c.onError),
	}
	for i := range s.queues {
		s.queues[i].Timeout = c.scaled(s.queues[i].Timeout)
		options = append(options, eventbus.WithQueue(eventbus.Queue(i), s.queues[i]))
	}
	c.schedule = s
	var err error
	c.bus, err = eventbus.New(options...)
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		for _, cancel := range c.contexts {
			cancel()
		}
	})
	killAtEnd(c.t, c.bus)
	for i := range s.handlers {
		c.subscribe(s.handlers[i].topic, &s.handlers[i])
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
				c.publish(context.Background(), p, &entry{source: 3 + i, number: number*1000 + n}, false)
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

// await waits for done. It starts the bus whenever somebody has stopped it, and
// else gives no help: the bus polls once an hour.
func (c *chaos) await(done <-chan struct{}) {
	for range 2000 {
		select {
		case <-done:
			return
		case <-time.After(c.patience() / 2000):
			_ = c.bus.Start(context.Background())
		}
	}
	stacks := make([]byte, 1<<20)
	c.fail("publishers or Shutdown hang\n%s", stacks[:runtime.Stack(stacks, true)])
}

func (c *chaos) patience() time.Duration {
	if c.realTime {
		return 20 * time.Second
	}
	return 10 * time.Minute
}

// settle brings the bus to rest and compares the accounts.
func (c *chaos) settle() {
	for range 100_000 { // handlers may stop it at each event
		_ = c.bus.Start(context.Background())
		ctx, cancel := context.WithTimeout(context.Background(), c.patience())
		err := c.bus.Flush(ctx)
		cancel()
		switch {
		case c.closing.Load():
			return
		case err == nil:
			c.verify(c.bus.Stats(), c.subscribers, nil)
			if !c.realTime {
				synctest.Wait() // the counts of handlers come later
				c.verifySubscribers(c.bus.Stats().Handlers, c.subscribers)
			}
			c.judge()
			return
		case !errors.Is(err, eventbus.ErrNotRunning):
			c.fail("at rest, Flush returned %v", err)
		}
	}
	c.fail("handlers stop the bus over and over")
}
