package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

// day runs the live engine on an exchange, into a journal, until it has placed some orders and one was refused.
func day(t *testing.T, file string) (w *witness, report string) {
	t.Helper()
	w = newWitness(t, exchange.Config{Symbols: []string{"A", "B", "C"}, Interval: time.Second, Speed: 20, Seed: 1, Rejects: 0.3,
		Latency: time.Millisecond, Drop: 700 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	var stdout, stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"-url", w.address, "-journal", file, "-fast", "1", "-slow", "2"}, &stdout, &stderr)
	}()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sent) > 10 && w.refused > 0
	}, time.Minute, time.Millisecond)
	cancel()
	require.NoError(t, <-ended, stderr.String())
	return w, stdout.String()
}

func TestRecordedLiveDayReplaysToTheSameOrders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "day.journal")
	w, report := day(t, file)
	requireSameOrders(t, w, file)
	requireSameBooks(t, w, report)
	require.Regexp(t, `fills +[1-9]\d*   [1-9]\d* of a part`, report)
	require.Regexp(t, `orders +[1-9]\d*   [1-9]\d* sent by this run, [1-9]\d* refused by the exchange`, report)
	require.Regexp(t, `quotes +\d+   \d+ heard, [1-9]\d* conflated`, report, "they came in bursts")
	var want []engine.Order
	for r, err := range journal.Read(file) {
		require.NoError(t, err)
		if r.Type == engine.OrderPlaced.Type() {
			want = append(want, payload[engine.Order](t, r))
		}
	}
	require.Greater(t, len(want), 10)
	sent := w.orders()
	for range 3 {
		o := options{parameters: parameters{URL: w.address, Fast: 1, Slow: 2, Least: 90_000}}
		restored, err := newTrading(t.Context(), o, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		var got []engine.Order
		engine.OrderPlaced.Subscribe(restored.engine.Bus(), func(_ context.Context, o engine.Order) error {
			got = append(got, o)
			return nil
		})
		replayed, err := record.Restore(t.Context(), restored.engine, file, new(record.Clock))
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Zero(t, replayed.Diverged, "%+v", replayed.First)
		require.Empty(t, replayed.Open)
		var out bytes.Buffer
		require.NoError(t, restored.report(&out, time.Second))
		requireSameBooks(t, w, out.String())
	}
	require.Equal(t, sent, w.orders(), "nothing is sent")

	other, err := newTrading(t.Context(), options{parameters: parameters{URL: w.address, Fast: 2, Slow: 5}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = record.Restore(t.Context(), other.engine, file, new(record.Clock))
	require.ErrorContains(t, err, "is this the program that recorded it?")
}

func TestJournalThatCannotBeContinuedIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "day.journal")
	w, _ := day(t, file)
	held, err := journal.Open(filepath.Join(dir, "held"))
	require.NoError(t, err)
	defer held.Close()
	demo := filepath.Join(dir, "demo")
	j, err := record.Open(demo, record.Run[int]{Program: "tradingengine"})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	for want, args := range map[string][]string{
		"day.journal: was recorded with {URL:" + w.address + " Fast:1 Slow:2 Least:90000}: give the same, or another file": {"-journal", file, "-slow", "5"},
		`is a journal of "tradingengine": want one of liveengine`:                                                          {"-journal", demo},
		"another Journal, perhaps of another process, writes it":                                                           {"-journal", held.Path()},
		"-journal: journal: open /no/such":                                                                                 {"-journal", "/no/such/file"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), append([]string{"-url", w.address, "-fast", "1", "-slow", "2"}, args...), &out, &out), want)
	}
}
