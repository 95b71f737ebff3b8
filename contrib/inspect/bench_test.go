package inspect_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// BenchmarkTap measures what an event costs while somebody looks, beside one while nobody
// does: in turns, each of 1,000 events, on a stepped bus with one handler a type. ns/tap is
// the median of the differences, for an event.
func BenchmarkTap(b *testing.B) {
	for _, c := range []struct {
		name  string
		types int
		opts  []eventbus.Option
	}{
		{"types=1", 1, nil},
		{"types=1,latencies,causes", 1, []eventbus.Option{eventbus.WithLatencies(), eventbus.WithCauses()}},
		{"types=50", 50, nil},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkTap(b, c.types, c.opts...) })
	}
}

const turnEvents = 1000

func benchmarkTap(b *testing.B, types int, opts ...eventbus.Option) {
	bus, err := eventbus.New(append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))...)
	require.NoError(b, err)
	b.Cleanup(func() { _ = bus.Shutdown(ended()) })
	events := make([]eventbus.Event, turnEvents)
	for i := range events {
		n := i * types / turnEvents // a run of each type
		events[i] = eventbus.NewEvent(eventbus.EventType(fmt.Sprint("tick", n)), nil, "feed")
	}
	for i := range types {
		bus.SubscribeFunc(eventbus.EventType(fmt.Sprint("tick", i)), fail(nil))
	}
	page := inspect.New(bus)
	turn := func() time.Duration {
		_, err := bus.PublishBatch(background, eventbus.DataQueue, events)
		require.NoError(b, err)
		began := time.Now()
		_, err = bus.RunUntilIdle(background)
		took := time.Since(began)
		require.NoError(b, err)
		return took
	}
	var alone, watched, tap []float64
	for b.Loop() {
		for range 5 {
			alone = append(alone, perEvent(turn()))
		}
		v := look(b, page)
		for !hasTap(bus) {
			time.Sleep(10 * time.Microsecond)
		}
		for i := range 5 {
			watched = append(watched, perEvent(turn()))
			tap = append(tap, watched[len(watched)-1]-alone[len(alone)-5+i])
		}
		v.leave()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(alone), "ns/alone")
	b.ReportMetric(median(watched), "ns/watched")
	b.ReportMetric(median(tap), "ns/tap")
}

func perEvent(d time.Duration) float64 { return float64(d.Nanoseconds()) / turnEvents }

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkRecord measures what a failure costs that is recorded.
func BenchmarkRecord(b *testing.B) {
	var f inspect.Failures
	err := &eventbus.HandlerError{Queue: eventbus.OrderQueue, Event: eventbus.NewEvent("order", nil, "risk"), Handler: "broker", Err: errRisky}
	b.ReportAllocs()
	for b.Loop() {
		f.Record(context.Background(), err)
	}
}
