package journal

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// A failingFile is a file on a disk that fails: it has room for so many bytes, and syncs as
// often.
type failingFile struct {
	storage
	mu    sync.Mutex
	room  int
	syncs int
}

func (f *failingFile) WriteAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) > f.room {
		n, _ := f.storage.WriteAt(p[:f.room], at)
		return n, syscall.ENOSPC
	}
	f.room -= len(p)
	return f.storage.WriteAt(p, at)
}

func (f *failingFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.syncs--; f.syncs < 0 {
		return syscall.EIO
	}
	return f.storage.Sync()
}

// openFailing opens a journal whose disk fails, and what is told of that.
func openFailing(t *testing.T, room, syncs int) (path string, j *Journal, told *[]error) {
	path, told = filepath.Join(t.TempDir(), "day.journal"), new([]error)
	j, err := Open(path, WithErrorHandler(func(err error) { *told = append(*told, err) }))
	require.NoError(t, err)
	j.writer.file = &failingFile{storage: j.writer.file, room: room, syncs: syncs} // before the first bell, which the writer waits for
	t.Cleanup(func() { _ = j.Close() })
	return path, j, told
}

// A full disk and a sync that fails end the journal: no handler behind Before acts on what is
// not stored, the tap tells, what is not stored is counted, and what is stored can be read.
func TestJournalFailsWithItsDisk(t *testing.T) {
	for name, disk := range map[string]struct {
		room, syncs int
		want        error
	}{
		"full":             {room: 2000, syncs: 1 << 30, want: syscall.ENOSPC},
		"sync fails":       {room: 1 << 30, syncs: 5, want: syscall.EIO},
		"full at once":     {room: 0, syncs: 1 << 30, want: syscall.ENOSPC},
		"first sync fails": {room: 1 << 30, syncs: 0, want: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			path, j, told := openFailing(t, disk.room, disk.syncs)
			var failures []error
			bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithLogger(slog.New(slog.DiscardHandler)),
				eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { failures = append(failures, err) }))
			require.NoError(t, err)
			j.Record(bus)
			acted, others := 0, 0
			bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { acted++; return nil }, eventbus.Use(j.Before("order")))
			bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { others++; return nil })
			ctx := context.Background()
			const published = 40
			for i := range published {
				require.NoError(t, bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order", Data: i}))
			}
			_, err = bus.RunUntilIdle(ctx)
			require.NoError(t, err)

			require.ErrorIs(t, j.Sync(ctx), disk.want)
			require.ErrorIs(t, j.Close(), disk.want)
			require.ErrorIs(t, j.Close(), ErrNotStored)
			require.NotErrorIs(t, j.Close(), ErrClosed)
			require.Equal(t, published, others, "handlers without Before still run")
			require.Less(t, acted, published)
			require.Len(t, *told, 1)
			require.ErrorIs(t, (*told)[0], disk.want)
			for _, err := range failures {
				require.ErrorIs(t, err, ErrNotStored)
				require.ErrorIs(t, err, disk.want)
			}
			// The tap may have handed the first one over that fails behind Before.
			require.Contains(t, []int{2*(published-acted) - 1, 2 * (published - acted)}, len(failures))

			s := j.Stats()
			require.EqualValues(t, published, s.Records+s.Failed, "%+v", s)
			require.GreaterOrEqual(t, s.Records, uint64(acted))
			stored := 0
			for _, err := range Read(path) {
				require.NoError(t, err)
				stored++
			}
			require.EqualValues(t, s.Records, stored)
			report, err := Verify(path)
			require.NoError(t, err)
			require.Zero(t, report.Torn, "what a write that failed leaves is cut off")

			again, err := Open(path)
			require.NoError(t, err)
			require.NoError(t, again.Close())
		})
	}
}

// A tap that waits for room is let go when the journal fails or is closed.
func TestJournalThatEndsLetsTheTapGo(t *testing.T) {
	for name, end := range map[string]func(*handover){
		"it fails":     func(h *handover) { h.end(syscall.ENOSPC, 0) },
		"it is closed": (*handover).close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandover(1, nil)
				require.NoError(t, h.errAfter(1))
				done := make(chan error, 1)
				go func() { done <- h.errAfter(2) }()
				synctest.Wait()
				require.Empty(t, done, "it waits for room")
				end(h)
				synctest.Wait()
				require.Len(t, done, 1, "it waits for a writer that has ended")
				require.Error(t, <-done)
			})
		})
	}
}

// errAfter hands n items over, until that fails.
func (h *handover) errAfter(n int) (err error) {
	for i := 0; i < n && err == nil; i++ {
		_, err = h.hand(&item{event: eventbus.Event{Type: "tick"}, seq: uint64(n + i)})
	}
	return err
}

// A record that is durable stays so: who has waited for it gets nil, though the journal has
// failed since.
func TestSyncOfWhatIsDurable(t *testing.T) {
	h := newHandover(8, nil)
	require.NoError(t, h.errAfter(2))
	h.complete(1)
	h.end(errors.New("full"), 1)
	require.NoError(t, <-h.await(1))
	require.EqualError(t, <-h.await(2), "full")
}

// An event whose handler Async has given up while it waited for room is not put behind the
// next one of its queue, which would be put twice then.
func TestHandOverOfAnAbandonedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover(1, nil)
		hand := func(seq uint64) (uint64, error) { return h.hand(&item{event: eventbus.Event{Type: "order"}, seq: seq}) }
		_, err := hand(4)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := hand(5)
			done <- err
		}()
		synctest.Wait() // it waits for room
		h.mu.Lock()
		h.limit = 3
		h.mu.Unlock()
		sixth, err := hand(6)
		require.NoError(t, err)
		h.take(nil)
		require.ErrorIs(t, <-done, eventbus.ErrHandlerTimeout)
		again, err := hand(6)
		require.NoError(t, err)
		require.Equal(t, sixth, again)
		_, err = hand(5)
		require.ErrorIs(t, err, eventbus.ErrHandlerTimeout)
	})
}
