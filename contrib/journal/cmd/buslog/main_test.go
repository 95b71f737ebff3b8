package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

var update = flag.Bool("update", false, "write testdata/day.journal and what buslog prints of it anew")

// childEnv tells the test binary that it is buslog itself.
const childEnv = "BUSLOG_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// day is a journal that a version of the package has written: later ones must read it.
const day = "testdata/day.journal"

// writeDay records two sessions of ticks, signals, orders and fills.
func writeDay(t *testing.T) {
	require.NoError(t, os.RemoveAll(day))
	start := time.Date(2026, 3, 16, 14, 30, 0, 0, time.UTC)
	for session := range 2 {
		j, err := journal.Open(day, journal.WithMeta(map[string]int{"lots": session + 1}), journal.WithErrorHandler(func(error) {}))
		require.NoError(t, err)
		bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		j.Record(bus)
		answer := func(t eventbus.EventType, q eventbus.Queue, after time.Duration, data any) func(context.Context, eventbus.Event) error {
			return func(ctx context.Context, e eventbus.Event) error {
				return bus.Publish(ctx, q, eventbus.Event{Type: t, Data: data, Source: "desk", Time: e.Time.Add(after)})
			}
		}
		type body map[string]any
		bus.SubscribeFunc("tick", answer("signal", eventbus.SignalQueue, 1200*time.Nanosecond, body{"side": "buy"}))
		bus.SubscribeFunc("signal", answer("order", eventbus.OrderQueue, time.Microsecond, body{"order": body{"id": fmt.Sprintf("A%d", session)}, "lots": 5}))
		ctx := context.Background()
		for i := range 5 {
			at := start.Add(time.Duration(session)*time.Hour + time.Duration(i)*250*time.Millisecond)
			typ := eventbus.EventType("quote")
			if i == 3 {
				typ = "tick"
			}
			require.NoError(t, bus.Publish(ctx, eventbus.DataQueue, eventbus.Event{Type: typ, Data: body{"bid": 100.5 + float64(i)}, Source: "feed 1", Time: at}))
			_, err := bus.RunUntilIdle(ctx)
			require.NoError(t, err)
		}
		require.NoError(t, bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "fill", Data: body{"order": body{"id": fmt.Sprintf("A%d", session)}, "price": 7}}))
		require.NoError(t, bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "odd", Data: make(chan int)}))
		_, err = bus.RunUntilIdle(ctx)
		require.NoError(t, err)
		require.NoError(t, j.Sync(ctx))
		require.NoError(t, j.Close())
	}
}

// call runs buslog and returns what it prints, and its exit status.
func call(args ...string) string {
	var out, errs bytes.Buffer
	status := run(context.Background(), args, &out, &errs)
	return fmt.Sprintf("$ buslog %s\n%s%s= %d\n", strings.Join(args, " "), &out, &errs, status)
}

func TestBuslogPrints(t *testing.T) {
	if *update {
		writeDay(t)
	}
	var got strings.Builder
	for _, args := range [][]string{
		{"cat", day},
		{"cat", "-type", "order,fill", "-session", "2", day},
		{"cat", "-queue", "signal", "-json", day},
		{"cat", "-queue", "data", "-from", "2026-03-16T14:30:00.5Z", "-to", "2026-03-16T15:30:00.25Z", day},
		{"cat", "-type", "tick", "-to", "1773671401000000000", day},
		{"stats", day},
		{"why", day, "6"},
		{"why", "-id", "order.id", day, "A1"},
		{"why", "-id", "price", day, "7"},
		{"verify", day},
		{},
		{"help"},
		{"tail", day},
		{"cat"},
		{"cat", day, "more"},
		{"cat", "-queue", "fast", day},
		{"cat", "-from", "noon", day},
		{"cat", "-x", day},
		{"cat", "-h"},
		{"why", day, "A1"},
		{"why", day, "99"},
		{"why", "-id", "order.id", day, "A7"},
		{"why", "-id", "order.id.more", day, "A1"},
		{"verify", "none.journal"},
		{"stats", "none.journal"},
	} {
		got.WriteString(call(args...) + "\n")
	}
	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// A damaged file is printed up to the damage, and told with status 1; a torn tail is none.
func TestBuslogOfAFileThatIsNotWhole(t *testing.T) {
	b, err := os.ReadFile(day)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "bad.journal")
	require.NoError(t, os.WriteFile(path, b[:len(b)-5], 0o600))
	torn := call("verify", path)
	require.Contains(t, torn, "torn: the last ")
	require.Contains(t, torn, "= 0\n")

	b[30] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	damaged := call("verify", path)
	require.Contains(t, damaged, "damaged: from offset 0 to ")
	require.Contains(t, damaged, ": the block's checksum is wrong\n")
	require.Contains(t, damaged, "= 1\n")
	for _, command := range []string{"cat", "stats"} {
		require.Contains(t, call(command, path), "bad.journal is damaged at offset 0")
	}
	require.Contains(t, call("cat", path), "= 1\n")
}

// What is missing of a chain is told.
func TestBuslogWhyOfAChainThatIsNotWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.journal")
	j, err := journal.Open(path)
	require.NoError(t, err)
	bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order"})
	})
	bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil }, eventbus.Use(j.Before())) // alone
	require.NoError(t, bus.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "tick"}))
	_, err = bus.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.Equal(t, "$ buslog why "+path+" 1\n"+
		"the chain began with data 1 tick, but a part of it is not in the file\n"+
		"1  -  order 1  order  of data 1\n= 0\n", call("why", path, "1"))
}

// cat -follow prints what is recorded while it waits, and ends with status 0 when it is
// interrupted.
func TestBuslogCatFollows(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := &watched{want: "14  ", cancel: cancel}
	status := run(ctx, []string{"cat", "-follow", day}, seen, os.Stderr)
	require.Equal(t, 0, status)
	require.Contains(t, seen.String(), "14  ")
}

// A watched buffer calls cancel once it holds want.
type watched struct {
	bytes.Buffer
	want   string
	cancel context.CancelFunc
}

// Write appends p.
func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.want) {
		w.cancel()
	}
	return n, err
}

// recorded returns the path of a new journal of events.
func recorded(t *testing.T, q eventbus.Queue, events []eventbus.Event) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "recorded.journal")
	j, err := journal.Open(path)
	require.NoError(t, err)
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	j.Record(bus)
	for _, e := range events {
		require.NoError(t, bus.Publish(context.Background(), q, e))
	}
	_, err = bus.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return path
}

// why finds an identifier with characters that encoding/json escapes.
func TestBuslogWhyFindsEscapedIdentifiers(t *testing.T) {
	ids := []string{"A1", "R&D-1", "<2>", `"3"`, `4\5`, "ü6"}
	var orders []eventbus.Event
	for _, id := range ids {
		orders = append(orders, eventbus.Event{Type: "order", Data: map[string]string{"id": id}})
	}
	path := recorded(t, eventbus.OrderQueue, orders)
	for i, id := range ids {
		require.Contains(t, call("why", "-id", "id", path, id), fmt.Sprintf("order %d  order", i+1), id)
	}
	require.Contains(t, call("why", "-id", "id", path, "7"), "no payload has id 7")
}

// An interrupt ends a command, though nobody reads what it prints: cat -follow alone catches
// it, to end with status 0, and a second one ends that, too.
func TestBuslogEndsWhenInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted there")
	}
	tick := eventbus.Event{Type: "tick", Data: strings.Repeat("x", 1000)}
	path := recorded(t, eventbus.DataQueue, slices.Repeat([]eventbus.Event{tick}, 500)) // more than a pipe holds

	for name, c := range map[string]struct {
		args   []string
		read   bool // the output is read after the interrupt
		status int  // -1 for a signal
	}{
		"cat":                         {[]string{"cat", path}, false, -1},
		"cat -follow":                 {[]string{"cat", "-follow", path}, true, 0},
		"cat -follow without readers": {[]string{"cat", "-follow", path}, false, -1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], c.args...)
			cmd.Env = append(os.Environ(), childEnv+"=1")
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = io.ReadFull(out, make([]byte, 1000))
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			if c.read {
				_, err = io.Copy(io.Discard, out)
				require.NoError(t, err)
			} else {
				go func() { // until it has ended
					for ctx.Err() == nil && cmd.Process.Signal(os.Interrupt) == nil {
						time.Sleep(10 * time.Millisecond)
					}
				}()
			}
			state, err := cmd.Process.Wait()
			require.NoError(t, err)
			require.NoError(t, ctx.Err(), "it goes on")
			require.Equal(t, c.status, state.ExitCode())
			cancel()
			_ = cmd.Wait()
		})
	}
}
