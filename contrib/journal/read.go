package journal

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// A ReadOption changes [Read] and [Recover].
type ReadOption func(*readConfig)

type readConfig struct {
	follow context.Context // nil: the end of the file is the end
}

// followInterval is how often a reader that follows a file looks whether it has grown.
const followInterval = 20 * time.Millisecond

// Follow makes [Read] wait at the end of the file for what is recorded next, until ctx
// ends, which ends the iteration without an error, at the latest behind the records of one
// block. It looks every 20 ms. ctx must not be nil.
func Follow(ctx context.Context) ReadOption {
	if ctx == nil {
		panic("journal: Follow: the context is nil")
	}
	return func(c *readConfig) { c.follow = ctx }
}

// Read returns the records of the journal at path, in order. It may read while a process
// writes, and takes no lock. A torn tail ends it like the end of the file. An error comes
// with an empty record and ends the iteration: that of opening the file, and a
// [*DamageError]. Each iteration opens the file anew and closes it at its end. The records
// may be kept and used concurrently.
func Read(path string, opts ...ReadOption) iter.Seq2[Record, error] {
	return read(path, opts, false)
}

// Recover is [Read] that goes on behind damage: the iteration yields each [*DamageError]
// with an empty record, and then what can be read behind it. Other errors end it.
func Recover(path string, opts ...ReadOption) iter.Seq2[Record, error] {
	return read(path, opts, true)
}

func read(path string, opts []ReadOption, goOn bool) iter.Seq2[Record, error] {
	var c readConfig
	for _, opt := range opts {
		if opt == nil {
			panic("journal: Read: an option is nil")
		}
		opt(&c)
	}
	return func(yield func(Record, error) bool) {
		for l, err := range c.lines(path, parseLine) {
			var damage *DamageError
			switch {
			case err != nil:
				if !yield(Record{}, err) || !goOn || !errors.As(err, &damage) {
					return
				}
			case l.Manifest == nil:
				if !yield(l.Record, nil) {
					return
				}
			}
		}
	}
}

// lines returns the lines of a file, and its errors. Behind damage it goes on; any other
// error ends it.
func (c readConfig) lines(path string, parse func([]byte) (line, error)) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		r, err := openReader(path, parse)
		if err != nil {
			yield(line{}, err)
			return
		}
		defer r.close()
		for {
			l, err := c.next(r)
			if isEnd(err) {
				return
			}
			var damage *DamageError
			if !yield(l, err) || err != nil && !errors.As(err, &damage) {
				return
			}
		}
	}
}

// patience is how often a reader that follows a file looks again at what seems to be
// damage. A writer that is opened anew cuts off a torn tail and writes over it: whoever
// reads a block at that moment sees a piece of each.
const patience = 5

// next returns the next line. If the file is followed, it waits for that.
func (c readConfig) next(r *reader) (line, error) {
	for tries := 0; ; tries++ {
		if c.follow != nil && len(r.lines) == 0 && c.follow.Err() != nil {
			return line{}, io.EOF
		}
		before := *r
		l, err := r.next()
		var damage *DamageError
		switch {
		case c.follow == nil || err == nil:
			return l, err
		case isEnd(err):
			tries = 0
		case !errors.As(err, &damage) || tries == patience:
			return l, err
		default:
			*r = before
		}
		timer := time.NewTimer(followInterval)
		select {
		case <-c.follow.Done():
			timer.Stop()
			return line{}, io.EOF
		case <-timer.C:
		}
	}
}

// Manifests returns the manifests of the journal at path, one a session and in order. It
// reads the whole file, as [Read] does.
func Manifests(path string) (manifests []Manifest, err error) {
	for l, err := range (readConfig{}).lines(path, parseHead) {
		switch {
		case err != nil:
			return manifests, err
		case l.Manifest == nil:
		case len(manifests) > 0 && manifests[len(manifests)-1].Session == l.Manifest.Session:
			manifests[len(manifests)-1] = *l.Manifest // told once more, with the queues
		default:
			manifests = append(manifests, *l.Manifest)
		}
	}
	return manifests, nil
}
