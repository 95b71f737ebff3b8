package journal

import (
	"context"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// On a real file system that is full the same happens as on one that is made up.
func TestJournalOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a small file system cannot be mounted here: ", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	path := filepath.Join(dir, "day.journal")
	j, err := Open(path, WithErrorHandler(func(error) {}))
	require.NoError(t, err)
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	j.Record(bus)
	ctx, stored := context.Background(), 0
	bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { stored++; return nil }, eventbus.Use(j.Before("order")))
	random := make([]byte, 3000)
	for n := 0; j.handover.failure() == nil; n++ {
		require.Less(t, n, 1000, "the disk does not get full")
		for i := range random {
			random[i] = byte(n*i*i>>3 ^ i)
		}
		require.NoError(t, bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order", Data: random}))
		_, err := bus.RunUntilIdle(ctx)
		require.NoError(t, err)
	}
	require.ErrorIs(t, j.Close(), syscall.ENOSPC)
	require.Positive(t, stored)
	kept := 0
	for _, err := range Read(path) {
		require.NoError(t, err)
		kept++
	}
	require.Equal(t, stored, kept, "what was acted on is stored, and nothing else is there")
}
