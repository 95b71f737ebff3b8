package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus/examples/candles"
)

//go:embed data/sp500-2000.csv
var sp500 string

// openCandles opens the file, or the embedded data, that a run reads.
func openCandles(ctx context.Context, o options) (*candles.File, error) {
	if o.csv == "" {
		text := sp500 + "\n" // its last line has no end
		reader, err := candles.NewReader("sp500-2000.csv", strings.NewReader(text), o.reading)
		return &candles.File{Reader: reader, Size: int64(len(text))}, err
	}
	file, err := candles.Open(ctx, o.csv, o.reading)
	if err != nil {
		return nil, fmt.Errorf("-csv: %w", err)
	}
	return file, nil
}
