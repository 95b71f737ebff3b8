package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
)

// openBus subscribes every handler to the one event type.
func openBus(hs []handler) (*carrier, error) { return busCarrier(subscribeAll(hs), publishPlain) }

func subscribeAll(hs []handler) func(*eventbus.Bus) {
	return func(b *eventbus.Bus) {
		for _, h := range hs {
			b.SubscribeFunc(template.Type, h)
		}
	}
}

// openBusPipeline lets the handlers of data and signals publish on to the next queue.
func openBusPipeline(hs []handler) (*carrier, error) {
	return busCarrier(func(b *eventbus.Bus) {
		pass := func(h handler, t eventbus.EventType, to eventbus.Queue) handler {
			return func(ctx context.Context, e eventbus.Event) error {
				if err := h(ctx, e); err != nil {
					return err
				}
				e.Type = t
				return b.Publish(ctx, to, e)
			}
		}
		b.SubscribeFunc(eventbus.CandleUpdate, pass(hs[0], eventbus.SignalGenerated, eventbus.SignalQueue))
		b.SubscribeFunc(eventbus.SignalGenerated, pass(hs[1], eventbus.OrderPlaced, eventbus.OrderQueue))
		b.SubscribeFunc(eventbus.OrderPlaced, hs[2])
	}, publishPlain)
}

func publishPlain(ctx context.Context, b *eventbus.Bus, n int) error {
	e := template
	for range n {
		if err := b.Publish(ctx, eventbus.DataQueue, e); err != nil {
			return err
		}
	}
	return nil
}

// newBus returns a bus with all its defaults but opts. Its logger formats records from INFO up and throws them away.
func newBus(opts ...eventbus.Option) (*eventbus.Bus, error) {
	logger := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	return eventbus.New(append(opts, eventbus.WithLogger(logger))...)
}

// A sender publishes n events.
type sender func(ctx context.Context, b *eventbus.Bus, n int) error

// busCarrier is a started bus.
func busCarrier(subscribe func(*eventbus.Bus), send sender, opts ...eventbus.Option) (*carrier, error) {
	b, err := newBus(opts...)
	if err != nil {
		return nil, err
	}
	subscribe(b)
	ctx, cancel := context.WithCancel(context.Background())
	if err := b.Start(ctx); err != nil {
		cancel()
		return nil, err
	}
	return &carrier{
		publish: func(n int) error { return send(ctx, b, n) },
		send:    func(e eventbus.Event) error { return b.Publish(ctx, eventbus.DataQueue, e) },
		close: func() error {
			defer cancel()
			deadline, release := context.WithTimeout(context.Background(), 10*time.Second)
			defer release()
			return errors.Join(b.Shutdown(deadline), balanced(b.Stats()))
		},
	}, nil
}

// balanced reports an event that the bus accepted and did not handle, or refused, or whose handler failed.
func balanced(stats eventbus.Stats) error {
	for _, q := range stats.Queues {
		if q.Accepted != q.Handled+q.Conflated || q.Dropped+q.Evicted+q.Rejected+q.Failed+q.Panicked > 0 {
			return fmt.Errorf("the %v queue's accounts after the round: %+v", q.Queue, q)
		}
	}
	return nil
}
