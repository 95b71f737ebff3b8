package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/stretchr/testify/require"
)

// These tests hold what a reading of the source has called in question.

// A curious context calls a function when it is asked for its error.
type curious struct {
	context.Context
	err func() error
}

func (c curious) Err() error { return c.err() }

// A picky logger calls a function when it is asked for its level.
type picky struct {
	slog.Handler
	enabled func() bool
}

func (l picky) Enabled(context.Context, slog.Level) bool { return l.enabled() }

// An armedLogger panics when it is asked for its level, once armed is set.
func armedLogger(armed *atomic.Bool) eventbus.Option {
	return eventbus.WithLogger(slog.New(picky{slog.DiscardHandler, func() bool {
		if armed.Load() {
			panic("level")
		}
		return false
	}}))
}

// An event that was withdrawn waits no more with its key: a later one with that key
// takes a place of its own, and the accounts balance.
func TestPublishWaitThatIsWithdrawnGivesBackItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2
		b := newBus(t, eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{
			Capacity: n, ConflateBy: func(e eventbus.Event) string { s, _ := e.Data.(string); return s },
		}))
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		errs := make(chan error, 1)
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			errs <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", "key"))
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 1)
		time.Sleep(time.Millisecond)
		publish(t, b, eventbus.DataQueue, tick, nil)
		time.Sleep(time.Millisecond)
		require.NoError(t, b.Pause(eventbus.OrderQueue))
		require.ErrorIs(t, receive(t, errs), eventbus.ErrPaused)
		publish(t, b, eventbus.OrderQueue, "order", "key") // a new one
		time.Sleep(time.Minute)
		s := b.Stats().Queues[eventbus.OrderQueue]
		require.Equal(t, 1, s.Depth, "the new one")
		require.Zero(t, s.Conflated)
		require.NoError(t, b.Resume(eventbus.OrderQueue))
		bustest.Flush(t, b)
		requireBalance(t, b, eventbus.OrderQueue)
		require.NoError(t, b.Pause(eventbus.OrderQueue))
		publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
		require.ErrorIs(t, b.TryPublish(context.Background(), eventbus.OrderQueue, event("order", nil)), eventbus.ErrQueueFull)
	})
}

// A withdrawn event whose turn comes leaves the key alone: the event that waits with it by
// then is replaced by the next one.
func TestPublishWaitThatIsWithdrawnLeavesTheKeyOfALaterEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 10,
			ConflateBy: func(e eventbus.Event) string { return e.Source }}))
		g := newGate()
		var seen journal[any]
		b.SubscribeFunc("block", g.handle)
		b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error { seen.add(e.Data); return nil })
		b.SubscribeFunc("ask", func(ctx context.Context, _ eventbus.Event) error {
			return b.PublishWait(ctx, eventbus.DataQueue, eventbus.Event{Type: tick, Source: "k", Data: "withdrawn"})
		})
		start(t, b)
		put := func(typ eventbus.EventType, key string, data any) {
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: typ, Source: key, Data: data}))
		}
		put("block", "", 0)
		<-g.entered
		publish(t, b, eventbus.SignalQueue, "ask", 0)
		synctest.Wait()
		require.NoError(t, b.Pause(eventbus.DataQueue)) // withdraws
		put("block", "", 1)
		put(tick, "k", "old")
		require.NoError(t, b.Resume(eventbus.DataQueue))
		g.release <- struct{}{}
		<-g.entered // the withdrawn one was buried
		synctest.Wait()
		put(tick, "k", "new")
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []any{"new"}, seen.all())
	})
}

// The numbers of deliveries have no gap where a late joiner finds nothing retained.
func TestDeliveryFromNumbersEventsWithoutGaps(t *testing.T) {
	b := newBus(t)
	topic := eventbus.NewTopic[int]("fill", eventbus.OrderQueue, eventbus.Retain())
	var seqs journal[uint64]
	b.SubscribeAll(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		seqs.add(d.Seq)
		return nil
	}))
	publish(t, b, eventbus.OrderQueue, "x", 1)
	topic.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast())
	publish(t, b, eventbus.OrderQueue, "x", 2)
	runUntilIdle(t, b)
	require.Equal(t, []uint64{1, 2}, seqs.all())
}

// A deadline that a handler derives ends its wait, for room or for its event's handlers,
// though its bus was stopped meanwhile.
func TestPublishInAHandlerHeedsItsDeadlineThoughItsBusIsStopped(t *testing.T) {
	for name, c := range map[string]struct {
		capacity int
		publish  func(*eventbus.Bus, context.Context, eventbus.Queue, eventbus.Event) error
	}{
		"Publish":     {1, (*eventbus.Bus).Publish},
		"PublishWait": {9, (*eventbus.Bus).PublishWait},
	} {
		t.Run(name, func(t *testing.T) { testDeadlineInAStoppedBus(t, c.capacity, c.publish) })
	}
}

// stopped returns a bus whose Start's context has ended a minute ago while a handler of it was
// at publishes, whose result errs gets, and the other bus, whose order queue has room for
// capacity events while its handler is at g.
func stopped(t *testing.T, capacity int, publishes func(context.Context, *eventbus.Bus) error) (outer, other *eventbus.Bus, g *gate, errs chan error) {
	outer, other = newBus(t), newBus(t, holding(eventbus.OrderQueue, capacity))
	g, errs = newGate(), make(chan error, 1)
	other.SubscribeFunc("order", g.handle)
	outer.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		errs <- publishes(ctx, other)
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(t, outer.Start(ctx))
	start(t, other)
	publish(t, other, eventbus.OrderQueue, "order", 1, 2)
	publish(t, outer, eventbus.DataQueue, tick, nil)
	synctest.Wait()
	cancel()
	time.Sleep(time.Minute)
	return outer, other, g, errs
}

func testDeadlineInAStoppedBus(t *testing.T, capacity int, publishes func(*eventbus.Bus, context.Context, eventbus.Queue, eventbus.Event) error) {
	synctest.Test(t, func(t *testing.T) {
		_, _, g, errs := stopped(t, capacity, func(ctx context.Context, other *eventbus.Bus) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return publishes(other, ctx, eventbus.OrderQueue, event("order", 3))
		})
		g.open()
		require.ErrorIs(t, receive(t, errs), context.DeadlineExceeded)
	})
}

// A publish that begins after Async has reported its call as failed is refused, also
// by the handlers of a bus that is stepped inside the call.
func TestAsyncRefusesPublishesOfABusThatAnAbandonedCallSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := newBus(t), newBus(t)
		errs := make(chan error, 1)
		inner.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Second)
			errs <- outer.Publish(ctx, eventbus.OrderQueue, event("order", nil))
			return nil
		})
		outer.Subscribe("session", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			_, err := inner.RunUntilIdle(ctx)
			return err
		}), 10*time.Millisecond))
		start(t, outer)
		publish(t, inner, eventbus.DataQueue, tick, 1)
		publish(t, outer, eventbus.DataQueue, "session", 1)
		require.ErrorIs(t, receive(t, errs), eventbus.ErrHandlerTimeout)
	})
}

// What Shutdown has handed back is not handled too, though the logger panics when a
// processor asks for its level.
func TestRunUntilIdleEndsWithShutdownThoughTheLoggerPanics(t *testing.T) {
	var armed atomic.Bool
	b := newBus(t, armedLogger(&armed))
	var seen journal[string]
	b.SubscribeAll(eventbus.HandlerFunc(func(_ context.Context, e eventbus.Event) error {
		seen.add(fmt.Sprint(e.Type, e.Data))
		return nil
	}))
	var left *eventbus.ShutdownError
	b.SubscribeFunc("kill", func(context.Context, eventbus.Event) error {
		armed.Store(true)
		errors.As(b.Shutdown(bustest.Ended()), &left)
		return nil
	})
	publish(t, b, eventbus.OrderQueue, "kill", 0)
	publish(t, b, eventbus.OrderQueue, "order", 1, 2, 3)
	publish(t, b, eventbus.DataQueue, tick, 1, 2, 3)
	_, err := b.RunUntilIdle(context.Background())
	require.ErrorIs(t, err, eventbus.ErrClosed)
	require.Len(t, left.Remaining[eventbus.OrderQueue], 3)
	require.Equal(t, []string{"kill0"}, seen.all())
}

// The same holds for what a paused queue holds.
func TestRunUntilIdleLeavesAPausedQueueAloneThoughTheLoggerPanics(t *testing.T) {
	var armed atomic.Bool
	b := newBus(t, armedLogger(&armed))
	var seen journal[any]
	b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error { seen.add(e.Data); return nil })
	b.SubscribeFunc("pause", func(context.Context, eventbus.Event) error {
		armed.Store(true)
		return b.Pause(eventbus.DataQueue)
	})
	publish(t, b, eventbus.DataQueue, "pause", 0)
	publish(t, b, eventbus.DataQueue, tick, 1, 2, 3)
	runUntilIdle(t, b)
	require.Empty(t, seen.all())
	require.Equal(t, 3, b.Stats().Queues[eventbus.DataQueue].Depth)
}

// A context that is done without an error makes RunUntilIdle drive no processor that
// another goroutine runs, and leaves the bus as it was.
func TestRunUntilIdleWithAContextThatIsDoneWithoutAnErrorDrivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		g := newGate()
		b.SubscribeFunc("order", g.handle)
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 0)
		<-g.entered
		b.Stop() // the handler still runs
		receive(t, bustest.InBackground(func() (refused any) {
			defer func() { refused = recover() }() // nothing can be derived from such a context
			_, err := b.RunUntilIdle(mute{context.Background()})
			return err
		}))
		synctest.Wait()
		require.Empty(t, g.entered, "the handler is called a second time, beside the first")
		g.open()
		synctest.Wait()
		start(t, b)
		shutdown(t, b)
		require.Empty(t, g.entered)
	})
}

// Flush says in words that its context is done without an error.
func TestFlushWithAContextThatIsDoneWithoutAnErrorSaysSo(t *testing.T) {
	b := newBus(t)
	publish(t, b, eventbus.OrderQueue, "order", 1)
	g := newGate()
	b.SubscribeFunc("order", g.handle)
	start(t, b)
	<-g.entered
	err := b.Flush(mute{context.Background()})
	g.open()
	require.NotContains(t, err.Error(), "%!w")
}

// No lock is held while user code runs: a context may publish when it is asked for its
// error.
func TestPublishAsksItsContextUnderNoLock(t *testing.T) {
	b := newBus(t, holding(eventbus.OrderQueue, 1))
	publish(t, b, eventbus.OrderQueue, "order", 1) // full
	ctx := curious{context.Background(), func() error {
		_ = b.TryPublish(context.Background(), eventbus.OrderQueue, event("note", 1))
		return context.Canceled
	}}
	err := receive(t, bustest.InBackground(func() error { return b.Publish(ctx, eventbus.OrderQueue, event("order", 2)) }))
	require.ErrorIs(t, err, context.Canceled)
}

// A context that panics leaves no lock behind.
func TestPublishLeavesNoLockBehindThoughItsContextPanics(t *testing.T) {
	for last := range 5 { // the call that panics
		b := newBus(t, holding(eventbus.OrderQueue, 1))
		n := 0
		ctx := curious{context.Background(), func() error {
			if n++; n > last {
				panic("asked too often")
			}
			return context.Canceled
		}}
		func() {
			defer func() { _ = recover() }()
			_ = b.Publish(ctx, eventbus.OrderQueue, event("order", 2))
		}()
		require.NoError(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	}
}

// Start asks its context under no lock: it may call Stop.
func TestStartAsksItsContextUnderNoLock(t *testing.T) {
	b := newBus(t)
	ctx := curious{context.Background(), func() error { b.Stop(); return nil }}
	require.NoError(t, receive(t, bustest.InBackground(func() error { return b.Start(ctx) })))
}

// A bus that is stepped inside a handler is a part of that handler, and so is its logger.
func TestPublishOfALoggerInsideAHandlerThatStepsNeverWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newBus(t, holding(eventbus.OrderQueue, 1))
		told := 0
		var onRecord func(context.Context)
		l := listener(func(ctx context.Context, r slog.Record) {
			if onRecord != nil && r.Level >= slog.LevelWarn {
				told++
				onRecord(ctx)
			}
		})
		inner := newBus(t, l.logger(),
			eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest}))
		for range 3 { // what is lost is told when the inner bus is stepped
			_ = inner.Publish(t.Context(), eventbus.DataQueue, event(tick, 1))
		}
		time.Sleep(2 * time.Second)
		in, errs := make(chan struct{}), make(chan error, 1)
		a.SubscribeFunc("step", func(ctx context.Context, _ eventbus.Event) error {
			in <- struct{}{}
			in <- struct{}{}
			onRecord = func(ctx context.Context) { errs <- a.Publish(ctx, eventbus.OrderQueue, event("log", 1)) }
			_, err := inner.RunUntilIdle(ctx)
			onRecord = nil
			return err
		})
		start(t, a)
		publish(t, a, eventbus.OrderQueue, "step", 0)
		<-in
		publish(t, a, eventbus.OrderQueue, "fill", 0) // full
		<-in
		require.NoError(t, receive(t, errs), "it is deferred")
		bustest.Flush(t, a)
		require.Equal(t, 1, told)
	})
}

// A publish whose logger ends its goroutine leaves the line: its event is not accepted, and
// the events of others are.
func TestPublishWhoseLoggerEndsItsGoroutineLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := listener(func(_ context.Context, r slog.Record) {
			if r.Message == "eventbus: publish still waits for room" {
				if n++; n == 1 {
					runtime.Goexit()
				}
			}
		})
		b := newBus(t, l.logger(), holding(eventbus.OrderQueue, 1))
		g := newGate()
		var orders, accepted journal[any]
		b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
			orders.add(e.Data)
			return g.handle(ctx, e)
		})
		b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			err := b.Publish(ctx, eventbus.OrderQueue, event("order", e.Data))
			if err == nil {
				accepted.add(e.Data)
			}
			return err
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", "at hand")
		<-g.entered
		publish(t, b, eventbus.OrderQueue, "order", "fills it")
		publish(t, b, eventbus.DataQueue, tick, "ended", "waits")
		time.Sleep(5 * time.Second)
		g.open()
		publish(t, b, eventbus.OrderQueue, "order", "last")
		shutdown(t, b)
		require.Equal(t, []any{"waits"}, accepted.all())
		require.Equal(t, []any{"at hand", "fills it", "waits", "last"}, orders.all())
	})
}

// RunUntilIdle leaves no deferred event behind, though its queue is drained while the event
// is deferred.
func TestRunUntilIdleLeavesNoDeferredEventBehind(t *testing.T) {
	a, b := newBus(t), newBus(t, holding(eventbus.OrderQueue, 1))
	runUntilIdle(t, b)
	n := 3000
	if testing.Short() {
		n = 200
	}
	var stop atomic.Bool
	a.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		defer stop.Store(true)
		for i := 0; i < n && !stop.Load(); i++ {
			if err := b.Publish(ctx, eventbus.OrderQueue, event("order", i)); err != nil {
				return err
			}
			for b.Stats().Queues[eventbus.OrderQueue].Deferred > 1 && !stop.Load() {
				runtime.Gosched()
			}
		}
		return nil
	})
	start(t, a)
	publish(t, a, eventbus.DataQueue, tick, 0)
	isBehind := func() bool {
		s := b.Stats().Queues[eventbus.OrderQueue]
		return s.Deferred > 0 && s.Depth == 0
	}
	for began := time.Now(); !stop.Load(); {
		runUntilIdle(t, b)
		if isBehind() { // the publish may be on its way: then the next call handles it
			handled, err := b.RunUntilIdle(context.Background())
			require.NoError(t, err)
			if handled == 0 && isBehind() {
				stop.Store(true)
				require.FailNow(t, "RunUntilIdle handles nothing, though an event is deferred")
			}
		}
		if time.Since(began) > bustest.Patience {
			stop.Store(true)
		}
	}
	bustest.Flush(t, a)
	runUntilIdle(t, b)
	requireBalance(t, b, eventbus.OrderQueue)
}

// A logger that panics on one withheld count is told the others.
func TestWithLoggerIsToldEveryCountThoughItPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drop := func(q eventbus.Queue) eventbus.Option {
			return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest})
		}
		n := 0
		l := &logbook{level: slog.LevelWarn, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: queue was full, more events were lost" {
				if n++; n == 1 {
					panic("disk full")
				}
			}
		}}
		b := newBus(t, l.logger(), drop(eventbus.DataQueue), drop(eventbus.SignalQueue))
		for range 3 {
			_ = b.Publish(t.Context(), eventbus.DataQueue, event(tick, 1))
			_ = b.Publish(t.Context(), eventbus.SignalQueue, event(tick, 1))
		}
		time.Sleep(2 * time.Second)
		runUntilIdle(t, b)
		shutdown(t, b)
		require.Equal(t, 2, n)
	})
}

// A slow handler is named in time, though the logger was slow with the one before it.
func TestWithSlowHandlerIsInTimeThoughTheLoggerIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var named journal[time.Time]
		l := listener(func(_ context.Context, r slog.Record) {
			if r.Message == "eventbus: slow handler is still running" {
				named.add(time.Now())
				if len(named.all()) == 1 {
					time.Sleep(150 * time.Millisecond)
				}
			}
		})
		b := newBus(t, l.logger())
		var began journal[time.Time]
		b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
			began.add(time.Now())
			time.Sleep(time.Duration(e.Data.(int)) * time.Millisecond)
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 70, 200)
		bustest.Flush(t, b)
		synctest.Wait()
		require.Len(t, named.all(), 2)
		require.LessOrEqual(t, named.all()[1].Sub(began.all()[1]), 35*time.Millisecond)
	})
}

// A slow handler is named in time, though the logger is slow at telling what comes just
// before its call.
func TestWithSlowHandlerIsInTimeThoughTheLoggerRunsJustBefore(t *testing.T) {
	for name, c := range map[string]struct {
		level slog.Level
		slow  string // the record
	}{
		"at debug, of the call itself":        {slog.LevelDebug, "eventbus: calling handler"},
		"of the end of the handler before it": {slog.LevelWarn, "eventbus: slow handler has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var named journal[time.Time]
				l := &logbook{level: c.level, onRecord: func(r slog.Record) {
					switch r.Message {
					case "eventbus: slow handler is still running":
						named.add(time.Now())
					case c.slow:
						time.Sleep(60 * time.Millisecond)
					}
				}}
				b := newBus(t, l.logger(), eventbus.WithPollInterval(time.Hour))
				var began journal[time.Time]
				for _, d := range []time.Duration{100, 300} {
					b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error {
						began.add(time.Now())
						time.Sleep(d * time.Millisecond)
						return nil
					})
				}
				start(t, b)
				publish(t, b, eventbus.DataQueue, tick, 1)
				time.Sleep(500 * time.Millisecond) // the second one still runs
				require.Len(t, began.all(), 2)
				require.Len(t, named.all(), 2)
				for i, at := range named.all() {
					require.LessOrEqual(t, at.Sub(began.all()[i]), 35*time.Millisecond)
				}
				shutdown(t, b)
			})
		})
	}
}

// An error handler that is slow is named in time, though the handler whose failure it is
// told of was named before, and the pulse has slowed down since.
func TestWithErrorHandlerIsNamedInTimeAfterASlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var named, told journal[time.Time]
		l := &logbook{level: slog.LevelWarn, onRecord: func(r slog.Record) {
			if r.Message == "eventbus: slow handler is still running" {
				named.add(time.Now())
			}
		}}
		b := newBus(t, l.logger(), eventbus.WithPollInterval(time.Hour), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) {
			told.add(time.Now())
			time.Sleep(300 * time.Millisecond)
		}))
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error {
			time.Sleep(100 * time.Millisecond)
			return bustest.ErrHandler
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 1)
		time.Sleep(350 * time.Millisecond) // the error handler still runs
		require.Len(t, told.all(), 1)
		require.Len(t, named.all(), 2)
		require.LessOrEqual(t, named.all()[1].Sub(told.all()[0]), 35*time.Millisecond)
		shutdown(t, b)
	})
}

// RunUntilIdle asks the logger for its level each time.
func TestRunUntilIdleLooksAtTheLoggersLevel(t *testing.T) {
	var calls atomic.Int64
	var level slog.LevelVar
	b := newBus(t, eventbus.WithLogger(slog.New(slog.NewTextHandler(writerFunc(func([]byte) { calls.Add(1) }), &slog.HandlerOptions{Level: &level}))))
	b.SubscribeFunc(tick, pass)
	for i, l := range []slog.Level{slog.LevelInfo, slog.LevelDebug, slog.LevelInfo} {
		level.Set(l)
		publish(t, b, eventbus.DataQueue, tick, 1, 2)
		runUntilIdle(t, b)
		require.EqualValues(t, []int{0, 2, 2}[i], calls.Load())
	}
}

// A writerFunc is told what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// A handler that Shutdown says was not called is not called later, though the type's last
// event is retained: what Retain needs is no handler, and the one after it is the first.
func TestShutdownNamesTheFirstHandlerAfterRetainAsCalled(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	l := &logbook{level: slog.LevelWarn, onRecord: func(r slog.Record) {
		if r.Message == "eventbus: slow handler has ended" {
			close(in)
			<-out
		}
	}}
	b := newBus(t, l.logger(), eventbus.WithSlowHandler(time.Millisecond))
	kept := eventbus.NewTopic[int]("kept", eventbus.OrderQueue, eventbus.Retain())
	var called journal[int]
	kept.Subscribe(b, func(_ context.Context, n int) error {
		called.add(n)
		if n == 1 {
			eventually(t, "the report", func() bool { return len(l.find("eventbus: slow handler is still running")) > 0 })
			time.Sleep(5 * time.Millisecond) // the pulse asks to be told of the end after its report
		}
		return nil
	}, eventbus.WithName("first"))
	require.NoError(t, kept.Publish(t.Context(), b, 1))
	require.NoError(t, kept.Publish(t.Context(), b, 2))
	start(t, b)
	receive(t, in)
	left := leftBy(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	close(out)
	eventually(t, "the call", func() bool { return len(called.all()) == 2 })
	require.Empty(t, left.Interrupted)
	require.ErrorContains(t, left, "handler first still runs")
}

// RunUntilIdle ends with the event at hand handled, though a handler ends its context and
// panics.
func TestRunUntilIdleHandlesTheEventAtHandThoughItsContextEnds(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithCancel(t.Context())
	var seen journal[any]
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { cancel(); panic("failed") })
	b.SubscribeFunc(tick, seen.handle)
	publish(t, b, eventbus.DataQueue, tick, 1, 2)
	_, err := b.RunUntilIdle(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, seen.all(), 1)
	s := b.Stats().Queues[eventbus.DataQueue]
	require.EqualValues(t, 1, s.Panicked)
	require.EqualValues(t, 1, s.Handled)
	require.Equal(t, 1, s.Depth)
}

// An error handler that is slow when it is told of an expired event is named as such.
func TestWithSlowHandlerNamesAnErrorHandlerToldOfAnExpiredEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger(), maxAge(eventbus.DataQueue, 10, time.Second),
			eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { time.Sleep(time.Minute) }))
		publish(t, b, eventbus.DataQueue, tick, 1)
		time.Sleep(time.Hour)
		start(t, b)
		time.Sleep(time.Second)
		slow := log.find("eventbus: slow handler is still running")
		require.Len(t, slow, 1)
		require.Equal(t, "error handler, told of an event that has expired", slow[0].attrs["handler"])
		err := b.Shutdown(bustest.Ended())
		require.ErrorContains(t, err, "handler error handler, told of an event that has expired still runs")
		time.Sleep(time.Hour)
	})
}

// Shutdown is not nil if a Pause took the event of a handler's PublishWait while it
// drained, whether that had room or waited for it.
func TestShutdownCountsThePublishWaitThatAPauseRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, blocking(1, eventbus.OrderQueue)...)
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		told := make(chan error, 1)
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			told <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", "in line"))
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 1)
		time.Sleep(time.Millisecond)
		publish(t, b, eventbus.OrderQueue, "order", 2)
		publish(t, b, eventbus.DataQueue, tick, nil)
		time.Sleep(time.Millisecond)
		result := bustest.InBackground(func() error { return b.Shutdown(context.Background()) })
		time.Sleep(time.Millisecond)
		require.NoError(t, b.Pause(eventbus.OrderQueue))
		require.ErrorIs(t, receive(t, told), eventbus.ErrPaused)
		require.NoError(t, b.Resume(eventbus.OrderQueue))
		require.Equal(t, 1, leftBy(t, receive(t, result)).Refused)
	})
}

// The end of a slow call is told when it has ended, not with the next event.
func TestWithSlowHandlerTellsTheEndThoughNoEventFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 1)
		time.Sleep(10 * time.Second)
		ended := log.find("eventbus: slow handler has ended")
		require.Len(t, ended, 1)
		require.InDelta(t, time.Second, ended[0].attrs["elapsed"], float64(50*time.Millisecond))
	})
}

// The start of the processors is logged, also after RunUntilIdle.
func TestStartIsLoggedAfterRunUntilIdle(t *testing.T) {
	log := logbook{level: slog.LevelInfo}
	b := newBus(t, log.logger())
	runUntilIdle(t, b)
	start(t, b)
	eventually(t, "the records", func() bool { return len(log.find("eventbus: processor started")) == 3 })
}

// A publish that waits inside two buses, of which one is stepped in a handler of the
// other, ends when either of them gives up.
func TestPublishEndsWithTheKillOfEitherBusThatItsHandlerIsOf(t *testing.T) {
	for name, killed := range map[string]int{"outer": 0, "inner": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, inner, full := newBus(t), newBus(t), newBus(t, blocking(1, eventbus.OrderQueue)...)
				full.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Minute); return nil })
				start(t, full)
				publish(t, full, eventbus.OrderQueue, "order", 1)
				time.Sleep(time.Millisecond)
				publish(t, full, eventbus.OrderQueue, "order", 2)
				told := make(chan error, 1)
				inner.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
					told <- full.Publish(ctx, eventbus.OrderQueue, event("order", 3))
					return nil
				})
				outer.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
					publish(t, inner, eventbus.DataQueue, tick, nil)
					_, _ = inner.RunUntilIdle(ctx)
					return nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				require.NoError(t, outer.Start(ctx))
				publish(t, outer, eventbus.DataQueue, tick, nil)
				time.Sleep(time.Second)
				cancel() // a Stop: the wait goes on
				time.Sleep(time.Second)
				require.Empty(t, told)
				_ = []*eventbus.Bus{outer, inner}[killed].Shutdown(bustest.Ended())
				time.Sleep(time.Second)
				require.Error(t, <-told)
				time.Sleep(10 * time.Minute) // for the handlers of full
			})
		})
	}
}

// DisableAfter counts the failure of a handler that has ended the goroutine of RunUntilIdle,
// though Shutdown comes before anybody goes on.
func TestDisableAfterCountsAGoexitThatShutdownFinds(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil }, eventbus.DisableAfter(1))
	publish(t, b, eventbus.DataQueue, tick, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_, _ = b.RunUntilIdle(context.Background())
	}()
	receive(t, exited)
	_ = b.Shutdown(bustest.Ended())
	require.True(t, b.Stats().Handlers[0].Disabled)
	require.EqualValues(t, 1, b.Stats().Handlers[0].Failed)
}

// The end of a slow call is told at once also where the call has panicked.
func TestWithSlowHandlerTellsTheEndOfACallThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); panic("failed") })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 1)
		time.Sleep(5 * time.Second)
		require.Len(t, log.find("eventbus: slow handler has ended"), 1)
	})
}
