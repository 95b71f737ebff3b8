package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A machine is a run of a schedule.
type machine struct {
	t        *testing.T
	plan     *schedule
	realTime bool
	subjects []*subject

	clock   atomic.Int64 // counts what happens, to tell what came first
	answers atomic.Int64 // how many times handlers have answered an event
	sources atomic.Int64 // how many publishers there are beside those with a number of their own
	aside   atomic.Int64 // how many goroutines run beside the handlers that have started them
	asides  atomic.Int64 // how many have begun
	halts   atomic.Int64 // how many times loggers have stopped or paused a bus
	waiting atomic.Int64 // how many calls of Flush and Shutdown have not returned

	noise sync.RWMutex // held by loggers that call a bus, and while the accounts are compared

	mu         sync.Mutex
	contexts   []context.CancelFunc // guarded by mu: to end when the run is over
	deadlines  []time.Time          // guarded by mu: of contexts that sessions may have
	violations []string             // guarded by mu
}

// Run runs a schedule and fails t if a bus breaks a promise. It returns how many
// events were published.
func run(t *testing.T, s schedule, realTime bool) (events int) {
	t.Helper()
	m := &machine{plan: &s, realTime: realTime}
	watchdog := time.AfterFunc(60*time.Second, func() { m.hangs(t.Name()) })
	defer watchdog.Stop()
	body := func(t *testing.T) {
		m.t = t
		m.run()
	}
	if realTime {
		body(t)
	} else {
		bustest.Bubble(t, body)
	}
	for _, b := range m.subjects {
		events += len(b.entries)
	}
	return events
}

// scaled returns d, or what stands for it in real time.
func (m *machine) scaled(d time.Duration) time.Duration {
	if m.realTime && d > 0 && d < time.Hour {
		return max(d/50, time.Microsecond)
	}
	return d
}

func (m *machine) run() {
	before := goleak.IgnoreCurrent()
	m.t.Cleanup(func() {
		for _, cancel := range m.contexts {
			cancel()
		}
	})
	for i := range m.plan.buses {
		m.open(i)
	}
	for _, b := range m.subjects {
		b.subscribeFirst()
	}
	for i, r := range m.plan.rounds {
		m.round(i, r)
	}
	m.shutdown()
	m.join(before)
	for _, b := range m.subjects {
		b.verifyEnd()
	}
	m.judge()
}

// keep keeps the end of a context for the end of the run.
func (m *machine) keep(cancel context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contexts = append(m.contexts, cancel)
}

func (m *machine) round(number int, r round) {
	var work sync.WaitGroup
	for i, list := range r.publishers {
		work.Go(func() {
			for n, p := range list {
				time.Sleep(m.scaled(p.pause))
				e := &entry{source: firstPublisher + i, number: (number*1000 + n) * numbersPerPublish}
				m.subjects[p.bus].publish(context.Background(), p, e, outside)
			}
		})
	}
	for _, list := range r.controllers {
		work.Go(func() {
			for _, call := range list {
				time.Sleep(m.scaled(call.pause))
				m.subjects[call.bus].control(context.Background(), call)
			}
		})
	}
	m.await("publishers or calls of the bus", work.Wait, true)
	m.settle()
}

// shutdown shuts all buses down that nobody has shut down yet. The last events
// are on their way by then.
func (m *machine) shutdown() {
	var work sync.WaitGroup
	for i, b := range m.subjects {
		work.Go(func() {
			p := m.plan.buses[i]
			time.Sleep(m.scaled(p.end.pause))
			source := m.otherSource()
			for n, last := range p.last {
				e := &entry{source: source, number: n * numbersPerPublish}
				b.publish(context.Background(), last, e, outside)
			}
			b.control(context.Background(), p.end)
		})
	}
	m.await("Shutdown", work.Wait, false)
}

// join waits until all goroutines of the run have ended, and sees what they
// wrote last.
func (m *machine) join(before goleak.Option) {
	if err := goleak.Find(before); err != nil {
		m.violated("%v", err)
	}
	busy := m.aside.Load() != 0
	for _, b := range m.subjects {
		for i := range b.lanes {
			busy = b.lanes[i].Load() || busy
		}
	}
	if busy {
		m.violated("a handler still runs")
	}
}

// The limits of await, in ticks without any event. Timeouts of the schedules end
// within four ticks, in which nothing may happen.
const (
	stuckTicks = 6  // Flush and Shutdown end by then
	hungTicks  = 40 // so does everything else
)

// await waits until wait returns. After some ticks without any event it starts
// the buses that somebody has stopped, or steps them, and ends all pauses, if it
// may help. Else it gives no help: the buses poll once an hour.
func (m *machine) await(what string, wait func(), help bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	idle, before := 0, int64(0)
	for {
		select {
		case <-done:
			return
		case <-time.After(m.tick()):
		}
		if now := m.clock.Load(); now != before {
			idle, before = 0, now
		} else {
			idle++
		}
		if !m.realTime && idle == stuckTicks && m.waiting.Load() > 0 {
			m.violated("Flush or Shutdown does not return, though nothing happens\n%s", bustest.Stacks())
		}
		if idle > hungTicks && (!m.realTime || idle > patienceTicks) {
			m.fail("%s hang\n%s", what, bustest.Stacks())
		}
		if help && idle >= m.plan.patience-1 {
			m.goOn()
		}
	}
}

// patienceTicks is how long a run in real time waits for the operating system.
const patienceTicks = 5000

func (m *machine) tick() time.Duration {
	if m.realTime {
		return 3 * time.Millisecond
	}
	return 300 * time.Millisecond
}

func (m *machine) goOn() {
	for _, b := range m.subjects {
		b.goOn()
	}
}

// settle brings the buses to rest and compares the accounts. They are at rest
// when all have been flushed and nothing has happened meanwhile.
func (m *machine) settle() {
	idle, last := 0, int64(0)
	for range 100_000 { // handlers may stop or pause a bus at each event
		before, asides := m.clock.Load(), m.asides.Load()
		if idle++; before+asides != last { // a logger may stop the bus at each start, until it has had its say
			idle, last = 0, before+asides
		}
		if idle > hungTicks && (!m.realTime || idle > patienceTicks) {
			m.fail("the buses do not come to rest\n%s", bustest.Stacks())
		}
		m.goOn()
		quiet := m.aside.Load() == 0
		for _, b := range m.subjects {
			quiet = b.flushed() && quiet
		}
		if !m.realTime {
			synctest.Wait() // loggers, and the counts of handlers, come later
		}
		if quiet && m.asides.Load() == asides && m.clock.Load() == before && m.verifyRest(before) {
			m.judge()
			return
		}
		time.Sleep(m.scaled(time.Millisecond))
	}
	m.fail("handlers stop the bus over and over\n%s", bustest.Stacks())
}

// verifyRest compares the accounts, and reports whether the buses were at rest,
// as they were before, when it asked for them. A processor may still be about to log: its
// logger waits until the accounts are compared.
func (m *machine) verifyRest(before int64) bool {
	if !m.noise.TryLock() {
		return false
	}
	defer m.noise.Unlock()
	var stats []eventbus.Stats
	for _, b := range m.subjects {
		stats = append(stats, b.bus.Stats())
	}
	if m.clock.Load() != before {
		return false
	}
	for i, b := range m.subjects {
		if !b.closing.Load() {
			b.verifyRest(stats[i])
		}
	}
	return true
}

// anyGaveUp reports whether the Shutdown of a bus may have given up.
func (m *machine) anyGaveUp() bool {
	return slices.ContainsFunc(m.subjects, func(b *subject) bool { return b.closing.Load() })
}

func (m *machine) violated(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.violations) < 8 {
		m.violations = append(m.violations, fmt.Sprintf(format, args...))
	}
}

// judge fails the test if there were violations.
func (m *machine) judge() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.violations {
		m.t.Error(v)
	}
	if m.violations == nil {
		return
	}
	for _, b := range m.subjects {
		m.t.Logf("bus %d\n%v", b.index, b.bus.Stats())
	}
	m.t.Fatalf("%v", *m.plan)
}

// fail ends a run whose goroutines may never end. In a bubble that ends the
// process, so it tells at once what it knows.
func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	m.violated(format, args...)
	m.mu.Lock()
	for _, v := range m.violations {
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.t.Name(), v)
	}
	m.mu.Unlock()
	m.judge()
}

// hangs ends a run that does not end by itself. A goroutine that spins, in a
// bubble above all, cannot be ended from outside, so the process has to go, with
// all that is known of the run.
func (m *machine) hangs(name string) {
	all := bustest.Stacks()
	m.mu.Lock()
	defer m.mu.Unlock()
	panic(fmt.Sprintf("%s hangs; before that: %q\n%+v\n\n%s", name, m.violations, *m.plan, all))
}

var errExited = errors.New("a handler has ended the goroutine")
