package main

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/exchange"
)

var kills = flag.Int("kills", 3, "kill the live engine so often; 100 takes some minutes")

// asChild is the environment variable that makes the test binary the live engine; it holds the arguments.
const asChild = "LIVEENGINE_ARGUMENTS"

// child starts the live engine as a process of its own.
func child(t *testing.T, args ...string) (process *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), asChild+"="+strings.Join(args, " "))
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	process.Stdout, process.Stderr = stdout, stderr
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		process.Process.Kill() // does nothing to one that has ended
		process.Wait()
	})
	return process, stdout, stderr
}

func TestLiveEngineSurvivesKill(t *testing.T) {
	w := newWitness(t, exchange.Config{Symbols: []string{"A", "B", "C"}, Interval: time.Second, Speed: 5, Seed: 1, Rejects: 0.2,
		Latency: 2 * time.Millisecond, Drop: 5 * time.Second})
	file := filepath.Join(t.TempDir(), "live.journal")
	args := []string{"-url", w.address, "-journal", file, "-fast", "1", "-slow", "2", "-least", "0", "-log", "error"}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	// anotherOrder returns when the exchange has been sent an order by an engine that has just started.
	anotherOrder := func(stderr *bytes.Buffer) {
		before := w.orders()
		require.Eventually(t, func() bool { return w.orders() > before }, time.Minute, time.Millisecond, stderr)
	}
	for i := range *kills {
		process, _, stderr := child(t, args...)
		if i%3 < 2 { // the others may die before they have read the journal, or while they ask about their orders
			anotherOrder(stderr)
		}
		time.Sleep(upTo(400 * time.Millisecond))
		require.NoError(t, process.Process.Kill())
		process.Wait()
		require.Equal(t, syscall.SIGKILL, process.ProcessState.Sys().(syscall.WaitStatus).Signal(), "it ended by itself: %s", stderr)
		t.Logf("kill %d: %d orders are recorded, and all that were sent are among them", i+1, len(requireRecorded(t, w, file)))
	}
	process, stdout, stderr := child(t, args...)
	anotherOrder(stderr)
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	require.NoError(t, process.Wait(), stderr)
	t.Log(stdout)
	requireSameOrders(t, w, file)
	requireSameBooks(t, w, stdout.String())
}
