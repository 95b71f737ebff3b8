package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

// requireSameReplay runs the program with args into a journal, and plays that. The report is the same byte for byte.
func requireSameReplay(t *testing.T, args []string, format ...string) (report, journal string) {
	t.Helper()
	journal = filepath.Join(t.TempDir(), "run.journal")
	format = append(format, "-log", "error") // a busy machine is warned of
	status, want, stderr := program(t, t.Context(), append(append([]string{"-journal", journal}, args...), format...)...)
	require.Equal(t, exitOK, status, stderr)
	status, got, replayErr := program(t, t.Context(), append([]string{"-replay", journal}, format...)...)
	require.Equal(t, exitOK, status, replayErr)
	require.Equal(t, want, got)
	require.Equal(t, stderr, replayErr)
	return got, journal
}

// short is a run of 300 candles that trades.
func short(t *testing.T) []string {
	t.Helper()
	rows := strings.SplitAfterN(sp500, "\n", 302)
	return []string{"-csv", writeFile(t, "short.csv", strings.Join(rows[:301], "")), "-fast", "5", "-slow", "20"}
}

func TestReplayGivesTheRecordedReport(t *testing.T) {
	plain := func(args ...string) string {
		_, stdout, _ := program(t, t.Context(), args...)
		return stdout
	}
	got, _ := requireSameReplay(t, nil, "-json")
	require.Equal(t, plain("-json"), got, "a journal changes nothing")
	for _, m := range []mode{live, single, step} {
		text, _ := requireSameReplay(t, append(short(t), "-mode", string(m)))
		require.Contains(t, text, "events a second")
	}
	const odd = "date,symbol,open,high,low,close\n31/01/2020,A,9,9,9,9\n31/01/2020,A,9,9,9,9\n01/02/2020,A,8,8,8,8\n02/02/2020,A,9,9,9,9\n03/02/2020,A,10,10,10,10\n01/02/2020,B,1,1,1,1\n"
	for _, args := range [][]string{
		append(short(t), "-strategy", "breakout", "-lot", "0.01", "-cash", "5000.5"),
		append(short(t), "-least", "150000"),
		{"-csv", writeFile(t, "odd.csv", odd), "-symbol", "A", "-dates", "dmy", "-fast", "1", "-slow", "2"},
		{"-csv", writeFile(t, "walk.csv", walkAsCSV(walk(7, 400, 100))), "-fast", "1", "-slow", "2"},
	} {
		requireSameReplay(t, args)
	}
	requireSameReplay(t, []string{"-csv", writeFile(t, "odd.csv", odd), "-symbol", "A", "-dates", "dmy", "-fast", "1", "-slow", "2"}, "-json")
}

func TestReplayDrawsTheRecordedPlot(t *testing.T) {
	dir := t.TempDir()
	journal, recorded, replayed := filepath.Join(dir, "run.journal"), filepath.Join(dir, "recorded.svg"), filepath.Join(dir, "replayed.svg")
	for _, args := range [][]string{append(short(t), "-journal", journal, "-plot", recorded), {"-replay", journal, "-plot", replayed}} {
		status, _, stderr := program(t, t.Context(), args...)
		require.Equal(t, exitOK, status, stderr)
	}
	want, err := os.ReadFile(recorded)
	require.NoError(t, err)
	got, err := os.ReadFile(replayed)
	require.NoError(t, err)
	require.Contains(t, string(got), "buy")
	require.True(t, bytes.Equal(want, got))
}

func TestReplayOfAnInterruptedRunIsItsReport(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "run.journal")
	o, err := parseOptions([]string{"-journal", journal, "-json", "-fast", "5", "-slow", "20"}, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	source := firstOfSP500(t, 100, func() (candles.Candle, error) {
		cancel()
		return endOfFile()
	})
	s, err := newSession(o, feedOf(o, source), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	r, err := s.recorded(ctx)
	require.NoError(t, err)
	var want bytes.Buffer
	require.NoError(t, r.writeJSON(&want))

	status, got, stderr := program(t, t.Context(), "-replay", journal, "-json")
	require.Equal(t, exitOK, status, "the replay was not interrupted: %s", stderr)
	require.Equal(t, want.String(), got)
	require.Contains(t, got, `"interrupted": true`)

	cancelled, end := context.WithCancelCause(t.Context())
	end(errors.New("interrupt signal received")) // as signal.NotifyContext does
	status, got, _ = program(t, cancelled, "-replay", journal, "-json")
	require.Equal(t, exitInterrupted, status, "this replay was")
	require.Contains(t, got, `"interrupted": true`)
}

func TestReplayOfAKilledRunSaysSo(t *testing.T) {
	_, journal := requireSameReplay(t, short(t))
	whole, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(journal, whole[:len(whole)/2], 0o666))
	status, got, stderr := program(t, t.Context(), "-replay", journal, "-json")
	require.Equal(t, exitOK, status)
	require.Contains(t, stderr, "tradingengine: "+journal+" has no end: the run was killed\n")
	var r jsonReport
	require.NoError(t, json.Unmarshal([]byte(got), &r))
	require.True(t, r.Interrupted)
}

func TestUnusableJournalsAreNamed(t *testing.T) {
	_, journal := requireSameReplay(t, short(t))
	whole, err := os.ReadFile(journal)
	require.NoError(t, err)
	whole[len(whole)/2]++
	damaged := writeFile(t, "damaged.journal", string(whole))
	other := filepath.Join(t.TempDir(), "other.journal")
	j, err := record.Open(other, record.Run[string]{Program: "liveengine"})
	require.NoError(t, err)
	require.NoError(t, j.Close())
	for _, c := range []struct {
		status     int
		args, want string
	}{
		{exitUsage, "-journal " + journal, "-journal " + journal + ": there is such a file already: choose another name, or play it with -replay"},
		{exitUsage, "-replay " + journal + " -fast 3", "-replay " + journal + ": the run is traded as it was recorded: leave -fast out"},
		{exitUsage, "-replay " + journal + " -journal x", "leave -journal out"},
		{exitFailure, "-replay nosuch.journal", "-replay: "},
		{exitFailure, "-replay " + damaged, damaged},
		{exitFailure, "-replay " + other, other + `: is a journal of "liveengine": want one of tradingengine`},
		{exitFailure, "-replay " + writeFile(t, "empty", ""), ": it holds no run"},
		{exitFailure, "-replay " + writeFile(t, "candles.csv", sp500), "candles.csv"},
		{exitFailure, "-journal no/such/folder/x", "-journal: journal: open no/such/folder/x"},
	} {
		status, stdout, stderr := program(t, t.Context(), strings.Fields(c.args)...)
		require.Equal(t, c.status, status, c.args)
		require.Empty(t, stdout, c.args)
		require.Contains(t, stderr, c.want)
	}
	require.NoFileExists(t, "x")
}
