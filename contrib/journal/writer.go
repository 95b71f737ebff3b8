package journal

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/eventbus-go/eventbus"
)

// A storage is what the writer needs of its file.
type storage interface {
	WriteAt(p []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

var _ storage = (*os.File)(nil)

// A writer takes events from the hand-over, encodes them, and writes blocks. It has one
// goroutine, which alone touches its fields but for the counters.
//
// Invariants: the file ends at end with a whole block, but while write runs. written, encoded
// and taken are positions of items, as hand returns them: of what was written last, what was
// encoded last, and what was taken last. written <= encoded <= taken; lines are those of the
// items behind written, up to encoded, and perhaps a manifest.
type writer struct {
	config   *config
	handover *handover
	file     storage
	enc      *zstd.Encoder
	timer    *time.Timer
	timing   bool // the timer runs
	due      bool // what there is must be written now

	end      int64 // of the file
	n        uint64
	session  uint64
	lines    []byte // not written yet
	block    []byte
	spare    []item // for the processors to put items into
	taken    uint64
	encoded  uint64
	written  uint64
	unsynced bool // something was written after the last sync
	told     map[eventbus.EventType]bool

	records atomic.Uint64 // written
	bytes   atomic.Int64  // of the file
	done    chan struct{} // closed when the goroutine has ended
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer close(w.done)
	ended := false
	defer func() {
		if !ended { // a codec or an error handler has called runtime.Goexit
			w.fail(errors.New("the writer's goroutine was ended"))
		}
		w.enc.Close()
	}()
	for goOn := true; goOn; goOn = w.step() {
		select {
		case <-w.handover.bell:
		case <-w.timer.C:
			w.timing, w.due = false, true
		}
	}
	ended = true
}

// step does what there is to do, and reports whether there will be more.
func (w *writer) step() (goOn bool) {
	for {
		job := w.handover.take(w.spare)
		w.spare = nil
		if err := w.do(job); err != nil {
			w.fail(err)
			return false
		}
		if job.closing {
			w.handover.end(errEnded, 0)
			return false
		}
		clear(job.items) // lets go of the payloads
		w.spare = job.items
		// While there are lines the timer runs, and wakes the writer for what is put
		// meanwhile. Without any it may rest only if nothing was put since take: else
		// whoever put it has not rung.
		if len(w.lines) > 0 || w.handover.rest() {
			return true
		}
	}
}

// do encodes, writes and syncs what job asks for.
func (w *writer) do(job work) error {
	if m := job.manifest; m != nil {
		var err error
		if w.lines, err = appendManifest(w.lines, m); err != nil {
			return err
		}
		w.due = true // a reader that follows the file learns at once what it reads
	}
	w.taken = job.last
	for i := range job.items {
		w.encoded++
		w.encode(&job.items[i])
		if len(w.lines) >= flushSize {
			if err := w.write(); err != nil {
				return err
			}
		}
	}
	return w.flush(job.sync, job.closing)
}

// flush writes the lines if it is time to, and syncs if somebody waits for that.
func (w *writer) flush(sync, closing bool) error {
	if w.due || sync || closing || w.config.interval == 0 {
		if err := w.write(); err != nil {
			return err
		}
	} else if len(w.lines) > 0 && !w.timing {
		w.timer.Reset(w.config.interval)
		w.timing = true
	}
	if sync || closing {
		return w.sync()
	}
	return nil
}

// write writes the lines as one block. What a write that fails leaves is cut off, so that
// readers meet no torn block.
func (w *writer) write() error {
	w.due, w.timing = false, false
	w.timer.Stop()
	if len(w.lines) == 0 {
		return nil
	}
	if len(w.lines) > maxBlock { // such as of a manifest with topics without end
		return fmt.Errorf("a block holds %d bytes, want %d at most: no reader accepts it", len(w.lines), maxBlock)
	}
	w.block = w.enc.EncodeAll(w.lines, append(w.block[:0], make([]byte, headerSize)...))
	putHeader(w.block)
	if _, err := w.file.WriteAt(w.block, w.end); err != nil {
		return errors.Join(err, w.file.Truncate(w.end))
	}
	w.end += int64(len(w.block))
	w.bytes.Store(w.end)
	w.records.Add(w.encoded - w.written)
	w.lines, w.written, w.unsynced = w.lines[:0], w.encoded, true
	if w.config.sync == SyncEveryFlush {
		return w.sync()
	}
	return nil
}

// sync makes what is written durable. If it fails, nobody knows what is on the disk, and a
// second try could succeed without it: the system may have let go of the data.
func (w *writer) sync() error {
	if w.unsynced {
		if err := w.file.Sync(); err != nil {
			return err
		}
		w.unsynced = false
	}
	w.handover.complete(w.written)
	return nil
}

// fail ends the journal for err. What was taken and not written is lost.
func (w *writer) fail(err error) {
	err = fmt.Errorf("%w: %w", ErrNotStored, err)
	w.handover.end(err, w.taken-w.written)
	w.report(err)
}

// report tells the error handler.
func (w *writer) report(err error) {
	defer func() {
		if p := recover(); p != nil {
			logError(fmt.Errorf("journal: the error handler panicked: %v; it was told: %w", p, err))
		}
	}()
	w.config.report(err)
}
