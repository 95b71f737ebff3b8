package eventbus_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var (
	oneSeed = flag.Int64("seed", -1, "run the property test with this seed only")
	seeds   = flag.Int("seeds", 0, "how many seeds the property test runs")
)

// D13: whatever happens to a bus, each event has exactly one fate: it is
// handled, evicted, conflated, handed back or refused with an error, or it
// expires. The accounts agree
// with those of the test, the order of each publisher holds, nobody waits longer
// than he has to, and no goroutine is left. Most schedules run in synctest
// bubbles, where nothing but the bus decides how long it takes; each fourth runs
// in real time.
func TestAccountsUnderChaos(t *testing.T) {
	n, first := 250, rand.Uint64N(1<<40)
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
	c := &chaos{realTime: realTime, ledger: ledger{plan: &s, inBubble: !realTime}}
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
	all := stacks()
	c.mu.Lock()
	defer c.mu.Unlock()
	panic(fmt.Sprintf("%s hangs; before that: %q\n%+v\n\n%s", name, c.violations, *c.plan, all))
}
