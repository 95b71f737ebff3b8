package eventbus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// A counter keeps the counts of handlers on cache lines of their own.
type counter struct {
	n uint64
	_ [120]byte
}

func countingHandlers(n int) []func(context.Context, eventbus.Event) error {
	counters := make([]counter, n)
	handlers := make([]func(context.Context, eventbus.Event) error, n)
	for i := range handlers {
		handlers[i] = func(context.Context, eventbus.Event) error { counters[i].n++; return nil }
	}
	return handlers
}

// publishAll has n events published by so many publishers, and waits for them.
func publishAll(publishers, n int, publish func()) {
	var wg sync.WaitGroup
	for i := range publishers {
		share := n / publishers
		if i < n%publishers {
			share++
		}
		wg.Go(func() {
			for range share {
				publish()
			}
		})
	}
	wg.Wait()
}

// busOptions are what the bus is measured with: as it is, and watched.
var busOptions = map[string][]eventbus.Option{
	"bus":       nil,
	"latencies": {eventbus.WithLatencies()},
	"causes":    {eventbus.WithCauses()},
}

// BenchmarkPublish measures an event from its publish to the end of its last
// handler, on the bus and by hand on a channel of the same capacity. The module
// in bench compares the two in turns, and with other buses.
func BenchmarkPublish(b *testing.B) {
	const capacity = 1000
	ctx := context.Background()
	e := eventbus.NewEvent(eventbus.CandleUpdate, new(int), "benchmark")
	for _, publishers := range []int{1, 4} {
		for _, handlers := range []int{1, 10} {
			axes := fmt.Sprintf("publishers=%d/handlers=%d", publishers, handlers)
			for impl, opts := range busOptions {
				b.Run("impl="+impl+"/"+axes, func(b *testing.B) {
					bus := newBus(b, append(opts, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: capacity}))...)
					for _, f := range countingHandlers(handlers) {
						bus.SubscribeFunc(eventbus.CandleUpdate, f)
					}
					start(b, bus)
					b.ReportAllocs()
					b.ResetTimer()
					publishAll(publishers, b.N, func() { _ = bus.Publish(ctx, eventbus.DataQueue, e) })
					_ = bus.Flush(ctx)
				})
			}
			b.Run("impl=hand/"+axes, func(b *testing.B) {
				ch, done := make(chan eventbus.Event, capacity), make(chan bool)
				hs := countingHandlers(handlers)
				go func() {
					defer close(done)
					for e := range ch {
						for _, h := range hs {
							if err := h(ctx, e); err != nil {
								b.Error(err)
							}
						}
					}
				}()
				b.ReportAllocs()
				b.ResetTimer()
				publishAll(publishers, b.N, func() { ch <- e })
				close(ch)
				<-done
			})
		}
	}
}

// BenchmarkStep measures an event of a bus that is stepped, one at a time.
func BenchmarkStep(b *testing.B) {
	ctx := context.Background()
	bus := newBus(b)
	bus.SubscribeFunc(eventbus.CandleClosed, countingHandlers(1)[0])
	e := eventbus.NewEvent(eventbus.CandleClosed, new(int), "benchmark")
	b.ReportAllocs()
	for b.Loop() {
		_ = bus.Publish(ctx, eventbus.DataQueue, e)
		if _, err := bus.RunUntilIdle(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublishInHandler measures an event that a handler publishes, with and without
// a cause.
func BenchmarkPublishInHandler(b *testing.B) {
	for impl, opts := range busOptions {
		b.Run("impl="+impl, func(b *testing.B) {
			ctx := context.Background()
			bus := newBus(b, opts...)
			order := eventbus.NewEvent(eventbus.OrderPlaced, new(int), "benchmark")
			bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, _ eventbus.Event) error {
				return bus.Publish(ctx, eventbus.OrderQueue, order)
			})
			e := eventbus.NewEvent(eventbus.CandleClosed, new(int), "benchmark")
			b.ReportAllocs()
			for b.Loop() {
				_ = bus.Publish(ctx, eventbus.DataQueue, e)
				if _, err := bus.RunUntilIdle(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDeliveryFrom measures what a handler pays to ask for its delivery.
func BenchmarkDeliveryFrom(b *testing.B) {
	bus := newBus(b)
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, _ eventbus.Event) error {
		for b.Loop() {
			if _, ok := eventbus.DeliveryFrom(ctx); !ok {
				b.Error("no delivery")
			}
		}
		return nil
	})
	publish(b, bus, eventbus.DataQueue, eventbus.CandleClosed, 1)
	runUntilIdle(b, bus)
}

// BenchmarkSubscribeMatch measures an event of one of 200 types. Each has one handler:
// subscribed to the type by name, by a pattern that matches this type alone, or as a tap
// with a filter, so that all 200 are asked for each event.
func BenchmarkSubscribeMatch(b *testing.B) {
	const types = 200
	ctx := context.Background()
	name := func(i int) eventbus.EventType { return eventbus.EventType(fmt.Sprintf("order_%03d", i)) }
	for _, by := range []string{"name", "pattern", "tap"} {
		b.Run(fmt.Sprintf("by=%s/types=%d", by, types), func(b *testing.B) {
			bus := newBus(b, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1000}))
			events := make([]eventbus.Event, types)
			for i, f := range countingHandlers(types) {
				typ := name(i)
				events[i] = eventbus.NewEvent(typ, new(int), "benchmark")
				switch by {
				case "name":
					bus.SubscribeFunc(typ, f)
				case "pattern":
					bus.SubscribeMatch("*_"+string(typ[6:]), eventbus.HandlerFunc(f))
				default:
					bus.SubscribeAll(eventbus.HandlerFunc(f), eventbus.Where(func(e eventbus.Event) bool { return e.Type == typ }))
				}
			}
			start(b, bus)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				_ = bus.Publish(ctx, eventbus.DataQueue, events[i%types])
			}
			_ = bus.Flush(ctx)
		})
	}
}
