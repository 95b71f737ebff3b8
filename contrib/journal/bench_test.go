package journal_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// stepped returns a bus with a handler of ticks, and a function that publishes so many events
// and lets it handle them, on one goroutine.
func stepped(b *testing.B, opts ...eventbus.SubscribeOption) (*eventbus.Bus, func(n int)) {
	bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	bus.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil }, opts...)
	e := eventbus.NewEvent("tick", &tick{1, 101.5}, "feed")
	ctx := context.Background()
	return bus, func(n int) {
		for n > 0 {
			batch := min(n, 500)
			for range batch {
				if err := bus.Publish(ctx, eventbus.DataQueue, e); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := bus.RunUntilIdle(ctx); err != nil {
				b.Fatal(err)
			}
			n -= batch
		}
	}
}

// What an event costs its processor: published and handled by one handler, without a tap,
// with one that does nothing, and with the journal's. "cpu-ns/op" is the time of the
// goroutine's thread alone; ns/op includes what the writer takes from it on a machine whose
// cores are all busy. With drain, each 500 events wait until the writer has stored them, outside
// the measurement, so that the tap never finds the buffer full; without it, the tap waits
// where the writer is slower.
func BenchmarkTap(b *testing.B) {
	for name, subscribe := range map[string]func(*eventbus.Bus) *journal.Journal{
		"tap=none":  func(*eventbus.Bus) *journal.Journal { return nil },
		"tap=empty": func(bus *eventbus.Bus) *journal.Journal { bus.SubscribeAll(eventbus.HandlerFunc(nothing)); return nil },
		"tap=journal": func(bus *eventbus.Bus) *journal.Journal {
			j, err := journal.Open(filepath.Join(b.TempDir(), "day.journal"), journal.WithTopic(eventbus.NewTopic[*tick]("tick", eventbus.DataQueue)))
			require.NoError(b, err)
			j.Record(bus)
			return j
		},
	} {
		for _, drain := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/drain=%v", name, drain), func(b *testing.B) {
				bus, run := stepped(b)
				j := subscribe(bus)
				run(1000)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				b.ReportAllocs()
				b.ResetTimer()
				var used time.Duration
				for n := b.N; n > 0; n -= 500 {
					before := threadTime()
					run(min(n, 500))
					used += threadTime() - before
					if drain && j != nil {
						b.StopTimer()
						require.NoError(b, j.Sync(context.Background()))
						b.StartTimer()
					}
				}
				b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
				b.StopTimer()
				if j != nil {
					require.NoError(b, j.Close())
				}
			})
		}
	}
}

func nothing(context.Context, eventbus.Event) error { return nil }

// What it takes to store and sync an event before its handler is called.
func BenchmarkBefore(b *testing.B) {
	j, err := journal.Open(filepath.Join(b.TempDir(), "day.journal"))
	require.NoError(b, err)
	bus, run := stepped(b, eventbus.Use(j.Before("tick")))
	j.Record(bus)
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
	require.NoError(b, j.Close())
}

// What a record costs to be read, and an event to be replayed.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "day.journal")
	const events = 100_000
	j, err := journal.Open(path)
	require.NoError(b, err)
	bus, run := stepped(b)
	j.Record(bus)
	run(events)
	require.NoError(b, j.Close())
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; n < b.N; {
			for _, err := range journal.Read(path) {
				require.NoError(b, err)
				if n++; n == b.N {
					break
				}
			}
		}
	})
	b.Run("replay", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; n < b.N; n += events {
			bus, _ := stepped(b)
			_, err := journal.Replay(context.Background(), bus, path, journal.WithTopic(eventbus.NewTopic[*tick]("tick", eventbus.DataQueue)))
			require.NoError(b, err)
		}
	})
	s := j.Stats()
	b.Logf("%.1f bytes a record", float64(s.Bytes)/float64(s.Records))
}
