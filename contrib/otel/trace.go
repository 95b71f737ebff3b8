// Package eventbusotel traces events through a bus of
// [github.com/eventbus-go/eventbus] with OpenTelemetry: from a tick over a signal to an
// order, across queues and goroutines.
//
//	bus, err := eventbus.New(eventbusotel.Trace()...)
//	ctx, span := tracer.Start(ctx, "feed")
//	err = bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", t, "feed"))
//
// An event carries the span in whose context it was published. Each call of a handler is a
// span "process {type}", whose parent that is, and what the handler publishes with its
// context is traced on. An event that was published outside any span is not traced, unless
// [WithRoots] chooses it; the span of a context that the bus was started with is never a
// parent, since all events of the day would be one trace.
//
// Metrics come from contrib/prometheus over OpenTelemetry's bridge: see the example.
package eventbusotel

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
)

// scopeName is the instrumentation scope of the spans.
const scopeName = "github.com/eventbus-go/eventbus/contrib/otel"

// An Option is an option of [Trace].
type Option func(*tracer)

// WithTracerProvider makes the spans with p. Without it they are made with the global
// provider, also if that is set after Trace.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(t *tracer) { t.spans = p.Tracer(scopeName) }
}

// WithLinks makes each handler's span the root of a trace of its own, with a link to the
// span in which the event was published. Without it the span is a child of that one.
func WithLinks() Option { return func(t *tracer) { t.links = true } }

// WithRoots begins a trace at one of every n publishes outside any span, the first one
// included: at ticks, where the feed makes no spans of its own. What a handler publishes,
// of whatever bus, begins none. The trace begins with a span "publish {type}" that ends when
// the event's turn comes, so its length is the wait in the queue. The events of a batch
// share it. 0, as without WithRoots, begins none.
//
// The provider's sampler is asked for each; of events that it would refuse nearly always it
// is cheaper to leave them out here.
func WithRoots(n uint64) Option { return func(t *tracer) { t.every = n } }

// Trace returns options for eventbus.New that make spans of the calls of all handlers. Given
// first, they are around every other middleware: a retry inside is one span with its
// failures, one outside is a span a try. New fails if they are given twice.
//
// An error that a handler returns, with its text, and the end of a handler by a panic or
// runtime.Goexit are the span's status. A panic passes through without a recover, so that
// its stack reaches the line that panicked. After Shutdown nothing calls the provider, which
// the program shuts down after the bus.
func Trace(opts ...Option) []eventbus.Option {
	t := &tracer{}
	for _, opt := range opts {
		opt(t)
	}
	if t.spans == nil {
		t.spans = otel.GetTracerProvider().Tracer(scopeName)
	}
	return []eventbus.Option{eventbus.WithCarry(t.capture), eventbus.WithMiddleware(t.middleware)}
}

// A tracer is what the handlers of a bus share. It never changes once Trace has returned,
// but for the count of publishes.
type tracer struct {
	spans trace.Tracer
	links bool
	every uint64 // 0: no roots

	published atomic.Uint64 // outside any span
}

// An origin is what an event carries: the span in which it was published, or the root of a
// trace that begins with it. Events carry a pointer, because one that is nil costs no
// allocation.
type origin struct {
	span trace.SpanContext
	root *root
}

// capture returns the origin of what is published with ctx. It is called concurrently.
func (t *tracer) capture(ctx context.Context) (*origin, bool) {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		return &origin{span: span}, true
	}
	if t.every == 0 {
		return nil, false
	}
	if _, inside := eventbus.DeliveryFrom(ctx); inside || (t.published.Add(1)-1)%t.every != 0 {
		return nil, false
	}
	return &origin{root: newRoot()}, true
}

// middleware returns next inside a span. Events that nobody will see a span of cost little:
// they get neither span nor attributes.
func (t *tracer) middleware(next eventbus.Handler) eventbus.Handler {
	call := next.Handle
	if f, ok := next.(eventbus.HandlerFunc); ok {
		call = f
	}
	return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
		from, traced := eventbus.Carried[*origin](ctx)
		if !traced {
			return call(withoutSpan(ctx), e)
		}
		d, _ := eventbus.DeliveryFrom(ctx)
		parent := from.span
		if from.root != nil {
			parent = from.root.begin(t.spans, d)
		}
		if !parent.IsSampled() { // what the handler begins must know
			return call(trace.ContextWithSpanContext(ctx, parent), e)
		}
		return t.process(trace.ContextWithSpanContext(ctx, parent), e, d, call)
	})
}

// withoutSpan hides the span of the context that the bus was started with.
func withoutSpan(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	return ctx
}
