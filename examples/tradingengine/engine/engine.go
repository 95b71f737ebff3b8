// Package engine is a trading system on an event bus, made of components that know the bus and nothing of each other.
// [New] puts them together, and wire is the whole of who hears what:
//
//	data queue     Feed           CandleUpdate           Broker
//	               Feed           CandleClosed           Strategy, Portfolio
//	               Feed           QuoteChanged           whoever subscribes
//	               Feed           FeedEnded              whoever subscribes
//	signal queue   Engine         TradingChanged         order manager
//	               Strategy       SignalGenerated        order manager, which asks Risk
//	order queue    order manager  OrderPlaced            Broker
//	               Broker         OrderPartiallyFilled   Portfolio
//	               Broker         OrderFilled            Portfolio
//	               Broker         OrderUpdate            order manager, which publishes it of a veto
//	               order manager  OrderEnded             order manager
//	               Portfolio      PositionOpened         order manager
//	               Portfolio      PositionClosed         order manager
//
// The events of a feed and of a venue come from outside; handlers publish all the others. Whoever records the former, and what
// a broker answers to an order, can bring an engine of the same components to where this one is: see [Engine.Restore].
package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
)

// A Feed publishes CandleClosed, and CandleUpdate, QuoteChanged and FeedEnded where it has them. It returns nil at the end of the market
// data, and the cause of ctx's end when that comes first. Run is called once.
type Feed interface {
	Run(ctx context.Context, bus *eventbus.Bus) error
}

// A Strategy hears CandleClosed, and what it says is published as SignalGenerated. Only the processor of the data queue calls it.
// A signal that leads to no order, or to one that is refused or cancelled, is lost: a strategy that speaks only once of a way
// out, such as Crossover, stays in until its next one.
type Strategy interface {
	OnClose(c Candle) (side Side, ok bool)
}

// Risk is asked before an order is placed. An error vetoes the order: it is published as OrderUpdate with the error as
// its reason. Only the processor of the signal queue calls it.
type Risk interface {
	Check(o Order, a Account) error
}

// A Broker hears OrderPlaced and CandleUpdate. It publishes OrderFilled, or OrderUpdate when an order ends without, and
// before that OrderPartiallyFilled for each part. The calls come from two processors.
type Broker interface {
	OnOrder(ctx context.Context, bus *eventbus.Bus, o Order) error
	OnOpening(ctx context.Context, bus *eventbus.Bus, o Opening) error
}

// A Portfolio hears CandleClosed, OrderFilled and OrderPartiallyFilled. For each fill it publishes PositionOpened or
// PositionClosed with the account after it. The calls come from two processors.
type Portfolio interface {
	OnClose(c Candle)
	OnFill(ctx context.Context, bus *eventbus.Bus, f Fill) error
}

// A Venue is a Broker at an exchange. Run publishes what the exchange tells of orders, until ctx ends; an error ends the engine.
// CancelAll asks for the end of all working orders, which Run then tells of; it is called when the engine's run ends. Before
// that the engine neither cancels nor re-prices an order, however long it works, and ignores the signals of its symbol.
type Venue interface {
	Broker
	Run(ctx context.Context, bus *eventbus.Bus) error
	CancelAll(ctx context.Context) error
}

// Config says what an engine is made of. All components but Risk are necessary.
type Config struct {
	Feed       Feed
	Strategies []Strategy
	Risk       []Risk // all are asked, in this order, until one objects
	Broker     Broker
	Portfolio  Portfolio

	Cash   decimal.Decimal // at the start
	Lot    decimal.Decimal // orders are for multiples of it
	Budget decimal.Decimal // what one purchase may cost at most; 0: all the cash

	Stepped       bool // no processors: the feed runs the handlers, with RunUntilIdle
	Options       []eventbus.Option
	BrokerOptions []eventbus.SubscribeOption // of the handler that calls OnOrder, such as a middleware that keeps a record
}

// Engine is a trading system. Run it once.
type Engine struct {
	config Config
	bus    *eventbus.Bus
	orders *orderManager
	broker *eventbus.Subscription                // of send
	fail   context.CancelCauseFunc               // ends the run; set before handlers run
	failed atomic.Pointer[eventbus.HandlerError] // the first, which the run returns: it can come when the run is ending already
	ending atomic.Bool                           // a venue gets no order any more
}

// New makes an engine of components, and wires them.
func New(c Config) (*Engine, error) {
	switch {
	case c.Feed == nil, len(c.Strategies) == 0, c.Broker == nil, c.Portfolio == nil:
		return nil, errors.New("engine: a Config needs a Feed, a Strategy, a Broker and a Portfolio")
	case !c.Lot.IsPos(), !c.Cash.IsPos():
		return nil, fmt.Errorf("engine: lot %s, cash %s: both must be more than 0", c.Lot, c.Cash)
	}
	e := &Engine{config: c, orders: newOrderManager(c.Risk, c.Lot, c.Cash, c.Budget)}
	failed := eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
		e.failed.CompareAndSwap(nil, err)
		e.fail(err)
	})
	var err error
	if e.bus, err = eventbus.New(append(slices.Clone(c.Options), failed)...); err != nil {
		return nil, err
	}
	e.wire()
	return e, nil
}

// wire is the whole of who hears what.
func (e *Engine) wire() {
	c := e.config
	hear(e, CandleUpdate, c.Broker, "OnOpening", c.Broker.OnOpening)
	for _, s := range c.Strategies {
		hear(e, CandleClosed, s, "OnClose", e.ask(s))
	}
	hear(e, CandleClosed, c.Portfolio, "OnClose", func(_ context.Context, _ *eventbus.Bus, candle Candle) error {
		c.Portfolio.OnClose(candle)
		return nil
	})
	hear(e, TradingChanged, e.orders, "onTrading", e.orders.onTrading)
	hear(e, SignalGenerated, e.orders, "onSignal", e.orders.onSignal)
	e.connectBroker()
	hear(e, OrderPartiallyFilled, c.Portfolio, "OnFill", c.Portfolio.OnFill)
	hear(e, OrderFilled, c.Portfolio, "OnFill", c.Portfolio.OnFill)
	hear(e, OrderUpdate, e.orders, "onCancelled", e.orders.onCancelled)
	hear(e, OrderEnded, e.orders, "onEnded", e.orders.onEnded)
	hear(e, PositionOpened, e.orders, "onAccount", e.orders.onAccount)
	hear(e, PositionClosed, e.orders, "onAccount", e.orders.onAccount)
}

func (e *Engine) connectBroker() {
	e.broker = hear(e, OrderPlaced, e.config.Broker, "OnOrder", e.send, e.config.BrokerOptions...)
}

// send gives an order to the broker. When the run is ending or has failed, an order may still be in the queue: nobody would
// cancel it at a venue.
func (e *Engine) send(ctx context.Context, bus *eventbus.Bus, o Order) error {
	if e.ending.Load() || e.failed.Load() != nil {
		return OrderUpdate.Publish(ctx, bus, Cancellation{Order: o, Time: o.Time, Reason: "not sent: the run is ending"})
	}
	return e.config.Broker.OnOrder(ctx, bus, o)
}

// ask returns the handler that publishes what a strategy says.
func (e *Engine) ask(s Strategy) func(context.Context, *eventbus.Bus, Candle) error {
	return func(ctx context.Context, bus *eventbus.Bus, c Candle) error {
		side, ok := s.OnClose(c)
		if !ok {
			return nil
		}
		return SignalGenerated.Publish(ctx, bus, Signal{Symbol: c.Symbol, Side: side, Time: c.Time, Close: c.Close})
	}
}

// hear subscribes a component's method to a topic.
func hear[T any](e *Engine, topic eventbus.Topic[T], component any, method string, f func(context.Context, *eventbus.Bus, T) error,
	opts ...eventbus.SubscribeOption) *eventbus.Subscription {
	handle := func(ctx context.Context, data T) error { return f(ctx, e.bus, data) }
	return topic.Subscribe(e.bus, handle, append([]eventbus.SubscribeOption{eventbus.WithName(fmt.Sprintf("%T.%s", component, method))}, opts...)...)
}

// Bus is what the components talk on. Whoever else wants to hear something subscribes to it before Run, and
// after Restore unless it wants to hear the recorded history as well.
func (e *Engine) Bus() *eventbus.Bus { return e.bus }

// Counts says what came of the signals. Call it when Run has returned.
func (e *Engine) Counts() Counts { return e.orders.counts }
