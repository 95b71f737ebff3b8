package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/internal/bustest"
)

var (
	oneSeed = flag.Int64("seed", -1, "run the schedule of this seed only")
	seeds   = flag.Int("seeds", 0, "how many schedules to run")
	without = flag.String("off", "", "features to leave out, with commas between: "+allFeatures.String())
	strict  = flag.Bool("strict", false, "hold a bus from before the law to the law")
)

func TestMain(m *testing.M) {
	flag.Parse()
	law = law || *strict
	goleak.VerifyTestMain(m)
}

// Whatever happens to a bus, each event has exactly one fate: it is handled,
// evicted, conflated, withdrawn, handed back or refused with an error, or it
// expires. The accounts agree with those of the test, the order of each publisher
// holds, nobody waits longer than he has to, and no goroutine is left. Most
// schedules run in synctest bubbles, where nothing but the bus decides how long
// it takes; each fourth runs in real time.
func TestBusAccountsUnderChaos(t *testing.T) {
	n, first := 30, rand.Uint64N(1<<40)
	if testing.Short() {
		n = 10
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
			bustest.Tell(t, *seeds > 0, "%d of %d seeds from %d, %d events, %v, about %v left",
				i+1, n, first, events, time.Since(began).Round(time.Second), left.Round(time.Second))
		}
	}
}

// Nobody is overtaken by a later one of its own list, but that a handler on a
// cycle moves up past others that wait, and past none of them more than capacity
// times. No queue defers more than twice its capacity and 3.
func TestPublishKeepsItsPlaceInLine(t *testing.T) {
	runPrograms(t, 6, func(t *testing.T, seed uint64) { run(t, decodeLine(bytesOf(seed), leftOut(t)), false) })
}

// nil from Shutdown means that nothing was refused to a handler, cut or left,
// whenever it gives up.
func TestShutdownTellsOfAllThatItRefused(t *testing.T) {
	runPrograms(t, 40, func(t *testing.T, seed uint64) { run(t, decodeDrain(bytesOf(seed)), true) })
}

// Stop and Pause give the room there is to the handlers that wait, in order, and defer
// the rest: none is refused whom the bound allows, and PublishWait tells the truth.
func TestStopGivesTheRoomToThoseWhoWait(t *testing.T) {
	runPrograms(t, 40, func(t *testing.T, seed uint64) { run(t, decodeHalt(bytesOf(seed)), false) })
}

// runPrograms runs n programs, or as many as the flags say.
func runPrograms(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	first := rand.Uint64N(1 << 40)
	switch {
	case *oneSeed >= 0:
		n, first = 1, uint64(*oneSeed)
	case *seeds > 0:
		n = *seeds
	case testing.Short():
		n /= 3
	}
	for i := range n {
		seed := first + uint64(i)
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) }) {
			t.Logf("replay with go test -race ./internal/chaos -run '^%s$' -seed %d -count 20 -off %q", t.Name(), seed, *without)
			return
		}
	}
}

func runSeed(t *testing.T, seed uint64, realTime bool) (events int) {
	kind := "bubble"
	if realTime {
		kind = "real"
	}
	off := leftOut(t)
	if !t.Run(fmt.Sprintf("seed=%d/%s", seed, kind), func(t *testing.T) {
		events = run(t, decodeSchedule(bytesOf(seed), off), realTime)
	}) {
		t.Logf("replay with go test -race ./internal/chaos -run '^TestBusAccountsUnderChaos$' -seed %d -count 20 -off %q", seed, *without)
	}
	return events
}

// Whatever bytes a schedule is made of, a run of it keeps the accounts. What
// the fuzzer finds is worth more than what chance finds: it looks for bytes that
// reach other code.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(20) {
		f.Add(bytesOf(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxBytes {
			t.Skip("bytesOf makes no longer ones, and it would take long")
		}
		run(t, decodeSchedule(data, leftOut(t)), false)
	})
}

// leftOut returns the features that -off names.
func leftOut(t *testing.T) feature {
	off, err := parseFeatures(*without)
	require.NoError(t, err)
	return off
}
