package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

// openHand is the baseline: the cheapest loop a user would write on a buffered channel. It has no recover, no stop and
// no counters, and must stay that way.
func openHand(hs []handler) (*carrier, error) {
	return handCarrier(func(ctx context.Context, ch <-chan eventbus.Event) { consume(ctx, ch, hs) }, sendPlain), nil
}

func consume(ctx context.Context, ch <-chan eventbus.Event, handlers []handler) {
	for e := range ch {
		for _, h := range handlers {
			if err := h(ctx, e); err != nil {
				slog.Error("handler failed", "error", err)
			}
		}
	}
}

func sendPlain(ch chan<- eventbus.Event, n int) {
	e := template
	for range n {
		ch <- e
	}
}

// handCarrier is a channel with one goroutine that consumes it.
func handCarrier(consume func(context.Context, <-chan eventbus.Event), send func(chan<- eventbus.Event, int)) *carrier {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan eventbus.Event, dataCapacity)
	var wg sync.WaitGroup
	wg.Go(func() { consume(ctx, ch) })
	return &carrier{
		publish: func(n int) error { send(ch, n); return nil },
		close:   func() error { close(ch); wg.Wait(); cancel(); return nil },
	}
}

// openHandPipeline is three loops, each of which sends on to the next channel.
func openHandPipeline(hs []handler) (*carrier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	data := make(chan eventbus.Event, dataCapacity)
	signals := make(chan eventbus.Event, signalCapacity)
	orders := make(chan eventbus.Event, orderCapacity)
	pass := func(h handler, t eventbus.EventType, to chan<- eventbus.Event) []handler {
		return []handler{func(ctx context.Context, e eventbus.Event) error {
			if err := h(ctx, e); err != nil {
				return err
			}
			e.Type = t
			to <- e
			return nil
		}}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(signals)
		consume(ctx, data, pass(hs[0], eventbus.SignalGenerated, signals))
	})
	wg.Go(func() {
		defer close(orders)
		consume(ctx, signals, pass(hs[1], eventbus.OrderPlaced, orders))
	})
	wg.Go(func() { consume(ctx, orders, hs[2:]) })
	return &carrier{
		publish: func(n int) error { sendPlain(data, n); return nil },
		close:   func() error { close(data); wg.Wait(); cancel(); return nil },
	}, nil
}

// openHandPoll is the loop with a stop and a poll: one goroutine, one channel, one ticker.
func openHandPoll(hs []handler) (*carrier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan eventbus.Event, dataCapacity)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { consumeUntil(ctx, stop, ch, hs) })
	return &carrier{
		publish: func(n int) error { sendPlain(ch, n); return nil },
		send:    func(e eventbus.Event) error { ch <- e; return nil },
		close:   func() error { close(stop); wg.Wait(); cancel(); return nil },
	}, nil
}

// openHandIdle is three goroutines that can be stopped and look up every 100 ms, each on a channel of its own.
func openHandIdle(hs []handler) (*carrier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	data := make(chan eventbus.Event, dataCapacity)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, ch := range []chan eventbus.Event{
		data, make(chan eventbus.Event, signalCapacity), make(chan eventbus.Event, orderCapacity),
	} {
		wg.Go(func() { consumeUntil(ctx, stop, ch, hs) })
	}
	return &carrier{
		publish: func(n int) error { sendPlain(data, n); return nil },
		close:   func() error { close(stop); wg.Wait(); cancel(); return nil },
	}, nil
}

func consumeUntil(ctx context.Context, stop <-chan struct{}, ch <-chan eventbus.Event, handlers []handler) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case e := <-ch:
			for _, h := range handlers {
				if err := h(ctx, e); err != nil {
					slog.Error("handler failed", "error", err)
				}
			}
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}
