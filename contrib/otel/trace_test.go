package eventbusotel_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
	eventbusotel "github.com/eventbus-go/eventbus/contrib/otel"
)

// An order leads back to the tick that it came from, over three queues and their goroutines.
func TestTraceLeadsFromAnOrderBackToItsTick(t *testing.T) {
	d := newDesk(t, always, nil)
	d.pipeline()
	require.NoError(t, d.Start(context.Background()))
	d.feed(t, 100)
	d.flush(t)

	byID := map[trace.SpanID]sdktrace.ReadOnlySpan{}
	for _, s := range d.spans.Ended() {
		byID[s.SpanContext().SpanID()] = s
	}
	orders := d.named("process order")
	require.Len(t, orders, 100)
	traces := map[trace.TraceID]bool{}
	for _, s := range orders {
		traces[s.SpanContext().TraceID()] = true
		for _, name := range []string{"process signal", "process tick", "feed"} {
			parent := byID[s.Parent().SpanID()]
			require.NotNil(t, parent, "parent of %s", s.Name())
			require.Equal(t, name, parent.Name())
			require.Equal(t, s.SpanContext().TraceID(), parent.SpanContext().TraceID())
			require.False(t, s.StartTime().Before(parent.StartTime()))
			s = parent
		}
		require.False(t, s.Parent().IsValid())
	}
	require.Len(t, traces, 100, "each tick is a trace of its own")
	require.Len(t, byID, 400)
}

// With links each span is a trace of its own that links to where the event was published.
func TestWithLinksMakesTracesThatLink(t *testing.T) {
	d := newDesk(t, always, []eventbusotel.Option{eventbusotel.WithLinks()})
	d.pipeline()
	d.feed(t, 1)
	d.run(t)
	from, traces := d.one(t, "feed"), map[trace.TraceID]bool{}
	for _, name := range []string{"process tick", "process signal", "process order"} {
		s := d.one(t, name)
		require.False(t, s.Parent().IsValid(), name)
		require.Len(t, s.Links(), 1, name)
		require.Equal(t, from.SpanContext(), s.Links()[0].SpanContext, name)
		traces[s.SpanContext().TraceID()] = true
		from = s
	}
	require.Len(t, traces, 3)
}

// A handler's span says what the conventions for messaging ask for.
func TestTraceNamesEventAndHandler(t *testing.T) {
	d := newDesk(t, always, nil)
	d.pipeline()
	d.feed(t, 2)
	d.run(t)
	s := d.named("process tick")[1]
	require.Equal(t, trace.SpanKindConsumer, s.SpanKind())
	require.Equal(t, codes.Unset, s.Status().Code)
	require.Equal(t, "github.com/eventbus-go/eventbus/contrib/otel", s.InstrumentationScope().Name)
	require.Equal(t, map[attribute.Key]string{
		"messaging.system":                        "eventbus",
		"messaging.operation.name":                "process",
		"messaging.operation.type":                "process",
		"messaging.destination.name":              "tick",
		"messaging.destination.subscription.name": "strategy",
		"messaging.message.id":                    "data/2",
		"eventbus.queue":                          "data",
		"eventbus.source":                         "test",
	}, attributes(s))
}

// What was published outside any span is not traced, also where the bus was started in one.
func TestTraceLeavesOutWhatIsPublishedOutsideAnySpan(t *testing.T) {
	d := newDesk(t, always, nil)
	d.pipeline()
	d.SubscribeFunc(order, func(ctx context.Context, _ eventbus.Event) error {
		_, span := d.tracer.Start(ctx, "book")
		span.End()
		return nil
	})
	ctx, begin := d.tracer.Start(context.Background(), "begin the day")
	require.NoError(t, d.Start(ctx))
	require.NoError(t, d.Publish(context.Background(), eventbus.DataQueue, event(tick)))
	d.flush(t)
	begin.End()
	require.Len(t, d.spans.Ended(), 2)
	require.False(t, d.one(t, "book").Parent().IsValid(), "it is no child of the day")
}

// Unsampled events have no spans, and what their handlers begin is not sampled either.
func TestTraceReturnsEarlyForUnsampledEvents(t *testing.T) {
	d := newDesk(t, sdktrace.ParentBased(never), nil)
	d.pipeline()
	var seen trace.SpanContext
	d.SubscribeFunc(order, func(ctx context.Context, _ eventbus.Event) error {
		seen = trace.SpanContextFromContext(ctx)
		_, span := d.tracer.Start(ctx, "book")
		require.False(t, span.IsRecording())
		span.End()
		return nil
	})
	ctx, span := d.tracer.Start(context.Background(), "feed")
	require.NoError(t, d.Publish(ctx, eventbus.DataQueue, event(tick)))
	d.run(t)
	require.Empty(t, d.spans.Started())
	require.Equal(t, span.SpanContext(), seen)
}

// Trace twice in one bus would make two spans of each call.
func TestTraceTwiceFailsInNew(t *testing.T) {
	_, err := eventbus.New(append(eventbusotel.Trace(), eventbusotel.Trace()...)...)
	require.ErrorContains(t, err, "WithCarry: given twice")
}

// A topic's last event leads a late joiner to the span in which it was published.
func TestTraceReachesLateJoiners(t *testing.T) {
	d := newDesk(t, always, nil)
	prices := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	prices.Subscribe(d.Bus, func(context.Context, int) error { return nil })
	ctx, feed := d.tracer.Start(context.Background(), "feed")
	require.NoError(t, prices.Publish(ctx, d.Bus, 1))
	feed.End()
	d.run(t)
	prices.Subscribe(d.Bus, func(context.Context, int) error { return nil }, eventbus.WithLast(), eventbus.WithName("late"))
	d.run(t)
	spans := d.named("process price")
	require.Len(t, spans, 2)
	require.Equal(t, "late", attributes(spans[1])["messaging.destination.subscription.name"])
	require.Equal(t, feed.SpanContext().SpanID(), spans[1].Parent().SpanID())
}

// An event that nobody traces costs no allocation beside what a bus with WithCarry has.
func TestTraceAllocatesNothingForUntracedEvents(t *testing.T) {
	plain, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithCarry(func(context.Context) (*int, bool) { return nil, false }))
	require.NoError(t, err)
	traced := newDesk(t, always, []eventbusotel.Option{eventbusotel.WithRoots(1 << 40)})
	require.NoError(t, traced.Publish(context.Background(), eventbus.DataQueue, event(tick))) // the first is a root
	traced.run(t)
	allocs := func(b *eventbus.Bus) float64 {
		b.SubscribeFunc(tick, nothing)
		e := event(tick)
		return testing.AllocsPerRun(100, func() {
			for range 100 {
				_ = b.Publish(context.Background(), eventbus.DataQueue, e)
			}
			_, _ = b.RunUntilIdle(context.Background())
		})
	}
	require.InDelta(t, allocs(plain), allocs(traced.Bus), 2, "of 100 events")
}
