// Package record keeps the events of an engine in a journal, and plays them again.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// Run is what a journal says of the run that it holds: which program it was, a name, and whatever decides how it trades.
type Run[P any] struct {
	Program    string `json:"program"`
	Name       string `json:"name"`
	Parameters P      `json:"parameters"`
}

// ErrEmpty says that a journal holds no run yet.
var ErrEmpty = errors.New("it holds no run")

// Open opens the journal at path, or makes it, for one more session of run.
func Open[P any](path string, run Run[P], opts ...journal.Option) (*journal.Journal, error) {
	for _, t := range topics() {
		opts = append(opts, t)
	}
	return journal.Open(path, append(opts, journal.WithMeta(run))...)
}

// First returns the first run of the journal at path, which must be one of program. The error wraps ErrEmpty if there is none.
func First[P any](path, program string) (run Run[P], err error) {
	manifests, err := journal.Manifests(path)
	switch {
	case err != nil:
		return run, err
	case len(manifests) == 0:
		return run, fmt.Errorf("%s: %w", path, ErrEmpty)
	}
	var other Run[json.RawMessage]
	if err := json.Unmarshal(manifests[0].Meta, &other); err != nil || other.Program != program {
		return run, fmt.Errorf("%s: is a journal of %q: want one of %s", path, other.Program, program)
	}
	if err := json.Unmarshal(manifests[0].Meta, &run); err != nil {
		return run, fmt.Errorf("%s: the parameters of the run: %w", path, err)
	}
	return run, nil
}

// Replay steps the bus, which must not run, through what came from outside in the journal at path. Handlers must do what they
// did then. At the end of a session whose process was killed they may do more: what it had done last was not written.
func Replay(ctx context.Context, bus *eventbus.Bus, path string, opts ...journal.ReplayOption) (journal.Replayed, error) {
	for _, t := range topics() {
		opts = append(opts, t)
	}
	// A session that was killed when it had hardly begun holds no event of a handler, though its bus told causes.
	replayed, err := journal.Replay(ctx, bus, path, append(opts, journal.WithFeedOnly())...)
	if r := replayed.First; err == nil && r.N > 0 {
		err = fmt.Errorf("%s: record %d, %s, is not what comes of the records before it: is this the program that recorded them?", path, r.N, r.Type)
	}
	return replayed, err
}

// topics are all that an engine publishes.
func topics() []journal.TopicOption {
	return []journal.TopicOption{
		journal.WithTopic(engine.CandleUpdate), journal.WithTopic(engine.CandleClosed), journal.WithTopic(engine.QuoteChanged),
		journal.WithTopic(engine.FeedEnded), journal.WithTopic(engine.TradingChanged), journal.WithTopic(engine.SignalGenerated),
		journal.WithTopic(engine.OrderPlaced), journal.WithTopic(engine.OrderPartiallyFilled), journal.WithTopic(engine.OrderFilled),
		journal.WithTopic(engine.OrderUpdate), journal.WithTopic(engine.OrderEnded), journal.WithTopic(engine.PositionOpened), journal.WithTopic(engine.PositionClosed),
	}
}

// Feed is an engine.Feed of the journal at a path, for a stepped engine.
type Feed string

// Run returns nil after the last record.
func (f Feed) Run(ctx context.Context, bus *eventbus.Bus) error {
	_, err := Replay(ctx, bus, string(f))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
