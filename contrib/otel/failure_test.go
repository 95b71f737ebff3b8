package eventbusotel_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus"
)

// A handler's error is the span's status and an event of it.
func TestTraceTellsErrors(t *testing.T) {
	d := newDesk(t, always, nil)
	d.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return errors.New("no margin") })
	d.feed(t, 1)
	d.run(t)
	s := d.one(t, "process tick")
	require.Equal(t, codes.Error, s.Status().Code)
	require.Equal(t, "no margin", s.Status().Description)
	require.Equal(t, "*errors.errorString", attributes(s)["error.type"])
	require.Len(t, s.Events(), 1)
	require.Equal(t, "exception", s.Events()[0].Name)
}

func explode(context.Context, eventbus.Event) error { panic("boo") }

// A panic passes through without a recover: its stack reaches the line that panicked, and
// tells of one panic. Its span has ended, and so has that of a handler that calls Goexit.
func TestTraceLetsPanicsPass(t *testing.T) {
	var failures []*eventbus.HandlerError
	d := newDesk(t, always, nil, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
		failures = append(failures, err)
	}))
	d.SubscribeFunc(tick, explode)
	d.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil })
	require.NoError(t, d.Start(context.Background()))
	d.feed(t, 1)
	d.flush(t)
	require.Len(t, failures, 2)
	require.True(t, failures[0].Panicked)
	stack := string(failures[0].Stack)
	require.Contains(t, stack, "otel_test.explode")
	require.Equal(t, 1, strings.Count(stack, "panic("), stack)

	spans := d.named("process tick")
	require.Len(t, spans, 2)
	for _, s := range spans {
		require.Equal(t, codes.Error, s.Status().Code)
		require.Equal(t, "panic", attributes(s)["error.type"])
	}
}

// The span of a call that Async gives up on ends then, with the error.
func TestTraceEndsWhereAsyncGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, always, nil)
		inside := make(chan trace.SpanContext, 1)
		stuck := eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			inside <- trace.SpanContextFromContext(ctx)
			time.Sleep(time.Hour)
			return nil
		})
		d.Subscribe(tick, eventbus.Async(stuck, time.Second))
		d.feed(t, 1)
		d.run(t)
		s := d.one(t, "process tick")
		require.Equal(t, time.Second, s.EndTime().Sub(s.StartTime()))
		require.Equal(t, codes.Error, s.Status().Code)
		require.Equal(t, s.SpanContext(), <-inside)
		time.Sleep(time.Hour)
	})
}

// A middleware inside, such as a retry, is in one span, also one that is given for all
// handlers after Trace.
func TestTraceIsAroundOtherMiddleware(t *testing.T) {
	retry := func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			for range 2 {
				_ = next.Handle(ctx, e)
			}
			return next.Handle(ctx, e)
		})
	}
	d := newDesk(t, always, nil, eventbus.WithMiddleware(retry))
	calls := 0
	d.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { calls++; return nil }, eventbus.Use(retry))
	d.feed(t, 1)
	d.run(t)
	require.Equal(t, 9, calls)
	d.one(t, "process tick")
}
