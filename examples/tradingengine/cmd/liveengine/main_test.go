package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/exchange"
)

func TestMain(m *testing.M) {
	if args, child := os.LookupEnv(asChild); child {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestLiveRunReports(t *testing.T) {
	w := newWitness(t, exchange.Config{Symbols: []string{"A", "B"}, Interval: time.Second, Speed: 20, Seed: 1})
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-url", w.address, "-for", "2s", "-fast", "1", "-slow", "2"}, &stdout, &stderr), stderr.String())
	for _, line := range []string{
		`messages +\d+   over 1 connections`, `candles +\d\d   0 of them missed`, `quotes +\d+   \d+ heard, \d+ conflated, 0 dropped`,
		`orders +\d+   \d+ sent by this run, 0 refused by the exchange`, `fills +[1-9]\d*   [1-9]\d* of a part`, `equity +\d+\.\d\d   100000\.00 at the start`,
		`tick to order +\S+s   median of [1-9]\d* orders; 99 %: \S+s, 99.9 %: \S+s`, `\*live\.Account\.OnOrder`,
	} {
		require.Regexp(t, line, stdout.String())
	}
}

func TestRunCanBeWatched(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := new(bytes.Buffer), new(lockedBuffer)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-url", "http://127.0.0.1:1", "-http", "127.0.0.1:0", "-log", "error"}, stdout, stderr)
	}()
	var at []string
	require.Eventually(t, func() bool {
		at = regexp.MustCompile(`watch it at (http://\S+)/debug/eventbus/`).FindStringSubmatch(stderr.String())
		return at != nil
	}, 10*time.Second, time.Millisecond)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{"/debug/eventbus/": "<title>", "/metrics": "eventbus_queue_capacity", "/debug/pprof/": "goroutine"} {
		answer, err := client.Get(at[1] + path)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, errors.Join(err, answer.Body.Close()))
		require.Contains(t, string(body), want, path)
	}
	require.ErrorContains(t, run(ctx, []string{"-http", "nowhere"}, stdout, stderr), "-http nowhere: ")
	cancel()
	require.NoError(t, <-ended)
}

// A lockedBuffer may be read while a run writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestExchangeThatIsNotThereIsWarnedOf(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-url", "http://127.0.0.1:1", "-for", "100ms"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "level=WARN msg=\"no connection\" of=\"market stream\"")
	require.Regexp(t, `messages +0   over 0 connections`, stdout.String())
}

func TestUnusableOptionsAreNamed(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-slow", "3"}, &out, &out), "-fast 3, -slow 3: want 1 at least, and slow more than fast")
	require.ErrorContains(t, run(t.Context(), []string{"-what"}, &out, &out), "flag provided but not defined: -what")
	require.NoError(t, run(t.Context(), []string{"-h"}, &out, &out))
}
