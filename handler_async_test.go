package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// async is eventbus.Async for a function.
func async(f eventbus.HandlerFunc, timeout time.Duration) eventbus.Handler {
	return eventbus.Async(f, timeout)
}

func TestAsyncHandlersKeepTheirOrder(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelDebug}
		b := startedBus(t, log.logger())
		var got journal[string]
		note := func(who string) eventbus.HandlerFunc {
			return func(_ context.Context, e eventbus.Event) error {
				time.Sleep(time.Second)
				got.add(who + e.Data.(string))
				return nil
			}
		}
		b.Subscribe("tick", async(note("a"), 0), eventbus.WithName("a"))
		b.Subscribe("tick", note("b"), eventbus.WithName("b"))
		b.Subscribe("tick", async(note("c"), time.Minute), eventbus.WithName("c"))
		publish(t, b, eventbus.DataQueue, "tick", "1", "2")
		bustest.Flush(t, b)
		require.Equal(t, []string{"a1", "b1", "c1", "a2", "b2", "c2"}, got.all())
		modes := map[any]any{}
		for _, r := range log.find("eventbus: calling handler") {
			modes[r.attrs["handler"]] = r.attrs["async"]
		}
		require.Equal(t, map[any]any{"a": true, "b": false, "c": true}, modes)
		synctest.Wait() // the counts may come later
		for _, h := range b.Stats().Handlers {
			require.EqualValues(t, 2, h.Calls)
		}
	})
}

func TestAsyncFailureIsReportedLikeAnyOther(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				var others journal[int]
				b.Subscribe("tick", async(func(context.Context, eventbus.Event) error { return detonate(fail) }, time.Second))
				b.SubscribeFunc("tick", others.handle)
				publish(t, b, eventbus.DataQueue, "tick", 1, 2)
				bustest.Flush(t, b)
				require.Equal(t, []int{1, 2}, others.all())
				require.Len(t, reports.all(), 2)
				r := reports.all()[1]
				require.Equal(t, 2, r.Event.Data)
				require.Equal(t, strings.HasPrefix(name, "panic"), r.Panicked)
				require.Equal(t, name == "error" || name == "panic", errors.Is(r, bustest.ErrHandler))
				require.Contains(t, r.Handler, "TestAsyncFailureIsReportedLikeAnyOther")
				if name != "error" {
					require.Contains(t, string(r.Stack), "eventbus_test.detonate(")
				}
				if name == "Goexit" {
					require.ErrorContains(t, r, "runtime.Goexit")
				}
			})
		})
	}
}

// A handler that leaves when its context ends has failed all the same.
func TestAsyncHandlerThatHeedsItsTimeoutIsReportedOnce(t *testing.T) {
	const events = 500
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, reporting(&reports), log.logger(), eventbus.WithSlowHandler(0))
		b.Subscribe("tick", async(func(ctx context.Context, _ eventbus.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}, time.Second))
		publish(t, b, eventbus.DataQueue, "tick", numbers(events)...)
		require.NoError(t, b.Flush(t.Context()))
		synctest.Wait()
		require.Len(t, reports.all(), events)
		for _, r := range reports.all() {
			require.ErrorIs(t, r, eventbus.ErrHandlerTimeout)
		}
		require.Len(t, log.above(slog.LevelInfo), events)
		require.Zero(t, b.Stats().Abandoned)
	})
}

// Whether the handler or the processor sees the end of its context first, the
// call has timed out, and is abandoned no longer than it runs.
func TestAsyncReturnAtTheTimeoutIsATimeout(t *testing.T) {
	const events = 30
	var reports journal[*eventbus.HandlerError]
	b := newBus(t, reporting(&reports))
	start(t, b)
	b.Subscribe("tick", async(func(ctx context.Context, e eventbus.Event) error {
		for ctx.Err() == nil {
		}
		if even(e) {
			return nil
		}
		return bustest.ErrHandler
	}, time.Millisecond))
	publish(t, b, eventbus.DataQueue, "tick", numbers(events)...)
	shutdown(t, b)
	require.Len(t, reports.all(), events)
	for _, r := range reports.all() {
		require.ErrorIs(t, r, eventbus.ErrHandlerTimeout)
	}
	require.Zero(t, b.Stats().Abandoned)
}

func TestAsyncLogsWhatAnAbandonedCallFailsWith(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				log := &logbook{level: slog.LevelError}
				b := startedBus(t, log.logger())
				b.Subscribe("tick", async(func(context.Context, eventbus.Event) error {
					time.Sleep(time.Minute)
					return fail()
				}, time.Second), eventbus.WithName("late"))
				publish(t, b, eventbus.DataQueue, "tick", 1)
				bustest.Flush(t, b)
				require.Len(t, log.above(slog.LevelInfo), 1)
				time.Sleep(time.Hour)
				records := log.find("eventbus: handler failed")
				require.Len(t, records, 2)
				require.Equal(t, "late", records[1].attrs["handler"])
				require.ErrorContains(t, records[1].attrs["error"].(error), "after it was abandoned")
				require.Zero(t, b.Stats().Abandoned)
				require.EqualValues(t, 1, b.Stats().Handlers[0].Failed)
			})
		})
	}
}

func TestAsyncCallIsTheHandlerWhileItIsAwaited(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
		var outcomes journal[error]
		b.Subscribe("tick", async(func(ctx context.Context, e eventbus.Event) error {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			outcomes.add(b.Publish(derived, eventbus.OrderQueue, event("other", 1)))
			outcomes.add(b.Publish(derived, eventbus.OrderQueue, event("other", 2))) // its own queue is full: deferred
			outcomes.add(b.Flush(derived))
			<-ctx.Done()
			time.Sleep(time.Second)
			free := context.WithoutCancel(derived)
			outcomes.add(b.Flush(free))
			time.Sleep(time.Minute)
			return nil
		}, time.Second))
		publish(t, b, eventbus.OrderQueue, "tick", 0)
		bustest.Flush(t, b)
		time.Sleep(time.Minute)
		require.Equal(t, []error{nil, nil}, outcomes.all()[:2])
		require.ErrorIs(t, outcomes.all()[2], eventbus.ErrWouldDeadlock)
		require.NoError(t, outcomes.all()[3])
	})
}

// When the next handler publishes, the abandoned call is no longer taken for it: its
// publish waits as well and is not deferred.
func TestAsyncPublishThatWaitsLeavesWithTheTimeout(t *testing.T) {
	for range 100 {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
			stuck := newGate()
			b.SubscribeFunc("stuck", stuck.handle)
			publish(t, b, eventbus.OrderQueue, "stuck", 1)
			receive(t, stuck.entered)
			publish(t, b, eventbus.OrderQueue, "stuck", 2)
			var outcomes journal[error]
			b.Subscribe("tick", async(func(ctx context.Context, e eventbus.Event) error {
				err := b.Publish(ctx, eventbus.OrderQueue, event("stuck", 3))
				outcomes.add(err)
				return err
			}, time.Second))
			publish(t, b, eventbus.DataQueue, "tick", 1, 1)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			require.Len(t, outcomes.all(), 2)
			require.ErrorIs(t, outcomes.all()[0], context.DeadlineExceeded)
			require.ErrorIs(t, outcomes.all()[1], context.DeadlineExceeded)
			stuck.open()
			bustest.Flush(t, b)
			require.EqualValues(t, 2, b.Stats().Queues[eventbus.OrderQueue].Handled)
		})
	}
}

// Once the outer call is abandoned, the end of the inner one does not
// disturb the handler that runs by then.
func TestAsyncInnerTimeoutOfAnAbandonedCallHarmsNobody(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
		stuck := newGate()
		b.SubscribeFunc("stuck", stuck.handle)
		publish(t, b, eventbus.OrderQueue, "stuck", 1)
		receive(t, stuck.entered)
		publish(t, b, eventbus.OrderQueue, "stuck", 2)
		b.Subscribe("tick", eventbus.Async(async(func(context.Context, eventbus.Event) error {
			time.Sleep(time.Minute)
			return nil
		}, 2*time.Second), time.Second))
		var outcomes journal[error]
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			outcomes.add(b.Publish(ctx, eventbus.OrderQueue, event("stuck", 3)))
			return nil
		})
		publish(t, b, eventbus.DataQueue, "tick", 1)
		time.Sleep(5 * time.Second) // the inner call reached its timeout 2 s ago
		require.Empty(t, outcomes.all())
		stuck.open()
		bustest.Flush(t, b)
		require.Equal(t, []error{nil}, outcomes.all())
		require.Equal(t, 1, b.Stats().Abandoned)
	})
}

func TestAsyncAbandonsACallAfterTheBusHasEnded(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var reports journal[*eventbus.HandlerError]
		b := newBus(t, noPoll, reporting(&reports))
		require.NoError(t, b.Start(ctx))
		b.Subscribe("tick", async(func(context.Context, eventbus.Event) error { time.Sleep(time.Hour); return nil }, time.Minute))
		publish(t, b, eventbus.DataQueue, "tick", 1)
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Minute)
		require.Len(t, reports.all(), 1)
		require.ErrorIs(t, reports.all()[0], eventbus.ErrHandlerTimeout)
		require.Equal(t, 1, b.Stats().Abandoned)
	})
}

func TestAsyncInsideAsync(t *testing.T) {
	between := func(next eventbus.Handler) eventbus.Handler {
		return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error { return next.Handle(ctx, e) })
	}
	const long, short = time.Hour, time.Second
	for name, wrap := range map[string]func(h eventbus.HandlerFunc) eventbus.Handler{
		"short inside":  func(h eventbus.HandlerFunc) eventbus.Handler { return eventbus.Async(async(h, short), long) },
		"short outside": func(h eventbus.HandlerFunc) eventbus.Handler { return eventbus.Async(async(h, long), short) },
		"none outside":  func(h eventbus.HandlerFunc) eventbus.Handler { return eventbus.Async(async(h, short), 0) },
		"apart":         func(h eventbus.HandlerFunc) eventbus.Handler { return eventbus.Async(between(async(h, short)), long) },
		"apart, turned": func(h eventbus.HandlerFunc) eventbus.Handler { return eventbus.Async(between(async(h, long)), short) },
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				b.Subscribe("tick", wrap(func(ctx context.Context, _ eventbus.Event) error {
					time.Sleep(20 * time.Second)
					return nil
				}))
				began := time.Now()
				publish(t, b, eventbus.DataQueue, "tick", 1)
				bustest.Flush(t, b)
				require.Equal(t, short, time.Since(began))
				require.Len(t, reports.all(), 1)
				require.ErrorIs(t, reports.all()[0], eventbus.ErrHandlerTimeout)
				require.Equal(t, 1, b.Stats().Abandoned)
				shutdown(t, b)
				require.Equal(t, 20*time.Second, time.Since(began))
			})
		})
	}
}

func TestAsyncWorksOutsideABus(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		h := async(func(ctx context.Context, _ eventbus.Event) error {
			time.Sleep(time.Minute)
			runtime.Goexit()
			return nil
		}, time.Second)
		require.ErrorIs(t, h.Handle(t.Context(), event("tick", 1)), eventbus.ErrHandlerTimeout)
	})
}

func TestAsyncRefusesBadInput(t *testing.T) {
	ok := func(context.Context, eventbus.Event) error { return nil }
	require.Regexp(t, "^eventbus: Async: the handler is nil", panicOf(func() { eventbus.Async(nil, 0) }))
	require.Regexp(t, "^eventbus: Async: the handler is nil", panicOf(func() { async(nil, 0) }))
	require.Regexp(t, "^eventbus: Async: the timeout is -1s, want 0 or more", panicOf(func() { async(ok, -time.Second) }))
}
