package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

var (
	// ErrNotStored says that an event is not known to be in the journal: the writer has failed,
	// its payload cannot be encoded, or the journal is closed. The error wraps why. If a sync
	// has failed, the event may be in the file, and survive or not.
	ErrNotStored = errors.New("journal: not stored")

	// ErrClosed says that [Journal.Close] has been called.
	ErrClosed = errors.New("journal: closed")

	// ErrLocked says that a process, perhaps this one, has the file open already.
	ErrLocked = errors.New("journal: another Journal, perhaps of another process, writes it")

	// errEnded is what a journal that was closed refuses events with.
	errEnded = fmt.Errorf("%w: %w", ErrNotStored, ErrClosed)
)

// A Journal writes a file. Make one with [Open] and end it with [Journal.Close]. Its methods
// may be called concurrently, and inside handlers.
type Journal struct {
	path     string
	handover *handover
	writer   *writer
	recorded atomic.Bool // Record has been called
	session  Manifest    // without the queues

	closeFile sync.Once
	closeErr  error
}

// Open opens the journal at path, or makes it, to be written: what is recorded is a new
// session, and its records are numbered on. One Journal at a time writes a file; while
// another one does, in whatever process, the error wraps [ErrLocked]. (Systems without
// flock, Windows among them, take no lock.)
//
// What a writer that was killed had not finished at the end of the file is cut off. A file
// that is damaged elsewhere is left as it is, with a [*DamageError]: move it away to record
// on, and read it with [Recover]. A power cut can leave that, too, where several blocks had
// not been synced, if the disk has written a later one and not an earlier one. Nothing that
// [Journal.Before] or [Journal.Sync] has let pass is missing then.
//
// The file begins to grow with [Journal.Record], the first event or Close.
func Open(path string, opts ...Option) (*Journal, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("journal: Open: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j, err := open(path, file, c)
	if err != nil {
		file.Close()
		return nil, err
	}
	return j, nil
}

func open(path string, file *os.File, c *config) (*Journal, error) {
	if err := lock(file); errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %s", err, path)
	} else if err != nil {
		return nil, fmt.Errorf("journal: %s: %w", path, err)
	}
	end, last, err := cutTail(path, file)
	if err != nil {
		return nil, err
	}
	enc, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	m := Manifest{Version: formatVersion, Session: last.session + 1, Start: time.Now().UnixNano(), Topics: c.payloads.inOrder, Meta: c.meta}
	h := newHandover(c.buffer, &m)
	w := &writer{
		config: c, handover: h, file: file, enc: enc, timer: time.NewTimer(time.Hour),
		end: end, n: last.n, session: m.Session, told: make(map[eventbus.EventType]bool), done: make(chan struct{}),
	}
	w.timer.Stop()
	w.bytes.Store(end)
	h.resting = true
	go w.run()
	return &Journal{path: path, handover: h, writer: w, session: m}, nil
}

// cutTail reads the file, cuts off a torn tail, and returns where it ends then, and with
// what.
func cutTail(path string, file *os.File) (end int64, last sequence, err error) {
	r, err := newReader(path, file, parseHead)
	if err != nil {
		return 0, last, err
	}
	defer r.blocks.close()
	for err == nil {
		_, err = r.next()
	}
	if !isEnd(err) {
		return 0, last, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > r.at {
		err = errors.Join(file.Truncate(r.at), file.Sync())
	}
	if err == nil && r.at == 0 {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return 0, last, fmt.Errorf("journal: %w", err)
	}
	return r.at, r.sequence, nil
}

// Sync returns when all events that the tap was called with by now are on the disk, so that
// they survive a power cut, or an error that wraps [ErrNotStored] if that will not be known of
// all. An event whose payload cannot be encoded does not count. When ctx ends, Sync returns its error.
// After Close it returns nil if all is stored. ctx must not be nil.
func (j *Journal) Sync(ctx context.Context) error {
	if ctx == nil {
		panic("journal: Sync: the context is nil")
	}
	select {
	case err := <-j.handover.awaitAll():
		return err
	case <-ctx.Done():
		return fmt.Errorf("journal: sync: %w", ctx.Err())
	}
}

// Close writes and syncs what was handed over, closes the file and gives up its lock. It
// returns the error for which the journal has failed, or nil if all is stored. Call it after
// the bus has been shut down: the tap refuses later events with [ErrClosed], which the bus
// reports as its failure. Calling it again returns the same error.
func (j *Journal) Close() error {
	j.handover.close()
	<-j.writer.done
	j.closeFile.Do(func() {
		err := j.writer.file.Close()
		if failure := j.handover.failure(); failure != nil {
			j.closeErr = failure
		} else if err != nil {
			j.closeErr = fmt.Errorf("journal: %w", err)
		}
	})
	return j.closeErr
}

// Stats are what a [Journal] has done since Open.
type Stats struct {
	Records   uint64 // written
	Bytes     int64  // of the whole file
	Waiting   int    // events that were handed over and that the writer has not taken
	Failed    uint64 // events that were not written; those that a failed sync leaves in doubt are not among them
	Unencoded uint64 // events that were written without their payload, since it cannot be encoded
}

// Stats returns what the journal has done. After Close it returns the final counts.
func (j *Journal) Stats() Stats {
	s := Stats{Records: j.writer.records.Load(), Bytes: j.writer.bytes.Load()}
	j.handover.count(&s)
	return s
}

// Path returns the path that Open was given.
func (j *Journal) Path() string { return j.path }

// Session returns the number of the session that Open has begun.
func (j *Journal) Session() uint64 { return j.session.Session }
