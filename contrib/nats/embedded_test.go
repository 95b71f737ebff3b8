package eventbusnats_test

import (
	"bufio"
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Two nodes on one directory would destroy each other's streams: the second is refused at
// once, in this process and in another one.
func TestEmbeddedRefusesADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	_, err := eventbusnats.Embedded(dir, eventbusnats.WithLogger(discard))
	require.ErrorIs(t, err, eventbusnats.ErrDirInUse)
	require.ErrorContains(t, err, dir)
	require.NoError(t, n.Close(within(t, patience)))

	cmd, out := start(t, childHolds, dir, 0)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "S 0.\n", line, "the child has the directory")
	begun := time.Now()
	_, err = eventbusnats.Embedded(dir, eventbusnats.WithLogger(discard))
	require.ErrorIs(t, err, eventbusnats.ErrDirInUse)
	require.Less(t, time.Since(begun), 5*time.Second, "at once")

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	newNodeAt(t, dir)
}

// The server's Start returns no error: a directory that cannot be used is one all the same,
// and can be used once it is mended.
func TestEmbeddedRefusesABadDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("no directory"), 0o600))
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "dir")} {
		_, err := eventbusnats.Embedded(dir, eventbusnats.WithLogger(discard))
		require.ErrorContains(t, err, "eventbusnats: Embedded: ", name)
		require.ErrorContains(t, err, "not a directory", name)
	}

	dir := t.TempDir() // the server's own part of it is a file
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
	_, err := eventbusnats.Embedded(dir, eventbusnats.WithLogger(discard))
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "JetStream")
	require.NoError(t, os.Remove(filepath.Join(dir, "jetstream")))
	publish(t, openTopic(t, newNodeAt(t, dir)), 0, 1)
}

// What is stored outlives the node, at each sync.
func TestEmbeddedKeepsWhatIsStored(t *testing.T) {
	for name, opt := range map[string]eventbusnats.EmbeddedOption{
		"always": eventbusnats.WithSyncAlways(), "interval": eventbusnats.WithSyncInterval(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := newNodeAt(t, dir, opt)
			publish(t, openTopic(t, n), 0, 3)
			require.NoError(t, n.Close(within(t, patience)))
			n = newNodeAt(t, dir, opt)
			openTopic(t, n)
			require.Len(t, inStream(t, n, "EVENTBUS_order=2Eplaced"), 3)
		})
	}
}

func TestEmbeddedPanicsOnMisuse(t *testing.T) {
	for want, opt := range map[string]eventbusnats.EmbeddedOption{
		"eventbusnats: Embedded: WithSyncInterval: the interval is 0s, want more than 0, or WithSyncAlways": eventbusnats.WithSyncInterval(0),
		"eventbusnats: Embedded: WithStoreLimit: the limit is -1 bytes, want more than 0":                   eventbusnats.WithStoreLimit(-1),
		"eventbusnats: Embedded: WithLogger: the logger is nil":                                             eventbusnats.WithLogger(nil),
		"eventbusnats: Embedded: an option is nil":                                                          nil,
	} {
		require.PanicsWithValue(t, want, func() { _, _ = eventbusnats.Embedded(t.TempDir(), opt) })
	}
	require.PanicsWithValue(t, "eventbusnats: Embedded: the directory is empty", func() { _, _ = eventbusnats.Embedded("") })
	require.PanicsWithValue(t, "eventbusnats: Connect: the URL is empty", func() { _, _ = eventbusnats.Connect(t.Context(), "") })
}

// All streams together take no more than the limit: one that wants more is refused when it is
// opened.
func TestEmbeddedHasAStoreLimit(t *testing.T) {
	n := newNode(t, eventbusnats.WithStoreLimit(1<<20))
	begun := time.Now()
	_, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithMaxBytes(2<<20))
	require.ErrorIs(t, err, eventbusnats.ErrFull)
	require.Less(t, time.Since(begun), patience/2, "at once, and not when the context ends")
	openTopic(t, n, eventbusnats.WithMaxBytes(1<<19))
}

// The logger gets what the server warns of, as of a damaged file.
func TestEmbeddedLogsWhatTheServerWarnsOf(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	openTopic(t, n)
	require.NoError(t, n.Close(within(t, patience)))
	sums, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "meta.sum"))
	require.NoError(t, err)
	require.Len(t, sums, 1)
	require.NoError(t, os.WriteFile(sums[0], []byte("damaged"), 0o600))

	log := new(lockedBuffer)
	n, err = eventbusnats.Embedded(dir, eventbusnats.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	require.NoError(t, err)
	require.NoError(t, n.Close(within(t, patience)))
	require.Contains(t, log.String(), "eventbusnats: the server: ")
	require.Contains(t, log.String(), "damaged")
}

// A lockedBuffer is what a logger writes to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
