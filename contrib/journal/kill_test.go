package journal_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

var kills = flag.Int("kills", 5, "how often TestJournalSurvivesKill kills the writer")

// childEnv tells the test binary that it is the writer to be killed, and of which file.
const childEnv = "JOURNAL_TEST_CHILD"

// beChild records ticks as fast as it can, until it is killed. The k-th tick has the number
// k, also after a restart. Of every tenth the handler places an order, which is stored before
// its handler is called. That handler says so: "order", and the number of the tick. Another
// goroutine says "tick", and up to which one Sync has stored them.
func beChild(path string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
	}
	next := uint64(1)
	if _, err := os.Stat(path); err == nil {
		for r, err := range journal.Read(path) {
			fail(err)
			if r.Type == ticks.Type() {
				next++
			}
		}
	}
	j, err := journal.Open(path, append(topics(), journal.WithFlushInterval(time.Millisecond))...)
	fail(err)
	bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 100}))
	fail(err)
	j.Record(bus)
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
		if k.ID%10 != 0 {
			return nil
		}
		return orders.Publish(ctx, bus, order{strconv.FormatUint(k.ID, 10)})
	})
	orders.Subscribe(bus, func(_ context.Context, o order) error {
		_, err := fmt.Println("order", o.ID)
		return err
	}, eventbus.Use(j.Before(orders.Type())))
	fail(bus.Start(context.Background()))
	for ; ; next++ {
		if next%500 == 0 {
			fail(ticks.PublishWait(context.Background(), bus, tick{ID: next}))
			fail(j.Sync(context.Background()))
			fmt.Println("tick", next)
			continue
		}
		fail(ticks.Publish(context.Background(), bus, tick{ID: next}))
	}
}

// acknowledged is what a child has said is stored.
type acknowledged struct {
	orders map[string]bool
	tick   uint64
}

// runChild runs a child, kills it after a random time, and notes what it has said.
func runChild(t *testing.T, path string, acks *acknowledged) {
	t.Helper()
	cmd := exec.CommandContext(limited(t), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var once sync.Once
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		once.Do(func() { // it writes by now: kill it at any moment from here on
			time.AfterFunc(time.Duration(rand.IntN(int(40*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		})
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "order":
			acks.orders[id] = true
		case "tick":
			n, err := strconv.ParseUint(id, 10, 64)
			require.NoError(t, err)
			acks.tick = n
		default:
			require.Fail(t, "the child failed", lines.Text())
		}
	}
	require.Error(t, cmd.Wait(), "it was killed")
}

// A follower reads a journal while it grows.
type follower struct {
	cancel  context.CancelFunc
	last    atomic.Uint64 // the number of the last record
	done    chan struct{}
	records []journal.Record // when done is closed
	err     error
}

// follow follows a journal until the test ends.
func follow(t *testing.T, path string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for r, err := range journal.Read(path, journal.Follow(ctx)) {
			if f.err = err; err != nil {
				return
			}
			f.records = append(f.records, r)
			f.last.Store(r.N)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

// stopAt returns what was read when record n was.
func (f *follower) stopAt(t *testing.T, n uint64) []journal.Record {
	t.Helper()
	require.Eventually(t, func() bool { return f.last.Load() >= n || isClosed(f.done) }, patience, time.Millisecond)
	f.cancel()
	<-f.done
	require.NoError(t, f.err)
	return f.records
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// What Before or Sync has let pass survives the process: no acknowledged record is lost,
// there is no gap and no duplicate, whenever the writer is killed. A reader that follows the
// file sees the same.
func TestJournalSurvivesKill(t *testing.T) {
	path := tempPath(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	ctx := context.Background()
	beside := follow(t, path)
	acks := acknowledged{orders: make(map[string]bool)}
	for range *kills {
		runChild(t, path, &acks)
	}
	records := read(t, path)
	seen := make(map[journal.Origin]bool)
	numbers := make(map[eventbus.EventType]uint64)
	for i, r := range records {
		require.EqualValues(t, i+1, r.N)
		place := journal.Origin{Queue: r.Queue, Seq: r.Seq, Time: int64(r.Session)}
		require.False(t, seen[place], "record %d is there twice", r.N)
		seen[place] = true
		numbers[r.Type]++
		switch r.Type {
		case ticks.Type():
			require.JSONEq(t, fmt.Sprintf(`{"id":%d,"price":0}`, numbers[r.Type]), string(r.Data))
		case orders.Type():
			delete(acks.orders, strings.Trim(string(r.Data[len(`{"id":`):len(r.Data)-1]), `"`))
		}
	}
	require.Empty(t, acks.orders, "orders that were sent are not in the journal")
	require.GreaterOrEqual(t, numbers[ticks.Type()], acks.tick, "ticks that Sync has stored are lost")

	j := open(t, path) // cuts off what the last one had not finished
	bus := newBus(t)
	j.Record(bus)
	require.NoError(t, ticks.Publish(ctx, bus, tick{ID: 1}))
	step(t, bus)
	require.NoError(t, j.Close())
	want := read(t, path)
	require.Equal(t, records, want[:len(records)])
	require.Equal(t, want, beside.stopAt(t, want[len(want)-1].N))
	t.Logf("%d kills, %d records, %d ticks synced", *kills, len(records), acks.tick)
}
