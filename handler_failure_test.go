package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A handler's error, its panic, even of nil, and its runtime.Goexit are counted,
// logged and passed to the error handlers, and the other handlers still run. The
// publisher sees nothing of it.
func TestHandlerErrorHarmsNobodyElse(t *testing.T) {
	const events = 1000
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports []*eventbus.HandlerError
				b := startedBus(t, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
					reports = append(reports, err)
				}))
				var first, last journal[int]
				b.SubscribeFunc("order", first.handle)
				b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return fail() }, eventbus.WithName("middle"))
				b.SubscribeFunc("order", last.handle)
				for i := range events {
					publish(t, b, eventbus.OrderQueue, "order", i)
				}
				bustest.Flush(t, b)
				synctest.Wait() // the counts of handlers come later
				require.Equal(t, upTo(0, events), first.all())
				require.Equal(t, upTo(0, events), last.all())
				require.Len(t, reports, events)
				panicked := uint64(0)
				if strings.HasPrefix(name, "panic") {
					panicked = events
				}
				for i, r := range reports {
					require.Equal(t, i, r.Event.Data)
					require.Equal(t, panicked > 0, r.Panicked)
					require.Error(t, r.Err)
				}
				q := b.Stats().Queues[eventbus.OrderQueue]
				require.Equal(t, []uint64{events, events, panicked}, []uint64{q.Handled, q.Failed, q.Panicked})
				require.Equal(t, []eventbus.HandlerStats{
					{ID: 1, Name: b.Stats().Handlers[0].Name, Type: "order", Calls: events},
					{ID: 2, Name: "middle", Type: "order", Calls: events, Failed: events, Panicked: panicked},
					{ID: 3, Name: b.Stats().Handlers[2].Name, Type: "order", Calls: events},
				}, b.Stats().Handlers)
			})
		})
	}
}

// A panic is reported with a stack that reaches the line that panicked.
func TestHandlerErrorOfAPanicHasItsStack(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		reports := make(chan *eventbus.HandlerError, 1)
		b := startedBus(t, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { reports <- err }))
		e := eventbus.Event{Type: "signal", Data: 7, Source: "strategy"}
		for name, c := range map[string]struct {
			value any
			text  string
			is    error
		}{
			"an error": {fmt.Errorf("position: %w", bustest.ErrHandler), "position: the handler fails", bustest.ErrHandler},
			"a string": {"index out of luck", "index out of luck", nil},
		} {
			line := 0
			s := b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error {
				return detonate(func() error { _, _, line, _ = runtime.Caller(0); panic(c.value) })
			}, eventbus.WithName(name))
			require.NoError(t, b.Publish(t.Context(), eventbus.SignalQueue, e))
			r := <-reports
			require.Equal(t, eventbus.SignalQueue, r.Queue)
			require.Equal(t, e, r.Event)
			require.Equal(t, name, r.Handler)
			require.True(t, r.Panicked)
			require.Contains(t, string(r.Stack), "eventbus_test.detonate(")
			require.Contains(t, string(r.Stack), fmt.Sprintf("handler_failure_test.go:%d", line))
			for _, want := range []string{name, "signal", c.text} {
				require.ErrorContains(t, r, want)
			}
			if c.is != nil {
				require.ErrorIs(t, r, c.is)
			}
			s.Unsubscribe()
		}
		bustest.Flush(t, b)
		require.EqualValues(t, 2, b.Stats().Queues[eventbus.SignalQueue].Panicked)
	})
}

// A failure is counted once, for whoever failed. The error of an inner
// PublishWait is the inner handler's failure. The outer one that passes it on
// fails as well, but does not panic.
func TestHandlerErrorIsCountedForTheHandlerThatFailed(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				swallow := func(next eventbus.Handler) eventbus.Handler {
					return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error { return next.Handle(ctx, e) })
				}
				b.SubscribeFunc("outer", func(ctx context.Context, _ eventbus.Event) error {
					return b.PublishWait(ctx, eventbus.OrderQueue, event("inner", 0))
				}, eventbus.WithName("outer"), eventbus.Use(swallow))
				b.SubscribeFunc("inner", func(context.Context, eventbus.Event) error { return fail() }, eventbus.WithName("inner"), eventbus.Use(swallow))
				require.Error(t, b.PublishWait(t.Context(), eventbus.DataQueue, event("outer", 0)))
				synctest.Wait()
				panicked := uint64(0)
				if strings.HasPrefix(name, "panic") {
					panicked = 1
				}
				s := b.Stats()
				require.Equal(t, []eventbus.HandlerStats{
					{ID: 1, Name: "outer", Type: "outer", Calls: 1, Failed: 1},
					{ID: 2, Name: "inner", Type: "inner", Calls: 1, Failed: 1, Panicked: panicked},
				}, s.Handlers)
				data, order := s.Queues[eventbus.DataQueue], s.Queues[eventbus.OrderQueue]
				require.Equal(t, []uint64{1, 0, 1, panicked}, []uint64{data.Failed, data.Panicked, order.Failed, order.Panicked})
				require.Len(t, reports.all(), 2)
				require.Equal(t, []string{"inner", "outer"}, []string{reports.all()[0].Handler, reports.all()[1].Handler})
				require.Equal(t, []bool{panicked > 0, false}, []bool{reports.all()[0].Panicked, reports.all()[1].Panicked})
			})
		})
	}
}

// Loggers and error handlers that panic are contained, and may publish.
func TestWithErrorHandlerContainsFailures(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				var b *eventbus.Bus
				log := &logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
					if r.Message == "eventbus: slow handler has ended" {
						_ = b.Publish(context.Background(), eventbus.SignalQueue, event("alarm", 0))
					}
					_ = fail()
				}}
				var reports atomic.Int32
				b = startedBus(t, log.logger(), eventbus.WithErrorHandler(func(ctx context.Context, _ *eventbus.HandlerError) {
					reports.Add(1)
					_ = b.Publish(ctx, eventbus.OrderQueue, event("report", 0))
					_ = fail()
				}), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports.Add(1) }))
				var got, alarms, told journal[int]
				b.SubscribeFunc("alarm", alarms.handle)
				b.SubscribeFunc("report", told.handle)
				b.SubscribeFunc("order", got.handle)
				b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
					time.Sleep(time.Second)
					return fail()
				})
				b.SubscribeFunc("order", got.handle)
				for i := range 3 {
					publish(t, b, eventbus.OrderQueue, "nobody", i)
					publish(t, b, eventbus.OrderQueue, "order", i)
				}
				bustest.Flush(t, b)
				shutdown(t, b)
				require.Equal(t, []int{0, 0, 1, 1, 2, 2}, got.all())
				require.EqualValues(t, 6, reports.Load())
				require.Len(t, told.all(), 3)
				require.Len(t, alarms.all(), 3)
			})
		})
	}
}

// An Async call past its timeout has failed, and is counted until it returns.
func TestAsyncCallPastItsTimeoutHasFailed(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		release := make(chan struct{})
		var ends journal[error]
		b.Subscribe("tick", async(func(ctx context.Context, _ eventbus.Event) error {
			deadline, _ := ctx.Deadline()
			require.Equal(t, time.Now().Add(time.Second), deadline)
			<-ctx.Done()
			ends.add(ctx.Err())
			ends.add(context.Cause(ctx))
			<-release
			return nil
		}, time.Second), eventbus.WithName("stuck"))
		var others journal[int]
		b.SubscribeFunc("tick", others.handle)
		began := time.Now()
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		bustest.Flush(t, b)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, []int{1, 2}, others.all())
		require.Equal(t, 2, b.Stats().Abandoned)
		require.Contains(t, b.Stats().String(), "abandoned calls that still run: 2")
		require.Len(t, reports.all(), 2)
		require.ErrorIs(t, reports.all()[0], eventbus.ErrHandlerTimeout)
		require.ErrorContains(t, reports.all()[0], "stuck")
		require.ErrorContains(t, reports.all()[0], "after 1s")
		require.ErrorIs(t, ends.all()[0], context.DeadlineExceeded)
		require.ErrorIs(t, ends.all()[1], eventbus.ErrHandlerTimeout)
		release <- struct{}{}
		synctest.Wait()
		require.Equal(t, 1, b.Stats().Abandoned)
		close(release)
		synctest.Wait()
		require.Zero(t, b.Stats().Abandoned)
	})
}

// WithHandlerTimeout is Async for one subscription, a topic's too. It is innermost: time
// in middleware and filters is not the handler's.
func TestWithHandlerTimeoutIsAsyncForOneSubscription(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var reports journal[*eventbus.HandlerError]
		b := startedBus(t, reporting(&reports))
		slowly := func(next eventbus.Handler) eventbus.Handler {
			return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
				time.Sleep(time.Minute)
				return next.Handle(ctx, e)
			})
		}
		topic := eventbus.NewTopic[time.Duration]("work", eventbus.SignalQueue)
		work := func(ctx context.Context, d time.Duration) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		topic.Subscribe(b, work, eventbus.Use(slowly), eventbus.WithHandlerTimeout(time.Hour), eventbus.WithHandlerTimeout(time.Second))
		b.Subscribe("work", async(func(ctx context.Context, e eventbus.Event) error { return work(ctx, e.Data.(time.Duration)) }, 4*time.Second),
			eventbus.WithName("the shorter"), eventbus.WithHandlerTimeout(time.Hour))
		for _, c := range []struct{ work, took time.Duration }{
			{time.Second - 1, time.Minute + 2*time.Second - 2}, {3 * time.Second, time.Minute + 4*time.Second}, {time.Hour, time.Minute + 5*time.Second},
		} {
			began := time.Now()
			_ = topic.PublishWait(t.Context(), b, c.work)
			require.Equal(t, c.took, time.Since(began))
		}
		synctest.Wait()
		var failed []string
		for _, r := range reports.all() {
			require.ErrorIs(t, r, eventbus.ErrHandlerTimeout)
			failed = append(failed, fmt.Sprint(r.Event.Data, " ", r.Err))
		}
		require.Equal(t, []string{"3s eventbus: handler timed out after 1s", "1h0m0s eventbus: handler timed out after 1s", "1h0m0s eventbus: handler timed out after 4s"}, failed)
		require.Contains(t, reports.all()[0].Handler, "TestWithHandlerTimeoutIsAsync")
		require.Zero(t, b.Stats().Abandoned)
	})
}

// A handler that runs for longer than WithSlowHandler is named while it runs. It
// is named once then, and again when it has ended.
func TestWithSlowHandlerNamesAHandlerWhileItRuns(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		const limit = 40 * time.Millisecond
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger(), eventbus.WithSlowHandler(limit))
		quick := func(context.Context, eventbus.Event) error { return nil }
		b.SubscribeFunc("fill", quick)
		b.SubscribeFunc("fill", func(context.Context, eventbus.Event) error {
			time.Sleep(time.Minute)
			return nil
		}, eventbus.WithName("settlement"))
		b.SubscribeFunc("fill", quick)
		for i := range 4 {
			publish(t, b, eventbus.OrderQueue, "fill", i)
			synctest.Wait()
		}
		time.Sleep(limit - time.Millisecond)
		require.Empty(t, log.above(slog.LevelInfo))
		time.Sleep(25*time.Millisecond + time.Millisecond)
		records := log.above(slog.LevelInfo)
		require.Len(t, records, 1)
		require.Equal(t, "eventbus: slow handler is still running", records[0].message)
		attrs := records[0].attrs
		require.Equal(t, "settlement", attrs["handler"])
		require.Equal(t, "order", fmt.Sprint(attrs["queue"]))
		require.Equal(t, "fill", fmt.Sprint(attrs["type"]))
		require.EqualValues(t, 3, attrs["depth"])
		require.GreaterOrEqual(t, attrs["elapsed"], limit)
		require.LessOrEqual(t, attrs["elapsed"], limit+25*time.Millisecond)
		time.Sleep(50 * time.Second)
		require.Len(t, log.above(slog.LevelInfo), 1, "one report for the call")
		time.Sleep(11 * time.Second)
		require.Len(t, log.above(slog.LevelInfo), 3, "the end of the first call, and the second")
		ended := log.find("eventbus: slow handler has ended")
		require.Len(t, ended, 1)
		require.Equal(t, "settlement", ended[0].attrs["handler"])
		require.InDelta(t, time.Minute, ended[0].attrs["elapsed"], float64(25*time.Millisecond))
	})
}

// WithSlowAfter is that limit for one subscription. Whatever the limit of the bus, and
// whenever the call begins between two beats of the pulse, it is told in time.
func TestWithSlowAfterIsTheLimitOfOneSubscription(t *testing.T) {
	for _, c := range []struct{ bus, own time.Duration }{
		{0, time.Millisecond}, {0, 13 * time.Millisecond}, {0, time.Second}, {10 * time.Millisecond, time.Second},
		{10 * time.Millisecond, 30 * time.Millisecond}, {40 * time.Millisecond, 3 * time.Millisecond}, {time.Hour, 41 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.bus, " ", c.own), func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				log := &logbook{level: slog.LevelWarn}
				b := startedBus(t, log.logger(), eventbus.WithSlowHandler(c.bus))
				var began journal[time.Time]
				run := func(_ context.Context, e eventbus.Event) error {
					began.add(time.Now())
					time.Sleep(e.Data.(time.Duration))
					return nil
				}
				b.SubscribeFunc("long", func(context.Context, eventbus.Event) error { time.Sleep(2 * time.Second); return nil }, eventbus.WithSlowAfter(time.Hour))
				b.SubscribeFunc("unlimited", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
				b.SubscribeFunc("own", run, eventbus.WithName("own"), eventbus.WithSlowAfter(time.Hour), eventbus.WithSlowAfter(c.own))
				for offset := range time.Duration(30) {
					time.Sleep(offset * time.Millisecond)
					publish(t, b, eventbus.DataQueue, "long", 0)
					publish(t, b, eventbus.DataQueue, "unlimited", 0)
					publish(t, b, eventbus.DataQueue, "own", c.own-1, c.own+30*time.Millisecond)
					bustest.Flush(t, b)
				}
				synctest.Wait()
				var told []record
				for _, r := range log.find("eventbus: slow handler is still running") {
					if r.attrs["handler"] == "own" {
						told = append(told, r)
					}
				}
				require.Len(t, told, 30)
				for i, r := range told {
					late := r.at.Sub(began.all()[2*i+1]) - c.own
					require.True(t, late >= 0 && late <= 25*time.Millisecond, "%v late", late)
				}
				others := 30
				if c.bus == 0 || c.bus == time.Hour {
					others = 0
				}
				require.Len(t, log.find("eventbus: slow handler has ended"), 30+others, "none of the long ones, which have an hour")
			})
		})
	}
}

// The error handler is told of a failure, and is not the handler that failed.
func TestWithSlowAfterIsNotTheErrorHandlers(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { time.Sleep(time.Second) }))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return bustest.ErrHandler }, eventbus.WithSlowAfter(time.Minute))
		publish(t, b, eventbus.DataQueue, "tick", 0)
		bustest.Flush(t, b)
		require.Contains(t, log.find("eventbus: slow handler is still running")[0].attrs["handler"], "error handler")
	})
}

// A publish that waits for longer than WithSlowPublish is logged.
func TestWithSlowPublishLogsWhatAPublishWaitsFor(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger(), capacity(eventbus.OrderQueue, 1, eventbus.Block, 0), eventbus.WithSlowHandler(0), eventbus.WithSlowPublish(time.Minute))
		g := newGate()
		b.SubscribeFunc("order", g.handle, eventbus.WithName("exchange"))
		publish(t, b, eventbus.OrderQueue, "order", 0)
		synctest.Wait()
		publish(t, b, eventbus.OrderQueue, "order", 1)
		outcome := publishLater(t, b, 2)
		time.Sleep(time.Minute - time.Millisecond)
		require.Empty(t, log.above(slog.LevelInfo))
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		records := log.find("eventbus: publish still waits for room")
		require.Len(t, records, 1)
		require.Equal(t, slog.LevelWarn, records[0].level)
		said := fmt.Sprint(records[0].attrs)
		for _, want := range []string{"queue:order", "type:order", "exchange"} {
			require.Contains(t, said, want)
		}
		time.Sleep(time.Hour)
		require.Len(t, log.above(slog.LevelInfo), 1, "one report for the wait")
		g.open()
		require.NoError(t, receive(t, outcome))
	})
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b, _, g := full(t, eventbus.QueueConfig{Capacity: 1}, log.logger(), eventbus.WithSlowHandler(0), eventbus.WithSlowPublish(0))
		publishLater(t, b, 1)
		time.Sleep(time.Hour)
		require.Empty(t, log.above(slog.LevelInfo))
		g.open()
	})
}

// However much is lost or fails, the log stays short, and every count is told.
func TestWithLoggerTellsEveryCountInAFewRecords(t *testing.T) {
	for rule, drops := range map[eventbus.Overflow]int{
		eventbus.DropNewest: many(1_000_000),
		eventbus.DropOldest: many(100_000),
	} {
		bustest.Bubble(t, func(t *testing.T) {
			log := &logbook{level: slog.LevelWarn}
			b := newBus(t, noPoll, log.logger(),
				eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: rule}))
			lost := 0
			for i := range drops + 1 {
				if err := b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "tick"}); errors.Is(err, eventbus.ErrDropped) {
					lost++
				}
				if i == drops/2 {
					time.Sleep(time.Second)
				}
			}
			q := b.Stats().Queues[eventbus.DataQueue]
			if rule == eventbus.DropNewest {
				require.EqualValues(t, []int{drops, drops, 0}, []int{lost, int(q.Dropped), int(q.Evicted)})
			} else {
				require.EqualValues(t, []int{0, 0, drops}, []int{lost, int(q.Dropped), int(q.Evicted)})
			}
			start(t, b)
			require.NoError(t, b.Shutdown(t.Context()))
			lines := log.above(slog.LevelInfo)
			require.LessOrEqual(t, len(lines), 4)
			told := 0
			for _, l := range lines {
				for _, key := range []string{"events", "not_logged_before"} {
					if v, ok := l.attrs[key]; ok {
						told += int(v.(uint64))
					}
				}
			}
			require.Equal(t, drops, told)
		})
	}
}
