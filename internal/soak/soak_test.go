package soak

import (
	"flag"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/internal/bustest"
)

var events = flag.Int64("soak", 200_000, "how many events the load publishes; 72000000 stand for an hour at 20,000 a second")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Under load that keeps every queue full, with all kinds of failures going on,
// memory and goroutines stay flat and the accounts exact. The bus has the
// default capacities and rules, with short timeouts so that they run out; a
// second one drops the oldest.
func TestBusUnderLoadStaysFlat(t *testing.T) {
	long := *events > 1_000_000
	before, began := goleak.IgnoreCurrent(), time.Now()
	s := newSoak(t)
	bustest.Tell(t, long, "GOMAXPROCS=%d GOGC=%s, %d events", runtime.GOMAXPROCS(0), os.Getenv("GOGC"), *events)
	for i := range soakPoints {
		s.segment(*events / soakPoints)
		p := s.measure()
		s.points = append(s.points, p)
		s.verify([numLanes]tally{}, false)
		bustest.Tell(t, long, "point %d: %v", i+1, p)
		require.LessOrEqual(t, p.goroutines, s.atRest, "goroutines at rest")
		require.LessOrEqual(t, p.loadGoroutines, s.atRest+len(s.feeds)+soakSlack, "goroutines under load")
		require.LessOrEqual(t, p.heap, s.points[0].heap+heapSlack, "heap at rest")
		require.LessOrEqual(t, p.loadHeap, s.points[0].heap+heapFull, "heap under load")
	}
	s.kill(before)
	s.verifyLog(time.Since(began))
	bustest.Tell(t, long, "%v\n%s", time.Since(began).Round(time.Second), s.totals())
}
