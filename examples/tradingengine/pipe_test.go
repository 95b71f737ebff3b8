//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInterruptEndsAReadThatWaits(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "candles")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0) // for reading too, or it would wait for the reader
	require.NoError(t, err)
	defer writer.Close()
	_, err = writer.WriteString("date,open,high,low,close\n2020-01-01,1,1,1,1\n")
	require.NoError(t, err)

	time.AfterFunc(10*time.Second, func() { writer.Close() }) // so that a failure is no hang
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, interrupt)
	candles, err := openCandles(ctx, options{csv: pipe})
	require.NoError(t, err)
	_, err = candles.Next()
	require.NoError(t, err)
	_, err = candles.Next()
	require.ErrorIs(t, err, os.ErrClosed)

	_, err = openCandles(ctx, options{csv: pipe})
	require.ErrorContains(t, err, "context canceled before the first row")
	status, _, _ := program(t, ctx, "-csv", pipe)
	require.Equal(t, exitInterrupted, status)
}

func TestInterruptedPipeIsReported(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "candles")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	ctx, interrupt := context.WithCancel(t.Context())
	written := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			_, err = writer.WriteString(walkAsCSV(walk(1, 20_000, 100)))
			defer writer.Close()
		}
		interrupt()
		<-ended
		written <- err
	}()
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"-csv", pipe, "-json"}, &stdout, &stderr)
	close(ended)
	require.NoError(t, <-written)
	require.Equal(t, exitInterrupted, status, stderr.String())
	var got jsonReport
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &got))
	// A pipe and the buffers of the reader hold 200 KB: the rest of the 600 KB was played before the interrupt.
	require.Greater(t, got.Candles, 10_000)
}
