package eventbusotel_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	eventbusotel "github.com/eventbus-go/eventbus/contrib/otel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tick   eventbus.EventType = "tick"
	signal eventbus.EventType = "signal"
	order  eventbus.EventType = "order"
)

// A desk is a bus whose handlers' spans are recorded.
type desk struct {
	*eventbus.Bus
	tracer trace.Tracer // of the feed
	spans  *tracetest.SpanRecorder
}

// newDesk returns a desk that samples as told and ends with the test.
func newDesk(t testing.TB, sampler sdktrace.Sampler, trace []eventbusotel.Option, opts ...eventbus.Option) desk {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(spans))
	opts = append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	opts = append(eventbusotel.Trace(append(trace, eventbusotel.WithTracerProvider(provider))...), opts...)
	b, err := eventbus.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(b) })
	return desk{b, provider.Tracer("feed"), spans}
}

func shutdown(b *eventbus.Bus) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.Shutdown(ctx)
}

// pipeline subscribes handlers that make a signal of a tick, and an order of a signal.
func (d desk) pipeline() {
	d.SubscribeFunc(tick, d.forward(eventbus.SignalQueue, signal), eventbus.WithName("strategy"))
	d.SubscribeFunc(signal, d.forward(eventbus.OrderQueue, order), eventbus.WithName("risk"))
	d.SubscribeFunc(order, nothing, eventbus.WithName("broker"))
}

func (d desk) forward(q eventbus.Queue, to eventbus.EventType) eventbus.HandlerFunc {
	return func(ctx context.Context, _ eventbus.Event) error { return d.Publish(ctx, q, event(to)) }
}

func event(t eventbus.EventType) eventbus.Event { return eventbus.NewEvent(t, nil, "test") }

func nothing(context.Context, eventbus.Event) error { return nil }

// feed publishes n ticks, each inside a span "feed".
func (d desk) feed(t testing.TB, n int) {
	for range n {
		ctx, span := d.tracer.Start(context.Background(), "feed")
		require.NoError(t, d.Publish(ctx, eventbus.DataQueue, event(tick)))
		span.End()
	}
}

// run handles what waits, on this goroutine.
func (d desk) run(t testing.TB) {
	_, err := d.RunUntilIdle(context.Background())
	require.NoError(t, err)
}

// flush waits for the processors to be done.
func (d desk) flush(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, d.Flush(ctx))
}

// named returns the ended spans of a name.
func (d desk) named(name string) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range d.spans.Ended() {
		if s.Name() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// one returns the only ended span of a name.
func (d desk) one(t testing.TB, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	spans := d.named(name)
	require.Len(t, spans, 1, name)
	return spans[0]
}

func attributes(s sdktrace.ReadOnlySpan) map[attribute.Key]string {
	m := map[attribute.Key]string{}
	for _, a := range s.Attributes() {
		m[a.Key] = a.Value.AsString()
	}
	return m
}

var always, never = sdktrace.AlwaysSample(), sdktrace.NeverSample()
