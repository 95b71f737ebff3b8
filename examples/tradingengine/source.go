package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"strings"

	"github.com/eventbus-go/eventbus/examples/candles"
)

//go:embed data/sp500-2000.csv
var sp500 string

// candleFile is the file, or the embedded data, that a run reads.
type candleFile struct {
	*candles.Reader
	size  int64 // in bytes; 0 when unknown, as of a pipe
	close func()
}

func openCandles(ctx context.Context, o options) (*candleFile, error) {
	if o.csv == "" {
		text := sp500 + "\n" // its last line has no end
		reader, err := candles.NewReader("sp500-2000.csv", strings.NewReader(text), o.reading)
		return &candleFile{Reader: reader, size: int64(len(text)), close: func() {}}, err
	}
	file, err := os.Open(o.csv)
	if err != nil {
		return nil, fmt.Errorf("-csv: %w", err)
	}
	f := &candleFile{close: func() { file.Close() }}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		f.size = info.Size()
	} else {
		f.closeAtEnd(ctx, file)
	}
	if f.Reader, err = candles.NewReader(o.csv, file, o.reading); err != nil {
		f.close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: %w before the first row", o.csv, context.Cause(ctx))
		}
		return nil, err
	}
	return f, nil
}

// closeAtEnd lets the end of ctx end a read that waits for a pipe's writer.
func (f *candleFile) closeAtEnd(ctx context.Context, file *os.File) {
	stop := context.AfterFunc(ctx, func() { file.Close() })
	f.close = func() {
		stop()
		file.Close()
	}
}
