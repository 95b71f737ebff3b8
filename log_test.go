package eventbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

func TestWithLoggerTellsTenFailuresASecondOfEachHandler(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelError}
		reports := 0
		b := newBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports++ }))
		for _, name := range []string{"one", "two"} {
			b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return bustest.ErrHandler }, eventbus.WithName(name))
		}
		start(t, b)
		for range 3 {
			publish(t, b, eventbus.DataQueue, "tick", numbers(100)...)
			bustest.Flush(t, b)
			time.Sleep(2500 * time.Millisecond) // the count is logged after one second, and is a record itself
		}
		require.Equal(t, 2*300, reports)
		logged, counted := make(map[any]int), make(map[any]uint64)
		for _, r := range log.find("eventbus: handler failed") {
			logged[r.attrs["handler"]]++
		}
		for _, r := range log.find("eventbus: handler failed more often") {
			counted[r.attrs["handler"]] += r.attrs["failures"].(uint64)
		}
		require.Equal(t, map[any]int{"one": 30, "two": 30}, logged)
		require.Equal(t, map[any]uint64{"one": 270, "two": 270}, counted)
		require.Len(t, log.find("eventbus: handler failed more often"), 2*3)
	})
}

func TestWithLoggerRecordsHaveALevelAndSayWhatTheyAreAbout(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := logbook{level: slog.LevelDebug}
		b := newBus(t, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return bustest.ErrHandler }, eventbus.WithName("returns"))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return detonate(failureKinds["panic"]) }, eventbus.WithName("panics"))
		b.SubscribeFunc("slow", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil }, eventbus.WithName("sleeps"))
		publish(t, b, eventbus.DataQueue, "nobody's", 0)
		require.Error(t, b.TryPublish(t.Context(), eventbus.DataQueue, event("nobody's", 1)))
		require.Error(t, b.Publish(t.Context(), eventbus.DataQueue, event("nobody's", 1)))
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 0)
		publish(t, b, eventbus.SignalQueue, "slow", 0)
		shutdown(t, b)

		find := func(message string, level slog.Level, n int) []record {
			t.Helper()
			found := log.find(message)
			require.Len(t, found, n, message)
			for _, r := range found {
				require.Equal(t, level, r.level, message)
			}
			return found
		}
		about := func(r record, keys ...string) []string {
			var values []string
			for _, k := range keys {
				values = append(values, fmt.Sprint(r.attrs[k]))
			}
			return values
		}
		find("eventbus: processor started", slog.LevelInfo, 3)
		find("eventbus: processor stopped", slog.LevelInfo, 3)
		called := find("eventbus: calling handler", slog.LevelDebug, 3)
		for _, r := range called {
			require.Contains(t, []string{"[returns order order]", "[panics order order]", "[sleeps signal slow]"}, fmt.Sprint(about(r, "handler", "queue", "type")))
		}
		nobody := find("eventbus: event has no handler", slog.LevelDebug, 1)
		require.Equal(t, []string{"data", "nobody's"}, about(nobody[0], "queue", "type"))
		dropped := find("eventbus: queue is full, dropped an event", slog.LevelWarn, 1)
		require.Equal(t, []string{"data", "1", "1"}, about(dropped[0], "queue", "capacity", "events"))
		slow := find("eventbus: slow handler is still running", slog.LevelWarn, 1)
		require.Equal(t, []string{"sleeps", "signal", "slow"}, about(slow[0], "handler", "queue", "type"))
		find("eventbus: slow handler has ended", slog.LevelWarn, 1)
		failed := find("eventbus: handler failed", slog.LevelError, 2)
		require.Equal(t, []string{"returns", "order", "order", "the handler fails"}, about(failed[0], "handler", "queue", "type", "error"))
		require.NotContains(t, failed[0].attrs, "stack")
		require.Equal(t, []string{"panics", "order", "order", "panic: the handler fails"}, about(failed[1], "handler", "queue", "type", "error"))
		require.Contains(t, failed[1].attrs["stack"], "detonate")
		require.Len(t, log.records, 3+3+3+1+1+1+1+2)
	})
}

// A logger that is not interested in DEBUG is asked once a run, not once a call.
func TestWithLoggerIsNotAskedForEachCall(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		b := newBus(t, noPoll, eventbus.WithLogger(slog.New(wakeCounter{slog.DiscardHandler, &asked})))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil })
		publish(t, b, eventbus.DataQueue, "tick", numbers(1000)...)
		start(t, b)
		shutdown(t, b)
		require.Less(t, asked.Load(), int64(50))
	})
}

func TestWithLoggerThatFailsCostsNoHandlerItsEvent(t *testing.T) {
	for _, message := range []string{
		"eventbus: processor started", "eventbus: calling handler", "eventbus: event has no handler",
		"eventbus: handler failed", "eventbus: processor failure", "eventbus: processor stopped", "",
	} {
		for name, fail := range map[string]func(){"panics": func() { panic("logger") }, "exits": runtime.Goexit} {
			t.Run(message+" "+name, func(t *testing.T) {
				log := logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
					if message == "" || r.Message == message {
						fail()
					}
				}}
				var reports atomic.Int32
				b := newBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { reports.Add(1) }))
				var first, last journal[int]
				b.SubscribeFunc("tick", first.handle)
				b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return bustest.ErrHandler })
				b.SubscribeFunc("tick", last.handle)
				start(t, b)
				publish(t, b, eventbus.DataQueue, "nobody's", 0)
				publish(t, b, eventbus.DataQueue, "tick", 1, 2)
				publish(t, b, eventbus.DataQueue, "nobody's", 3)
				bustest.Flush(t, b)
				require.Equal(t, []int{1, 2}, first.all())
				require.Equal(t, []int{1, 2}, last.all())
				require.EqualValues(t, 2, reports.Load())
				shutdown(t, b)
			})
		}
	}
}

// The drop is logged on the publisher's goroutine.
func TestWithLoggerThatPanicsOnADropHarmsNoPublisher(t *testing.T) {
	told := 0
	log := &logbook{onRecord: func(slog.Record) { told++; panic("full disk") }}
	b := newBus(t, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0))
	publish(t, b, eventbus.DataQueue, "tick", 0)
	require.ErrorIs(t, b.Publish(context.Background(), eventbus.DataQueue, event("tick", 1)), eventbus.ErrDropped)
	require.Equal(t, 1, told)
}

// The handler loses neither its call nor gets a second one.
func TestWithLoggerThatFailsCostsOnceNothing(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelDebug, onRecord: func(slog.Record) { panic("disk full") }}
		b := startedBus(t, log.logger())
		var got journal[int]
		b.SubscribeFunc("tick", got.handle, eventbus.Once())
		publish(t, b, eventbus.DataQueue, "tick", 1, 2)
		synctest.Wait()
		require.Equal(t, []int{1}, got.all())
	})
}

func TestWithSlowHandlerIsTenMillisecondsUnlessSet(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger())
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error { time.Sleep(e.Data.(time.Duration)); return nil })
		publish(t, b, eventbus.OrderQueue, "order", 9*time.Millisecond)
		bustest.Flush(t, b)
		require.Empty(t, log.above(slog.LevelInfo))
		publish(t, b, eventbus.OrderQueue, "order", 36*time.Millisecond) // seen within 25 ms of the limit
		bustest.Flush(t, b)
		require.Len(t, log.find("eventbus: slow handler is still running"), 1)
	})
}

func TestWithSlowHandlerCanBeTurnedOff(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := newBus(t, log.logger(), eventbus.WithSlowHandler(0))
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", 0)
		shutdown(t, b)
		require.Empty(t, log.above(slog.LevelDebug))
	})
}

// Even a logger that never returns holds up nobody, and a slow handler is not
// taken out.
func TestWithSlowHandlerHoldsUpNobody(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Flush(t, b)
		require.LessOrEqual(t, time.Since(began), events*time.Second)
		synctest.Wait() // the counts of handlers come later
		require.Equal(t, upTo(0, events), slow.all())
		require.EqualValues(t, events, b.Stats().Handlers[0].Calls)
		b.Stop()
		synctest.Wait()
		instantly(t, "Flush", func() { _ = b.Flush(t.Context()) })
		instantly(t, "Shutdown", func() { _ = b.Shutdown(bustest.Ended()) })
	})
}

type strategy struct{}

func (strategy) Handle(context.Context, eventbus.Event) error { return nil }

func (*strategy) onCandle(context.Context, eventbus.Event) error { return nil }

func onCandle(context.Context, eventbus.Event) error { return nil }

func TestWithNameElseTheFunctionOrTypeNamesAHandler(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc("tick", onCandle, eventbus.WithName("mine"))
	b.Subscribe("tick", strategy{}, eventbus.WithName("my own"))
	b.SubscribeFunc("tick", onCandle)
	b.SubscribeFunc("tick", new(strategy).onCandle)
	b.Subscribe("tick", eventbus.HandlerFunc(onCandle))
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil })
	b.Subscribe("tick", strategy{})
	b.Subscribe("tick", new(strategy))
	var names []string
	for _, h := range b.Stats().Handlers {
		names = append(names, h.Name)
	}
	require.Equal(t, []string{
		"mine",
		"my own",
		"eventbus_test.onCandle",
		"eventbus_test.(*strategy).onCandle",
		"eventbus_test.onCandle",
		"eventbus_test.TestWithNameElseTheFunctionOrTypeNamesAHandler.func1",
		"eventbus_test.strategy",
		"*eventbus_test.strategy",
	}, names)
}

// A logbook is a slog.Handler that keeps the records from level up.
type logbook struct {
	level    slog.Level
	onRecord func(slog.Record) // called first, unless nil

	mu      sync.Mutex
	records []record
}

type record struct {
	level   slog.Level
	message string
	attrs   map[string]any
	at      time.Time
}

func (l *logbook) logger() eventbus.Option { return eventbus.WithLogger(slog.New(l)) }

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logbook) WithGroup(string) slog.Handler { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	if l.onRecord != nil {
		l.onRecord(r)
	}
	attrs := make(map[string]any)
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, record{r.Level, r.Message, attrs, r.Time})
	return nil
}

// find returns the records with that message.
func (l *logbook) find(message string) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []record
	for _, r := range l.records {
		if r.message == message {
			found = append(found, r)
		}
	}
	return found
}

// above returns the records above level.
func (l *logbook) above(level slog.Level) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.records), func(r record) bool { return r.level <= level })
}

// A wakeCounter counts how often it is asked for its level, which a processor
// does whenever it has woken.
type wakeCounter struct {
	slog.Handler
	wakes *atomic.Int64
}

func (c wakeCounter) Enabled(context.Context, slog.Level) bool {
	c.wakes.Add(1)
	return false
}
