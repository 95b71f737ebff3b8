package main

import (
	"context"
	_ "embed"
	"errors"
	"io"

	"github.com/eventbus-go/eventbus"
)

//go:embed data/sp500-2000.csv
var sp500 string

// candleSource is what a feed plays; Next returns io.EOF after the last candle.
type candleSource interface {
	Next() (Candle, error)
}

// feed plays candles into the bus. It waits until the bus has handled everything that an event set off before it
// tells more: only so is the result the same at every run, however the three processors are scheduled.
type feed struct {
	bus      *eventbus.Bus
	candles  candleSource
	settle   func(context.Context) error // waits until the bus is at rest
	progress func()                      // called after each candle
}

func newFeed(bus *eventbus.Bus, candles candleSource, progress func()) *feed {
	return &feed{bus: bus, candles: candles, settle: bus.Flush, progress: progress}
}

// run returns nil after the last candle, and the cause of ctx's end when that comes first. A candle that has begun
// is always played to its end, so that a run that is cut short is the whole run of a shorter file.
func (f *feed) run(ctx context.Context) error {
	whole := context.Background() // one for all candles: a stepped bus keeps the session of a context
	for {
		c, err := f.candles.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f.play(whole, c); err != nil {
			return err
		}
		f.progress()
	}
}

// play tells of a candle twice: of its opening price, at which the broker fills what is open, and when the bus is
// at rest, with everybody's books in order, of the whole candle, on which the strategy decides. With a single event
// the fill on the order queue would race the valuation and the next signal on the other two.
func (f *feed) play(ctx context.Context, c Candle) error {
	if err := candleUpdate.Publish(ctx, f.bus, opening(c)); err != nil {
		return err
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	if err := candleClosed.Publish(ctx, f.bus, c); err != nil {
		return err
	}
	return f.settle(ctx)
}
