package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// BenchmarkRun measures the program on a file of 200,000 candles: reading, trading and the report. On one core:
//
//	go test -run '^$' -bench Run -cpu 1 ./tradingengine
func BenchmarkRun(b *testing.B) {
	file := filepath.Join(b.TempDir(), "walk.csv")
	require.NoError(b, os.WriteFile(file, []byte(walkAsCSV(walk(1, 200_000, 100))), 0o666))
	for _, m := range []mode{live, single, step} {
		b.Run("mode="+string(m), func(b *testing.B) {
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				require.Equal(b, exitOK, run(b.Context(), []string{"-csv", file, "-json", "-mode", string(m)}, &out, io.Discard))
			}
			var r jsonReport
			require.NoError(b, json.Unmarshal(out.Bytes(), &r))
			events := r.Queues[0].Handled + r.Queues[1].Handled + r.Queues[2].Handled
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// randomCandles plays n candles and calls at with the number of each before it.
func randomCandles(n int, at func(i int)) engine.Source {
	random := rand.New(rand.NewPCG(1, 2))
	price := 10_000
	i := 0
	return candleFunc(func() (candles.Candle, error) {
		if i == n {
			return candles.Candle{}, io.EOF
		}
		at(i)
		price = max(1, price+random.IntN(21)-10)
		p := decimal.MustFromInt64(int64(price), 2)
		c := candles.Candle{Time: time.Unix(int64(i)*60, 0), Open: p, High: p, Low: p, Close: p}
		i++
		return c, nil
	})
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const begin, end = chartPoints + 1000, 30_000 // the chart is as large as it gets
	for _, m := range []mode{live, single, step} {
		o, err := parseOptions([]string{"-mode", string(m), "-fast", "1", "-slow", "2", "-plot", "plot.png"}, io.Discard)
		require.NoError(t, err)
		var before uint64
		source := randomCandles(end+1, func(i int) {
			switch i {
			case begin:
				before = liveHeap()
			case end:
				require.Less(t, liveHeap(), before+8*(end-begin), "%s: bytes kept for good, less than 8 a candle", m)
			}
		})
		e, err := newSession(o, feedOf(o, source), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		r, err := e.run(t.Context())
		require.NoError(t, err)
		require.Greater(t, r.Fills, end/4, "it trades all the time")
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
