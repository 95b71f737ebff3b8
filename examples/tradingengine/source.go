package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/progress"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/record"
)

//go:embed data/sp500-2000.csv
var sp500 string

// openFeed opens what the options say: a journal, which says how it is traded, or candles. In the end done lets go of it.
func openFeed(ctx context.Context, o *options, stderr io.Writer) (feed engine.Feed, done func(), err error) {
	if o.replay != "" {
		run, err := record.First[parameters](o.replay, "tradingengine")
		if err != nil {
			return nil, nil, fmt.Errorf("-replay: %w", err)
		}
		o.source, o.parameters, o.mode = run.Name, run.Parameters, step
		return record.Feed(o.replay), func() {}, nil
	}
	file, err := openCandles(ctx, *o)
	if err != nil {
		return nil, nil, err
	}
	bar := progress.New(file.Size, file.Bytes, stderr)
	about := func(e *engine.Ending) { e.Warnings, e.LeftOut = file.Warnings(), file.LeftOut }
	return &engine.Replay{Candles: file, Progress: bar.Candle, About: about, Stepped: o.mode == step}, func() {
		bar.Finish()
		file.Close()
	}, nil
}

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

// recorded runs the session, into a journal if the options name one.
func (s *session) recorded(ctx context.Context) (*report, error) {
	o := s.options
	if o.journal == "" {
		return s.run(ctx)
	}
	journal, err := record.Open(o.journal, record.Run[parameters]{Program: "tradingengine", Name: o.source, Parameters: o.parameters})
	if err != nil {
		return nil, fmt.Errorf("-journal: %w", err)
	}
	journal.Record(s.engine.Bus())
	r, err := s.run(ctx)
	return r, errors.Join(err, journal.Close())
}
