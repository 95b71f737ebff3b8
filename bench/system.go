package main

import (
	"context"

	"github.com/eventbus-go/eventbus"
)

// A stage is a step on the way from a candle to a fill.
type stage struct {
	event eventbus.EventType
	queue eventbus.Queue
}

const (
	closed = iota
	signalled
	placed
	filled
	numStages
)

var stages = [numStages]stage{
	closed:    {eventbus.CandleClosed, eventbus.DataQueue},
	signalled: {eventbus.SignalGenerated, eventbus.SignalQueue},
	placed:    {eventbus.OrderPlaced, eventbus.OrderQueue},
	filled:    {eventbus.OrderFilled, eventbus.OrderQueue},
}

// A system trades as the example engine does: a strategy signals where two moving averages of the closes cross, a signal
// becomes an order and an order a fill, and the books follow fills and candles. One goroutine calls its handlers.
type system struct {
	publish       func(ctx context.Context, stage int, c *candle) error
	sent, handled [numStages]int
	fast, slow    average
	above         bool
	equity, held  float64
}

func newSystem() *system {
	return &system{fast: average{window: make([]float64, 3)}, slow: average{window: make([]float64, 8)}}
}

func (s *system) send(ctx context.Context, stage int, c *candle) error {
	s.sent[stage]++
	return s.publish(ctx, stage, c)
}

// A step handles a candle or what it has set off.
type step = func(context.Context, *candle) error

func (s *system) handlers() [numStages][]step {
	return [numStages][]step{
		closed:    {s.onClose, s.value},
		signalled: {s.onSignal},
		placed:    {s.onOrder},
		filled:    {s.onFill},
	}
}

func (s *system) onClose(ctx context.Context, c *candle) error {
	s.handled[closed]++
	above := s.fast.add(c.Close) > s.slow.add(c.Close)
	if above == s.above {
		return nil
	}
	s.above = above
	return s.send(ctx, signalled, c)
}

func (s *system) value(_ context.Context, c *candle) error {
	s.equity += s.held * (c.Close - c.Open)
	return nil
}

func (s *system) onSignal(ctx context.Context, c *candle) error {
	s.handled[signalled]++
	return s.send(ctx, placed, c)
}

func (s *system) onOrder(ctx context.Context, c *candle) error {
	s.handled[placed]++
	return s.send(ctx, filled, c)
}

func (s *system) onFill(context.Context, *candle) error {
	s.handled[filled]++
	s.held = 1 - s.held
	return nil
}

// An average is that of the last len(window) values.
type average struct {
	window []float64
	next   int
	sum    float64
}

func (a *average) add(v float64) float64 {
	a.sum += v - a.window[a.next]
	a.window[a.next] = v
	if a.next++; a.next == len(a.window) {
		a.next = 0
	}
	return a.sum / float64(len(a.window))
}

// newTape returns candles that rise eight times and fall eight times, so that the averages cross twice in them.
func newTape() []candle {
	tape := make([]candle, 16)
	price := 100.0
	for i := range tape {
		move := 1.0
		if i >= len(tape)/2 {
			move = -1
		}
		tape[i] = candle{Open: price, Close: price + move}
		price += move
	}
	return tape
}

// wirePlain lets s publish pointers in plain events.
func wirePlain(b *eventbus.Bus, s *system) {
	s.publish = func(ctx context.Context, stage int, c *candle) error {
		e := template
		e.Type, e.Data = stages[stage].event, c
		return b.Publish(ctx, stages[stage].queue, e)
	}
	for stage, steps := range s.handlers() {
		for _, h := range steps {
			b.SubscribeFunc(stages[stage].event, func(ctx context.Context, e eventbus.Event) error {
				return h(ctx, e.Data.(*candle))
			})
		}
	}
}

// wireTopics lets s publish values through topics, as the example engine does: each is boxed and stamped with the time.
func wireTopics(b *eventbus.Bus, s *system) {
	var topics [numStages]eventbus.Topic[candle]
	for stage, steps := range s.handlers() {
		topic := eventbus.NewTopic[candle](stages[stage].event, stages[stage].queue)
		topics[stage] = topic
		for _, h := range steps {
			topic.Subscribe(b, func(ctx context.Context, c candle) error { return h(ctx, &c) })
		}
	}
	s.publish = func(ctx context.Context, stage int, c *candle) error { return topics[stage].Publish(ctx, b, *c) }
}
