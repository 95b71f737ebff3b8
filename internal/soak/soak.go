// Package soak keeps every queue of two buses full for a long time, with all
// kinds of failures going on, and compares the accounts of the buses with its own.
package soak

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

const soakPoints = 10 // at which memory and goroutines are measured

const (
	// At rest, a fifo of the line may still reach its full size after the first
	// point, and the runtime keeps a little for goroutines that have ended.
	heapSlack = 256 << 10

	// Under load it is the events in the queues: 1,250 of 72 bytes, and what they
	// carry. The garbage collector counts what died while it ran, which is more.
	heapFull = 4 << 20

	// The watch and the end of a context each run on a goroutine of their own for
	// a moment, and one that runtime.Goexit ends may be there beside its successor.
	soakSlack = 8
)

// A soak is one run of the load.
type soak struct {
	t           *testing.T
	lanes       [numLanes]*lane
	feeds       []*feed
	buses       [2]*eventbus.Bus
	lines       lineCounter
	reports     atomic.Int64
	started     atomic.Int64 // calls of Start that succeeded
	subscribed  int          // how often somebody has come; the rest belongs to the first feed
	churned     []*eventbus.Subscription
	loaded      point
	depths      [numLanes]int // sums
	depthsTaken int
	atRest      int // goroutines
	points      []point
}

// A point is what was measured at one time.
type point struct {
	heap, loadHeap             int // bytes after a garbage collection, at rest and under load
	goroutines, loadGoroutines int
	handled                    uint64
	at                         time.Time
}

func (p point) String() string {
	return fmt.Sprintf("%d events handled, at rest %d KiB and %d goroutines, under load %d KiB and %d goroutines",
		p.handled, p.heap>>10, p.goroutines, p.loadHeap>>10, p.loadGoroutines)
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, atRest: runtime.NumGoroutine() + 2*len(bustest.EveryQueue)}
	common := []eventbus.Option{s.lines.logger(), eventbus.WithErrorHandler(s.onError)}
	configs := [numLanes]eventbus.QueueConfig{
		dataLane:   {Capacity: 1000, Overflow: eventbus.DropNewest, Timeout: time.Millisecond},
		signalLane: {Capacity: 100, Timeout: time.Millisecond},
		orderLane:  {Capacity: 50},
		tapeLane:   {Capacity: 100, Overflow: eventbus.DropOldest},
	}
	options := [2][]eventbus.Option{common, common}
	for i, c := range configs {
		s.lanes[i] = newLane(s, i)
		options[i/3] = append(options[i/3][:len(options[i/3]):len(options[i/3])], eventbus.WithQueue(s.lanes[i].queue, c))
	}
	for i := range s.buses {
		b, err := eventbus.New(options[i]...)
		require.NoError(t, err)
		bustest.KillAtEnd(t, b)
		s.buses[i] = b
		s.start(i)
	}
	for i, l := range s.lanes {
		l.bus = s.buses[i/3]
		l.subscribe()
	}
	for i := range tapeLane { // four publishers for each queue of the first bus
		for range 4 {
			s.feeds = append(s.feeds, &feed{soak: s, lane: s.lanes[i], source: numLanes + len(s.feeds)})
		}
	}
	return s
}

func (s *soak) start(bus int) {
	switch err := s.buses[bus].Start(context.Background()); {
	case err == nil:
		s.started.Add(1)
	case !errors.Is(err, eventbus.ErrRunning) && !errors.Is(err, eventbus.ErrClosed):
		s.t.Errorf("Start returned %v", err)
	}
}

func (s *soak) onError(_ context.Context, err *eventbus.HandlerError) {
	s.reports.Add(1)
	if err.Handler != "trouble" || err.Err == nil || err.Panicked && err.Stack == nil {
		s.t.Errorf("reported: %v", err)
	}
}

// segment publishes n events, whoever comes first.
func (s *soak) segment(n int64) {
	var budget atomic.Int64
	budget.Store(n)
	var work sync.WaitGroup
	for _, f := range s.feeds {
		work.Go(func() {
			for left := budget.Add(-1); left >= 0; left = budget.Add(-1) {
				if f == s.feeds[0] {
					s.meddle(f.published, left < n/2)
				}
				f.publish()
			}
		})
	}
	work.Wait()
	for _, b := range s.buses {
		bustest.Flush(s.t, b)
	}
}

// meddle does what goes on beside the publishing, before the n-th publish of
// the first feed.
func (s *soak) meddle(n int, half bool) {
	if half && s.loaded.goroutines == 0 {
		s.loaded.heap, s.loaded.goroutines = bustest.Heap(), runtime.NumGoroutine()
	}
	switch {
	case n%100 == 1:
		for i, l := range s.lanes {
			s.depths[i] += l.stats().Depth
		}
		s.depthsTaken++
	case n%1000 == 2:
		s.churn(s.lanes[n/1000%numLanes])
	case n%5000 == 3:
		for range 150 { // more than fit
			s.lanes[tapeLane].send(context.Background(), &s.feeds[0].tallies, s.feeds[0].next(), false)
		}
	case n%20_000 == 4:
		bus := n / 20_000 % 2
		s.buses[bus].Stop()
		if n/40_000%2 == 1 { // let the processors leave, unless a handler starts them
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			_ = s.buses[bus].Flush(ctx)
			cancel()
		}
		s.start(bus)
	}
}

// churn makes somebody come, and the one who came eight earlier leave.
func (s *soak) churn(l *lane) {
	s.subscribed++
	s.churned = append(s.churned, l.bus.SubscribeFunc(l.topic, func(context.Context, eventbus.Event) error {
		return nil
	}, eventbus.WithName("passer-by")))
	if len(s.churned) > 8 {
		s.churned[0].Unsubscribe()
		s.churned = append(s.churned[:0], s.churned[1:]...)
	}
}

// measure measures buses at rest. The watch may still look once, on a goroutine
// of its own that ends by itself; a leak never does.
func (s *soak) measure() point {
	goroutines := runtime.NumGoroutine()
	for end := time.Now().Add(bustest.Patience); goroutines > s.atRest && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		goroutines = runtime.NumGoroutine()
	}
	p := point{
		heap: bustest.Heap(), goroutines: goroutines,
		loadHeap: s.loaded.heap, loadGoroutines: s.loaded.goroutines, at: time.Now(),
	}
	for _, l := range s.lanes {
		p.handled += l.handled
	}
	s.loaded = point{}
	return p
}

// kill shuts the first bus down in the middle of it all, with a context that
// has ended, and then the other one.
func (s *soak) kill(before goleak.Option) {
	var work sync.WaitGroup
	enough := make(chan struct{})
	for _, f := range s.feeds {
		work.Go(func() {
			for n := 0; !errors.Is(f.publish(), eventbus.ErrClosed); n++ {
				if f == s.feeds[0] && n == 1000 {
					close(enough)
				}
			}
		})
	}
	<-enough
	err := s.buses[0].Shutdown(bustest.Ended())
	work.Wait()
	require.ErrorIs(s.t, err, context.Canceled)
	require.NoError(s.t, s.buses[1].Shutdown(bustest.Within(s.t, bustest.Patience)))
	require.NoError(s.t, goleak.Find(before))
	for _, l := range s.lanes {
		require.False(s.t, l.busy.Load())
	}
	var back [numLanes]tally
	var left *eventbus.ShutdownError
	require.ErrorAs(s.t, err, &left)
	for q, events := range left.Remaining {
		for _, e := range events {
			back[q].take(e)
			s.lanes[q].inOrder(e)
		}
	}
	s.verify(back, true)
}
