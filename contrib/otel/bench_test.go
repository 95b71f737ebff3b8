package eventbusotel_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
	eventbusotel "github.com/eventbus-go/eventbus/contrib/otel"
)

// What an event costs, published and handled on one goroutine: without tracing, with
// tracing and nothing to trace, in an unsampled span, in a sampled one whose spans nobody
// exports, and with one of a thousand ticks as a root.
func BenchmarkTrace(b *testing.B) {
	sampled := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}))
	unsampled := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(never)))
	for _, bench := range []struct {
		name string
		in   trace.TracerProvider // the publisher's span, if any
		opts []eventbus.Option
	}{
		{"off", nil, nil},
		{"untraced", nil, eventbusotel.Trace(eventbusotel.WithTracerProvider(sampled))},
		{"unsampled", unsampled, eventbusotel.Trace(eventbusotel.WithTracerProvider(unsampled))},
		{"sampled", sampled, eventbusotel.Trace(eventbusotel.WithTracerProvider(sampled))},
		{"roots=1000", nil, eventbusotel.Trace(eventbusotel.WithTracerProvider(sampled), eventbusotel.WithRoots(1000))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ctx := context.Background()
			if bench.in != nil {
				ctx, _ = bench.in.Tracer("feed").Start(ctx, "feed")
			}
			run(b, ctx, bench.opts)
		})
	}
}

// batch is how many events are published before they are handled.
const batch = 500

func run(b *testing.B, ctx context.Context, opts []eventbus.Option) {
	bus, err := eventbus.New(append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))...)
	require.NoError(b, err)
	defer shutdown(bus)
	bus.SubscribeFunc(tick, nothing)
	e := event(tick)
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		_ = bus.Publish(ctx, eventbus.DataQueue, e)
		if n%batch == 0 {
			_, _ = bus.RunUntilIdle(context.Background())
		}
	}
}

// discard is where sampled spans go that nobody exports.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }
