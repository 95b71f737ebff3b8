package eventbus_test

import (
	"context"
	"errors"
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

// Shutdown returns nil only if nothing was refused to a handler: also if what a handler
// waited for was withdrawn when it gave up.
func TestShutdownIsNotNilIfAHandlersEventWasWithdrawn(t *testing.T) {
	for round := range 500 {
		b := newBus(t, eventbus.WithSlowHandler(0))
		waits, goOn, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var told atomic.Pointer[error]
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { <-goOn; return nil })
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			defer close(returned)
			close(waits)
			err := b.PublishWait(ctx, eventbus.OrderQueue, event("order", "awaited"))
			close(goOn)
			told.Store(&err)
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", "at hand")
		publish(t, b, eventbus.DataQueue, tick, nil)
		receive(t, waits)
		for b.Stats().Queues[eventbus.OrderQueue].Accepted < 2 {
			runtime.Gosched()
		}
		ctx, cancel := context.WithCancel(context.Background())
		result := bustest.InBackground(func() error { return b.Shutdown(ctx) })
		for range round % 20 {
			runtime.Gosched()
		}
		cancel()
		err := receive(t, result)
		receive(t, returned)
		if *told.Load() != nil {
			require.Error(t, err, "round %d: the handler was told %v", round, *told.Load())
		}
	}
}

// The same where the bus is stopped while Shutdown drains it.
func TestShutdownIsNotNilIfStopWithdrewAHandlersEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		told := make(chan error, 1)
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			told <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", "awaited"))
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", "at hand")
		publish(t, b, eventbus.DataQueue, tick, nil)
		synctest.Wait()
		result := bustest.InBackground(func() error { return b.Shutdown(context.Background()) })
		synctest.Wait()
		b.Stop()
		err := receive(t, result)
		require.ErrorIs(t, receive(t, told), eventbus.ErrNotRunning)
		require.Error(t, err)
	})
}

// The kill switch ends the wait of a handler at another bus, though the context that its
// own was started with had ended before, and ended no wait.
func TestShutdownEndsTheWaitOfAHandlerAtAnotherBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := newBus(t, holding(eventbus.OrderQueue, 1))
		g := newGate()
		other.SubscribeFunc("order", g.handle)
		start(t, other)
		publish(t, other, eventbus.OrderQueue, "order", 1)
		<-g.entered
		publish(t, other, eventbus.OrderQueue, "order", 2) // full
		requireShutdownEndsWait(t, other.Publish)
		g.open()
	})
}

// The same for a handler that waits until its event is handled.
func TestShutdownEndsThePublishWaitOfAHandlerAtAnotherBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := newBus(t)
		g := newGate()
		other.SubscribeFunc("order", g.handle)
		start(t, other)
		requireShutdownEndsWait(t, other.PublishWait)
		g.open()
	})
}

// requireShutdownEndsWait lets a handler of a new bus wait in the publish function of
// another bus, and requires that Shutdown ends the wait and the end of the session does not.
func requireShutdownEndsWait(t *testing.T, publishElsewhere func(context.Context, eventbus.Queue, eventbus.Event) error) {
	t.Helper()
	b := newBus(t)
	result := make(chan error, 1)
	b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		err := publishElsewhere(ctx, eventbus.OrderQueue, event("order", 3))
		result <- err
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(t, b.Start(ctx))
	publish(t, b, eventbus.DataQueue, tick, 1)
	time.Sleep(100 * time.Millisecond)
	cancel()
	time.Sleep(time.Minute)
	require.Empty(t, result, "the end of the session ends no wait")
	_ = b.Shutdown(bustest.Ended()) // nil if the handler returns before it is looked at
	require.ErrorIs(t, receive(t, result), context.Canceled)
}

// A handler's context that is done without an error ends its wait at another bus, though
// the session has ended too: what ends a wait by itself goes on doing so.
func TestPublishOfAHandlerLeavesWithAContextThatIsDoneWithoutAnErrorAfterItsSession(t *testing.T) {
	for name, publish := range map[string]func(*eventbus.Bus, context.Context, eventbus.Queue, eventbus.Event) error{
		"Publish": (*eventbus.Bus).Publish, "PublishWait": (*eventbus.Bus).PublishWait,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other, _, g := full(t, eventbus.QueueConfig{Capacity: 1})
				b := newBus(t)
				result := make(chan error, 1)
				b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
					<-ctx.Done()
					result <- publish(other, mute{ctx}, eventbus.OrderQueue, event("order", 1))
					return nil
				})
				ctx, cancel := context.WithCancel(context.Background())
				require.NoError(t, b.Start(ctx))
				require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, event(tick, 0)))
				synctest.Wait()
				cancel()
				require.ErrorContains(t, receive(t, result), "done without an error")
				g.open()
			})
		})
	}
}

// Shutdown waits for no logger that is told late of an abandoned call.
func TestShutdownWaitsForNoLoggerOfAnAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(chan struct{})
		defer close(out)
		l := listener(func(_ context.Context, r slog.Record) {
			r.Attrs(func(a slog.Attr) bool {
				if err, ok := a.Value.Any().(error); ok && strings.HasPrefix(err.Error(), "after it was abandoned") {
					<-out
				}
				return true
			})
		})
		b := newBus(t, l.logger())
		b.Subscribe(tick, eventbus.Async(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
			time.Sleep(time.Second)
			return errors.New("late")
		}), 100*time.Millisecond))
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 1)
		shutdown(t, b)
	})
}

// When its context ends Shutdown returns at once: it waits for no error handler of a call
// that runtime.Goexit has ended.
func TestShutdownWaitsForNoErrorHandlerThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		b := exitedInAHandler(t, func(ctx context.Context, _ *eventbus.HandlerError) {
			select {
			case <-ctx.Done():
			case <-release:
			}
		})
		require.Error(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	})
}

// It does, though the error handler ends its goroutine.
func TestShutdownReturnsThoughAnErrorHandlerEndsItsGoroutine(t *testing.T) {
	b := exitedInAHandler(t, func(context.Context, *eventbus.HandlerError) { runtime.Goexit() })
	require.Error(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
}

// An event that has begun is told though the clock is asked for its age.
func TestShutdownTellsOfAnEventWhoseAgeIsAskedFor(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	b := newBus(t, eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Hour}),
		eventbus.WithClock(func() time.Time {
			close(in)
			<-out
			return time.Now()
		}))
	var seen journal[any]
	b.SubscribeFunc("order", seen.handle)
	e := event("order", 1)
	e.Time = time.Now()
	require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, e))
	start(t, b)
	receive(t, in)
	err := receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) }))
	require.ErrorContains(t, err, "an event of the order queue has begun")
	close(out)
}

// The kill switch returns at once beside a logger that blocks, though the cores are busy.
func TestShutdownReturnsAtOnceBesideABlockedLoggerOnBusyCores(t *testing.T) {
	if testing.Short() {
		t.Skip("it keeps all cores busy")
	}
	in, out := make(chan struct{}), make(chan struct{})
	defer close(out)
	l := &logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
		if r.Message == "eventbus: calling handler" {
			close(in)
			<-out
		}
	}}
	b := newBus(t, l.logger())
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil })
	publish(t, b, eventbus.OrderQueue, "order", 1)
	start(t, b)
	receive(t, in)
	var stop atomic.Bool
	defer stop.Store(true)
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	began := time.Now()
	require.Error(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	require.Less(t, time.Since(began), 5*time.Second)
}

// holdingUpTheSecondCall returns a logger that closes in when it is told of the second call of
// a handler, waits for out, and then calls after.
func holdingUpTheSecondCall(after func()) (l *logbook, in, out chan struct{}) {
	in, out = make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	return &logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) {
		if r.Message == "eventbus: calling handler" && calls.Add(1) == 2 {
			close(in)
			<-out
			after()
		}
	}}, in, out
}

// A further handler is not called once Shutdown has given up, though the logger was being
// told of the call, and Shutdown says so.
func TestShutdownCutsTheCallThatALoggerHoldsUp(t *testing.T) {
	l, in, out := holdingUpTheSecondCall(func() {})
	b := newBus(t, l.logger())
	var seen journal[any]
	b.SubscribeFunc("order", pass, eventbus.WithName("first"))
	b.SubscribeFunc("order", seen.handle, eventbus.WithName("second"))
	publish(t, b, eventbus.OrderQueue, "order", 1)
	start(t, b)
	receive(t, in)
	left := leftBy(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	close(out)
	require.Equal(t, []string{"second"}, left.Interrupted[0].Handlers)
	require.NotContains(t, left.Error(), "still runs")
	eventually(t, "the processor to leave", func() bool { return len(l.find("eventbus: processor stopped")) == 3 })
	require.Empty(t, seen.all())
}

// A handler that Shutdown says is running is called, though a logger was being told of the
// call, and panics: the filters of the handler have passed the event by then.
func TestShutdownNamesNoHandlerThatIsNeverCalled(t *testing.T) {
	l, in, out := holdingUpTheSecondCall(func() { panic("logger") })
	b := newBus(t, l.logger())
	var seen journal[any]
	b.SubscribeFunc("order", pass, eventbus.WithName("first"))
	b.SubscribeFunc("order", seen.handle, eventbus.WithName("filtered"), eventbus.Where(func(eventbus.Event) bool { return true }))
	b.SubscribeFunc("order", seen.handle, eventbus.WithName("last"))
	publish(t, b, eventbus.OrderQueue, "order", 1)
	start(t, b)
	receive(t, in)
	left := leftBy(t, receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })))
	close(out)
	require.Equal(t, []string{"last"}, left.Interrupted[0].Handlers)
	require.ErrorContains(t, left, "filtered still runs")
	eventually(t, "the processor to leave", func() bool { return len(l.find("eventbus: processor stopped")) == 3 })
	require.Equal(t, []any{1}, seen.all())
}

// A handler that was called and has failed is not among those that were not, though the
// logger ends the goroutine of RunUntilIdle when it is told.
func TestShutdownNamesNoHandlerWhoseFailureEndedTheGoroutine(t *testing.T) {
	for name, fail := range map[string]func() error{
		"panic": func() error { panic("failed") },
		"error": func() error { return errors.New("failed") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, listener(func(_ context.Context, r slog.Record) {
				if r.Message == "eventbus: handler failed" {
					runtime.Goexit()
				}
			}).logger())
			b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return fail() }, eventbus.WithName("first"))
			b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
			publish(t, b, eventbus.OrderQueue, "order", 1)
			exited := make(chan struct{})
			go func() {
				defer close(exited)
				_, _ = b.RunUntilIdle(context.Background())
			}()
			receive(t, exited)
			var left *eventbus.ShutdownError
			require.ErrorAs(t, b.Shutdown(bustest.Ended()), &left)
			require.Len(t, left.Interrupted, 1)
			require.Equal(t, []string{"second"}, left.Interrupted[0].Handlers)
			requireBalance(t, b, eventbus.OrderQueue)
		})
	}
}

func TestShutdownCountsThePublishWaitThatItRefusesToAHandler(t *testing.T) {
	for range 500 { // the handler that runs must end before Shutdown looks at it
		b := newBus(t)
		release, began := make(chan struct{}), make(chan struct{})
		var refused error
		b.SubscribeFunc("busy", func(context.Context, eventbus.Event) error { <-release; return nil })
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			defer close(release)
			close(began)
			refused = b.PublishWait(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order"})
			return nil
		})
		start(t, b)
		require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "busy"}))
		require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "tick"}))
		<-began
		for b.Stats().Queues[eventbus.OrderQueue].Depth == 0 {
			runtime.Gosched()
		}
		err := b.Shutdown(bustest.Ended())
		<-release
		if errors.Is(refused, eventbus.ErrClosed) {
			require.Error(t, err)
		}
	}
}

// exitedInAHandler returns a bus whose handler has ended RunUntilIdle with
// runtime.Goexit, with one more order. onError is told of it by Shutdown.
func exitedInAHandler(t *testing.T, onError func(context.Context, *eventbus.HandlerError)) *eventbus.Bus {
	b := newBus(t, eventbus.WithErrorHandler(onError))
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil })
	publish(t, b, eventbus.OrderQueue, "order", 1, 2)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_, _ = b.RunUntilIdle(context.Background())
	}()
	receive(t, exited)
	return b
}
