package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/eventbus-go/eventbus"

	"github.com/eventbus-go/eventbus/examples/candles"
)

// Replay is a Feed of recorded candles. It waits until the bus has handled everything that an event set off before it
// tells more: only so is the result the same at every run, however the processors are scheduled.
type Replay struct {
	Candles  Source
	Progress func()        // called after each candle; nil: nobody
	About    func(*Ending) // says in the end what there is to say of the candles; nil: nothing
	Stepped  bool          // run the handlers, as Config.Stepped says
}

// Source is where candles come from. Next returns io.EOF after the last.
type Source interface {
	Next() (candles.Candle, error)
}

// Run returns nil after the last candle. A candle that has begun is always played to its end, so that a run that is
// cut short is the whole run of a shorter file.
func (r *Replay) Run(ctx context.Context, bus *eventbus.Bus) error {
	began := time.Now()
	whole := context.Background() // one for all candles: a stepped bus keeps the session of a context
	err := r.playAll(ctx, whole, bus)
	if err != nil && ctx.Err() == nil {
		return err
	}
	end := Ending{Took: time.Since(began), Interrupted: err != nil}
	if r.About != nil {
		r.About(&end)
	}
	return cmp.Or(r.settle(whole, bus, FeedEnded.Publish(whole, bus, end)), err)
}

func (r *Replay) playAll(ctx, whole context.Context, bus *eventbus.Bus) error {
	for {
		c, err := r.Candles.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := r.play(whole, bus, Candle{Candle: c}); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress()
		}
	}
}

// play tells of a candle twice: of its opening price, at which the broker fills what is open, and when the bus is
// at rest, with everybody's books in order, of the whole candle, on which the strategy decides. With a single event
// the fill on the order queue would race the valuation and the next signal on the other two.
func (r *Replay) play(ctx context.Context, bus *eventbus.Bus, c Candle) error {
	if err := r.settle(ctx, bus, CandleUpdate.Publish(ctx, bus, Opening{Time: c.Time, Price: c.Open})); err != nil {
		return err
	}
	return r.settle(ctx, bus, CandleClosed.Publish(ctx, bus, c))
}

// settle waits until the bus is at rest, when an event has been published.
func (r *Replay) settle(ctx context.Context, bus *eventbus.Bus, err error) error {
	switch {
	case err != nil:
	case r.Stepped:
		_, err = bus.RunUntilIdle(ctx)
	default:
		err = bus.Flush(ctx)
	}
	return err
}
