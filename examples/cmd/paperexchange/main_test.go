package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReplayEndsTheExchange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "two.csv")
	require.NoError(t, os.WriteFile(file, []byte("date,open,high,low,close\n2024-01-02,1,2,1,2\n2024-01-03,2,3,2,3\n"), 0o666))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, run(ctx, []string{"-listen", "127.0.0.1:0", "-symbols", "A,B", "-csv", file, "-interval", "20ms"}))
	require.NoError(t, ctx.Err())
}

func TestUnusableOptionsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{
		"-csv: open nosuch.csv":                   {"-csv", "nosuch.csv"},
		"speed -1: want a symbol":                 {"-speed", "-1"},
		"listen tcp: address 99999: invalid port": {"-listen", "127.0.0.1:99999"},
		"flag provided but not defined: -what":    {"-what"},
	} {
		require.ErrorContains(t, run(t.Context(), args), want)
	}
	require.NoError(t, run(t.Context(), []string{"-h"}))
}
