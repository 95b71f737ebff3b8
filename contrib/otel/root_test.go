package eventbusotel_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
	eventbusotel "github.com/eventbus-go/eventbus/contrib/otel"
)

func roots(n uint64) []eventbusotel.Option {
	return []eventbusotel.Option{eventbusotel.WithRoots(n)}
}

// One of every n ticks begins a trace, from publishers that run concurrently too; what its
// handlers publish is part of it, and what those of the other ticks publish begins none.
func TestWithRootsBeginsATraceAtOneOfNPublishes(t *testing.T) {
	d := newDesk(t, always, roots(10))
	d.pipeline()
	require.NoError(t, d.Start(context.Background()))
	var feeds sync.WaitGroup
	for range 4 {
		feeds.Go(func() {
			for range 50 {
				_ = d.Publish(context.Background(), eventbus.DataQueue, event(tick))
			}
		})
	}
	feeds.Wait()
	d.flush(t)
	traces := map[trace.TraceID]int{}
	for _, s := range d.spans.Ended() {
		traces[s.SpanContext().TraceID()]++
	}
	require.Len(t, d.named("publish tick"), 20)
	require.Len(t, d.named("process order"), 20)
	require.Len(t, traces, 20)
	for _, spans := range traces {
		require.Equal(t, 4, spans, "publish, tick, signal, order")
	}
}

// All handlers of an event are in its trace, and so are the events of its batch.
func TestWithRootsSharesATrace(t *testing.T) {
	d := newDesk(t, always, roots(1))
	for _, name := range []string{"one", "two"} {
		d.SubscribeFunc(tick, nothing, eventbus.WithName(name))
	}
	_, err := d.PublishBatch(context.Background(), eventbus.DataQueue, []eventbus.Event{event(tick), event(tick)})
	require.NoError(t, err)
	d.run(t)
	root := d.one(t, "publish tick")
	require.False(t, root.Parent().IsValid())
	spans := d.named("process tick")
	require.Len(t, spans, 4)
	for _, s := range spans {
		require.Equal(t, root.SpanContext().SpanID(), s.Parent().SpanID())
	}
}

// The root's length is how long the event waited.
func TestWithRootsTellsTheWaitInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, always, roots(1))
		d.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Minute); return nil })
		require.NoError(t, d.Publish(context.Background(), eventbus.DataQueue, event(tick)))
		time.Sleep(time.Second)
		d.run(t)
		root := d.one(t, "publish tick")
		require.Equal(t, time.Second, root.EndTime().Sub(root.StartTime()))
		require.Equal(t, trace.SpanKindProducer, root.SpanKind())
		require.Equal(t, map[attribute.Key]string{
			"messaging.system":           "eventbus",
			"messaging.operation.name":   "publish",
			"messaging.operation.type":   "send",
			"messaging.destination.name": "tick",
			"messaging.message.id":       "data/1",
			"eventbus.queue":             "data",
			"eventbus.source":            "test",
		}, attributes(root))
	})
}

// The provider's sampler has the last word on a root, and what it refuses stays refused.
func TestWithRootsAsksTheSampler(t *testing.T) {
	d := newDesk(t, sdktrace.ParentBased(never), roots(1))
	d.pipeline()
	require.NoError(t, d.Publish(context.Background(), eventbus.DataQueue, event(tick)))
	d.run(t)
	require.Empty(t, d.spans.Started())
}

// What is published in a span is traced by that one, and counts for no root.
func TestWithRootsKeepsTheSpansThatThereAre(t *testing.T) {
	d := newDesk(t, always, roots(1))
	d.pipeline()
	d.feed(t, 3)
	d.run(t)
	require.Empty(t, d.named("publish tick"))
	require.Len(t, d.named("process order"), 3)
}
