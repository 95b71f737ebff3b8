package eventbusotel

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
)

// process calls the handler inside a span. The span in whose context the event was published
// is that of ctx.
func (t *tracer) process(ctx context.Context, e eventbus.Event, d eventbus.Delivery, call eventbus.HandlerFunc) (err error) {
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(processAttributes(d)...),
	}
	if t.links {
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)))
	}
	ctx, span := t.spans.Start(ctx, processName(d.Event.Type), opts...)
	returned := false
	// The span must not be ended by a deferred call of its own: End recovers then, and panics
	// anew without the stack.
	defer func() {
		if !returned {
			fail(span, panicType, "the handler panicked or ended its goroutine")
		} else if err != nil {
			span.RecordError(err)
			fail(span, fmt.Sprintf("%T", err), err.Error())
		}
		span.End()
	}()
	err = call(ctx, e)
	returned = true
	return err
}

func fail(span trace.Span, errorType, description string) {
	span.SetStatus(codes.Error, description)
	span.SetAttributes(errorTypeKey.String(errorType))
}

// A root is the beginning of a trace at a publish. Its span is made when the first handler
// of the event is called, by whose delivery its type is known; the event may be retained,
// and called with by several goroutines.
type root struct {
	published time.Time
	once      sync.Once
	span      trace.SpanContext // written in once
}

func newRoot() *root { return &root{published: time.Now()} }

// begin makes the span, the first time, and returns it. It has ended; it ends outside once,
// since an exporter may take long.
func (r *root) begin(spans trace.Tracer, d eventbus.Delivery) trace.SpanContext {
	var span trace.Span
	r.once.Do(func() {
		_, span = spans.Start(context.Background(), publishName(d.Event.Type),
			trace.WithTimestamp(r.published),
			trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(publishAttributes(d)...))
		r.span = span.SpanContext()
	})
	if span != nil {
		span.End()
	}
	return r.span
}
