package record

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/contrib/journal"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// Clock shows the time of a journal that is replayed, and after Restore the machine's.
type Clock struct {
	data journal.Clock
	live atomic.Bool
}

// Now is for eventbus.WithClock.
func (c *Clock) Now() time.Time {
	if c.live.Load() {
		return time.Now()
	}
	return c.data.Now()
}

// An OpenOrder may work at the venue, or be unknown there: nobody but the venue can tell.
type OpenOrder struct {
	engine.Order
	Filled decimal.Decimal // as far as the journal says
}

// Restored is what Restore has done.
type Restored struct {
	journal.Replayed
	Open []OpenOrder // in the order of their IDs; to be asked about, and never to be sent again
}

// Restore brings an engine to where the runs in the journal at path have left it. Its components must be those of then: an
// order that they place otherwise than it was recorded is an error. What they place without a record, behind the last that
// was written before a kill, was never sent, because a broker behind Journal.Before sends nothing that is not on the disk.
//
// Restore refuses the journal of an engine with several strategies if TradingChanged was published between the signals of two
// of them at one candle: in the replay it comes behind both.
func Restore(ctx context.Context, e *engine.Engine, path string, clock *Clock) (r Restored, err error) {
	h := history{placed: map[int]string{}, answers: map[int]engine.Cancellation{}, filled: map[int]decimal.Decimal{}}
	if err := h.read(path); err != nil {
		return r, err
	}
	err = e.Restore(ctx, h.answer, func(ctx context.Context, bus *eventbus.Bus) (err error) {
		r.Replayed, err = Replay(ctx, bus, path, journal.WithReplayClock(&clock.data))
		return err
	})
	clock.live.Store(true)
	if err != nil {
		return r, err
	}
	for id, order := range h.placed {
		return r, fmt.Errorf("%s: order %d, %s, is not placed when the journal is played: is this the program that recorded it?", path, id, order)
	}
	for _, o := range e.Working() {
		r.Open = append(r.Open, OpenOrder{o, h.filled[o.ID]})
	}
	return r, nil
}

// A history is what a journal says of orders.
type history struct {
	placed  map[int]string              // as they were recorded, until they are placed again
	answers map[int]engine.Cancellation // that the broker published when it was given the order: refused
	filled  map[int]decimal.Decimal
}

func (h *history) read(path string) error {
	for r, err := range journal.Read(path) {
		if err == nil {
			err = h.add(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *history) add(r journal.Record) error {
	switch r.Type {
	case engine.OrderPlaced.Type():
		o, err := decode[engine.Order](r)
		h.placed[o.ID] = string(r.Data)
		return err
	case engine.OrderUpdate.Type():
		c, err := decode[engine.Cancellation](r)
		if !r.FromOutside() && r.Cause.Queue == engine.OrderPlaced.Queue() { // a veto comes from the signal queue, and comes again
			h.answers[c.Order.ID] = c
		}
		return err
	case engine.OrderPartiallyFilled.Type(), engine.OrderFilled.Type():
		f, err := decode[engine.Fill](r)
		h.filled[f.Order.ID] = h.filled[f.Order.ID].Add(f.Quantity)
		return err
	}
	return nil
}

func decode[T any](r journal.Record) (data T, err error) {
	if err = json.Unmarshal(r.Data, &data); err != nil {
		err = fmt.Errorf("record %d, %s: %w", r.N, r.Type, err)
	}
	return data, err
}

// answer is in the broker's place: it checks the order, and publishes what the broker did then.
func (h *history) answer(ctx context.Context, bus *eventbus.Bus, o engine.Order) error {
	order, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if then, recorded := h.placed[o.ID]; recorded && then != string(order) {
		return fmt.Errorf("order %d is %s when the journal is played, and was %s: is this the program that recorded it?", o.ID, order, then)
	}
	delete(h.placed, o.ID)
	if c, refused := h.answers[o.ID]; refused {
		return engine.OrderUpdate.Publish(ctx, bus, c)
	}
	return nil
}
