package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Four layers read a journal. blocks reads one block and judges it. A reader goes from block to
// block, takes them apart into lines, and checks their sequence. readConfig.next waits for more
// where the file is followed, and readConfig.lines makes an iterator of that. Read, Recover,
// Manifests and the plan of a replay range over it; Open, Verify and the replay itself use the
// reader.

// A reader reads the lines of a journal, block after block.
type reader struct {
	path   string
	file   *os.File
	blocks *blocks
	parse  func([]byte) (line, error)

	at       int64    // where the next block begins
	lines    []byte   // of the block at hand that are still to be read
	from     int64    // where the block at hand begins
	sequence sequence // of the lines so far
}

// openReader opens a journal to be read. parse is parseLine or parseHead.
func openReader(path string, parse func([]byte) (line, error)) (*reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r, err := newReader(path, file, parse)
	if err != nil {
		file.Close()
	}
	return r, err
}

// newReader returns a reader of file, which it closes with close.
func newReader(path string, file *os.File, parse func([]byte) (line, error)) (*reader, error) {
	b, err := newBlocks(file)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &reader{path: path, file: file, blocks: b, parse: parse}, nil
}

func (r *reader) close() {
	r.blocks.close()
	r.file.Close()
}

// next returns the next line. At the end, and at a torn tail, it returns io.EOF, and may be
// called again: the file may have grown. At damage it returns a *DamageError, and the next
// call goes on behind it.
func (r *reader) next() (line, error) {
	for len(r.lines) == 0 {
		if err := r.nextBlock(); err != nil {
			return line{}, err
		}
	}
	end := bytes.IndexByte(r.lines, '\n')
	l, err := r.parse(r.lines[:end])
	if err != nil {
		var version *versionError
		if errors.As(err, &version) {
			return line{}, fmt.Errorf("journal: %s: %w", r.path, err)
		}
		return line{}, r.damaged(err) // without the rest of the block: its checksum is right, so this package has not written it
	}
	if err := r.sequence.pass(l); err != nil {
		rest := r.lines
		damage := r.damaged(err)
		if jump := r.sequence; jump.pass(l) == nil { // something is missing, but the line itself is whole: it is read next
			r.lines, damage.Next = rest, r.from
		}
		return line{}, damage
	}
	r.lines = r.lines[end+1:]
	return l, nil
}

// damaged gives up on the lines at hand.
func (r *reader) damaged(err error) *DamageError {
	r.lines, r.sequence.jumps = nil, true
	return &DamageError{Path: r.path, Offset: r.from, Next: r.at, Reason: err.Error()}
}

// nextBlock reads the block at r.at.
func (r *reader) nextBlock() error {
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	size := info.Size()
	if size < r.at {
		return fmt.Errorf("journal: %s was cut to %d bytes while it was read, %d bytes had been read", r.path, size, r.at)
	}
	lines, next, fault, err := r.blocks.read(r.at, size)
	switch {
	case isEnd(err) || fault != nil && fault.kind == cutOff:
		return io.EOF
	case err != nil:
		return fmt.Errorf("journal: %s: %w", r.path, err)
	case fault != nil:
		return r.skip(fault, size)
	}
	r.from, r.at, r.lines = r.at, next, lines
	return nil
}

// skip goes on behind a fault. What a writer had not finished, at the end of the file, is a
// torn tail: io.EOF. Anything else is damage.
func (r *reader) skip(f *fault, size int64) error {
	next, err := r.blocks.find(r.at+1, size)
	torn := false
	if err == nil && next == size {
		torn, err = r.blocks.isTorn(f, r.at, size)
	}
	switch {
	case err != nil:
		return fmt.Errorf("journal: %s: %w", r.path, err)
	case torn:
		return io.EOF
	}
	damage := &DamageError{Path: r.path, Offset: r.at, Next: next, Reason: f.reason}
	if next == size {
		damage.Next = 0
	}
	r.from, r.at, r.sequence.jumps = r.at, next, true
	return damage
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
