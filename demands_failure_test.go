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
)

var errHandler = errors.New("no margin")

// failureKinds is every way in which a handler can fail.
var failureKinds = map[string]func() error{
	"error":      func() error { return errHandler },
	"panic":      func() error { panic(errHandler) },
	"panic(nil)": func() error { panic(nil) },
	"Goexit":     func() error { runtime.Goexit(); return nil },
}

// D4, D29: when the middle handler fails on each event, in whatever way, the
// others get each event, each failure is reported and counted, and the publisher
// sees nothing of it.
func TestAFailingHandlerHarmsNobodyElse(t *testing.T) {
	const events = 1000
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
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
				flush(t, b)
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
					{Name: b.Stats().Handlers[0].Name, Type: "order", Calls: events},
					{Name: "middle", Type: "order", Calls: events, Failed: events, Panicked: panicked},
					{Name: b.Stats().Handlers[2].Name, Type: "order", Calls: events},
				}, b.Stats().Handlers)
			})
		})
	}
}

// D10: a slow handler is named while it still runs, once, and again when it has
// ended.
func TestASlowHandlerIsNamedWhileItStillRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
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

// D21: a panic is reported with all that is needed to find it.
func TestAPanicIsReportedWithEverythingAboutIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reports := make(chan *eventbus.HandlerError, 1)
		b := startedBus(t, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { reports <- err }))
		e := eventbus.Event{Type: "signal", Data: 7, Source: "strategy"}
		for name, c := range map[string]struct {
			value any
			text  string
			is    error
		}{
			"an error": {fmt.Errorf("position: %w", errHandler), "position: no margin", errHandler},
			"a string": {"index out of luck", "index out of luck", nil},
		} {
			s := b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error { return explode(c.value) }, eventbus.WithName(name))
			require.NoError(t, b.Publish(t.Context(), eventbus.SignalQueue, e))
			r := <-reports
			require.Equal(t, eventbus.SignalQueue, r.Queue)
			require.Equal(t, e, r.Event)
			require.Equal(t, name, r.Handler)
			require.True(t, r.Panicked)
			require.Contains(t, string(r.Stack), "eventbus_test.explode(")
			require.Contains(t, string(r.Stack), "demands_failure_test.go")
			for _, want := range []string{name, "signal", c.text} {
				require.ErrorContains(t, r, want)
			}
			if c.is != nil {
				require.ErrorIs(t, r, c.is)
			}
			s.Unsubscribe()
		}
		flush(t, b)
		require.EqualValues(t, 2, b.Stats().Queues[eventbus.SignalQueue].Panicked)
	})
}

//go:noinline
func explode(value any) error { panic(value) }

// D25: the watch for slow handlers holds up nobody, even if the logger it tells
// never returns, and does not take a slow handler out.
func TestTheWatchForSlowHandlersHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		told := make(chan struct{}, 100)
		log := &logbook{level: slog.LevelWarn, onRecord: func(slog.Record) {
			told <- struct{}{}
			<-stuck
		}}
		b := startedBus(t, log.logger())
		defer close(stuck)
		var slow, other journal[int]
		b.SubscribeFunc("slow", func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Second)
			return slow.handle(ctx, e)
		})
		b.SubscribeFunc("other", other.handle)
		const events = 10
		for i := range events {
			publish(t, b, eventbus.DataQueue, "slow", i)
		}
		<-told
		for i := range events {
			time.Sleep(time.Millisecond)
			instantly(t, "Publish", func() { publish(t, b, eventbus.OrderQueue, "other", i) })
			synctest.Wait()
			require.Equal(t, upTo(0, i+1), other.all())
		}
		began := time.Now()
		askEverything(t, b)
		flush(t, b)
		require.LessOrEqual(t, time.Since(began), events*time.Second)
		synctest.Wait() // the counts of handlers come later
		require.Equal(t, upTo(0, events), slow.all())
		require.EqualValues(t, events, b.Stats().Handlers[0].Calls)
		b.Stop()
		synctest.Wait()
		instantly(t, "Flush", func() { _ = b.Flush(t.Context()) })
		instantly(t, "Shutdown", func() { _ = b.Shutdown(ended()) })
	})
}

// A logger that fails at everything costs no handler its call, and no bus its end.
func TestALoggerThatAlwaysFailsIsContained(t *testing.T) {
	for name, fail := range failureKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := &logbook{level: slog.LevelDebug, onRecord: func(slog.Record) { _ = fail() }}
				var reports atomic.Int32
				b := startedBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) {
					reports.Add(1)
					_ = fail()
				}))
				var got journal[int]
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
				shutdown(t, b)
				require.Equal(t, []int{0, 0, 1, 1, 2, 2}, got.all())
				require.EqualValues(t, 3, reports.Load())
			})
		})
	}
}

// The drop is logged on the publisher's goroutine.
func TestALoggerThatPanicsOnADropHarmsNoPublisher(t *testing.T) {
	told := 0
	log := &logbook{onRecord: func(slog.Record) { told++; panic("full disk") }}
	b := newBus(t, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0))
	publish(t, b, eventbus.DataQueue, "tick", 0)
	require.ErrorIs(t, b.Publish(context.Background(), eventbus.DataQueue, event("tick", 1)), eventbus.ErrDropped)
	require.Equal(t, 1, told)
}
