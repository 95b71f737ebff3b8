package progress

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func play(t *testing.T, candles int, size int64, terminal bool) string {
	t.Helper()
	var out bytes.Buffer
	var played int64
	p := New(size, func() int64 { return played }, &out)
	require.False(t, p.terminal, "a buffer is no terminal")
	p.terminal = terminal
	for range candles {
		played += 50
		p.Candle()
	}
	p.Finish()
	return out.String()
}

func TestProgressIsShownOfLongRunsOnATerminal(t *testing.T) {
	shown := play(t, 150_000, 300_000*50, true)
	require.Contains(t, shown, "100,001 candles")
	require.Contains(t, shown, "33%")
	require.True(t, strings.HasSuffix(shown, "\r"), "the line is cleared for the report")
}

func TestProgressOfAPipeShowsNoShare(t *testing.T) {
	shown := play(t, 150_000, 0, true)
	require.Contains(t, shown, "100,001 candles")
	require.NotContains(t, shown, "%")
}

func TestProgressBeginsWithTheFirstCandleBeyondAShortRun(t *testing.T) {
	require.Contains(t, play(t, 100_001, 5_000_100, true), "100,001 candles")
}

func TestProgressThatBeginsAtTheEndLeavesNothingBehind(t *testing.T) {
	shown := play(t, 100_001, 5_000_050, true)
	require.True(t, shown == "" || strings.HasSuffix(shown, "\r"), "%q", shown)
}

func TestProgressIsSilentElsewhere(t *testing.T) {
	require.Empty(t, play(t, 100_000, 5_000_000, true), "a short run")
	require.Empty(t, play(t, 150_000, 5_000_000, false), "no terminal")
}
