package journal_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		beChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen: long for a machine under load.
const patience = 20 * time.Second

// A tick, a signal and an order are what the tests publish.
type (
	tick struct {
		ID    uint64  `json:"id"`
		Price float64 `json:"price"`
	}
	signal struct {
		Tick uint64 `json:"tick"`
	}
	order struct {
		ID string `json:"id"`
	}
	fill struct {
		Order string `json:"order"`
		Done  bool   `json:"done"`
	}
)

var (
	ticks   = eventbus.NewTopic[tick]("tick", eventbus.DataQueue)
	signals = eventbus.NewTopic[signal]("signal", eventbus.SignalQueue)
	orders  = eventbus.NewTopic[order]("order", eventbus.OrderQueue)
	fills   = eventbus.NewTopic[fill]("fill", eventbus.OrderQueue)
)

// topics are the options for all of them.
func topics() []journal.Option {
	return []journal.Option{journal.WithTopic(ticks), journal.WithTopic(signals), journal.WithTopic(orders), journal.WithTopic(fills)}
}

func replayTopics(opts ...journal.ReplayOption) []journal.ReplayOption {
	return append(opts, journal.WithTopic(ticks), journal.WithTopic(signals), journal.WithTopic(orders), journal.WithTopic(fills))
}

// tempPath returns a path in the test's own directory.
func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "day.journal") }

// open opens a journal with all topics, which ends with the test.
func open(t testing.TB, path string, opts ...journal.Option) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, append(topics(), opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// newBus returns a bus with causes that logs nothing and ends with the test.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	t.Helper()
	bus, err := eventbus.New(append([]eventbus.Option{eventbus.WithCauses(), eventbus.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = bus.Shutdown(ended()) })
	return bus
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// limited returns a context that ends with the test or when that has taken too long.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// read returns the records of a journal.
func read(t testing.TB, path string) (records []journal.Record) {
	t.Helper()
	for r, err := range journal.Read(path) {
		require.NoError(t, err)
		records = append(records, r)
	}
	return records
}

// step lets a bus that is not started handle what it holds.
func step(t testing.TB, bus *eventbus.Bus) {
	t.Helper()
	_, err := bus.RunUntilIdle(limited(t))
	require.NoError(t, err)
}

// await waits for what comes from a channel, or its end.
func await[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(t, "it does not happen")
	}
	return v
}
