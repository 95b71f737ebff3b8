package candles

import (
	"context"
	"fmt"
	"os"
)

// File is a Reader of a file, or of a pipe. Close it in the end.
type File struct {
	*Reader
	Size  int64 // in bytes; 0 when unknown, as of a pipe
	close func()
}

// Open opens the file and reads as far as the layout is known. The end of ctx ends a read that waits for a pipe's writer.
func Open(ctx context.Context, path string, options Options) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{close: func() { file.Close() }}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		f.Size = info.Size()
	} else {
		stop := context.AfterFunc(ctx, f.close)
		f.close = func() {
			stop()
			file.Close()
		}
	}
	if f.Reader, err = NewReader(path, file, options); err != nil {
		f.close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: %w before the first row", path, context.Cause(ctx))
		}
		return nil, err
	}
	return f, nil
}

// Close ends the reading. It does nothing to a File that was made of a Reader.
func (f *File) Close() {
	if f.close != nil {
		f.close()
	}
}
