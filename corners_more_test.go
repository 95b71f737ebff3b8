package eventbus_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

// What is logged of an abandoned call belongs to no delivery: its processor may be at
// another event by then.
func TestAsyncLogsAnAbandonedCallWithAContextOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delivered := make(chan bool, 10)
		b := newBus(t, listener(func(ctx context.Context, r slog.Record) {
			r.Attrs(func(a slog.Attr) bool {
				if err, ok := a.Value.Any().(error); ok && strings.Contains(err.Error(), "after it was abandoned") {
					_, is := eventbus.DeliveryFrom(ctx)
					delivered <- is
				}
				return true
			})
		}).logger())
		b.Subscribe(tick, eventbus.Async(eventbus.HandlerFunc(func(_ context.Context, e eventbus.Event) error {
			time.Sleep(time.Second)
			return errors.New("too late")
		}), 10*time.Millisecond))
		b.SubscribeFunc("other", func(context.Context, eventbus.Event) error { time.Sleep(time.Minute); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		publish(t, b, eventbus.DataQueue, "other", nil)
		require.False(t, receive(t, delivered))
		require.NoError(t, b.Flush(context.Background()))
	})
}

// A call of Async inside a call that was abandoned, as a retry makes it, belongs to its
// bus: it is counted, Shutdown waits for it, and its panic is logged.
func TestAsyncInsideAnAbandonedCallBelongsToItsBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger())
		inner := eventbus.Async(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error {
			time.Sleep(time.Minute)
			panic("the inner one")
		}), 10*time.Millisecond)
		b.Subscribe(tick, eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour) // as a retry with a fresh time limit
			cancel()
			return inner.Handle(ctx, e)
		}), 10*time.Millisecond))
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, b.Stats().Abandoned)
		began := time.Now()
		require.NoError(t, b.Shutdown(context.Background()))
		require.Greater(t, time.Since(began), 50*time.Second)
		synctest.Wait() // Shutdown waits for no logger
		failures := log.find("eventbus: handler failed")
		require.NotEmpty(t, failures)
		require.ErrorContains(t, failures[len(failures)-1].attrs["error"].(error), "the inner one")
	})
}

// A failure is counted once, for whoever failed: a handler that returns the error of
// PublishWait has not panicked, though the inner one has.
func TestPublishWaitReturnsAFailureThatIsCountedOnce(t *testing.T) {
	for name, wrap := range map[string]func(eventbus.Handler) eventbus.Handler{
		"plain": func(h eventbus.Handler) eventbus.Handler { return h },
		"async": func(h eventbus.Handler) eventbus.Handler { return eventbus.Async(h, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			b.Subscribe("order", wrap(eventbus.HandlerFunc(func(context.Context, eventbus.Event) error { panic("the inner one") })))
			b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
				return b.PublishWait(ctx, eventbus.OrderQueue, event("order", nil))
			})
			start(t, b)
			publish(t, b, eventbus.DataQueue, tick, nil)
			bustest.Flush(t, b)
			s := b.Stats()
			require.EqualValues(t, 1, s.Queues[eventbus.OrderQueue].Panicked)
			require.EqualValues(t, 1, s.Queues[eventbus.DataQueue].Failed)
			require.Zero(t, s.Queues[eventbus.DataQueue].Panicked)
		})
	}
}

// A rejection is an error whose methods do not expect a nil pointer.
type rejection struct {
	reason string
	cause  error
}

func (r *rejection) Error() string { return "rejected: " + r.reason }
func (r *rejection) Unwrap() error { return r.cause }

// An error that is a nil pointer is a failure like any other, and no panic.
func TestHandlerErrorOfANilPointerIsNoPanic(t *testing.T) {
	var got []*eventbus.HandlerError
	b := newBus(t, eventbus.WithErrorHandler(func(_ context.Context, h *eventbus.HandlerError) { got = append(got, h) }))
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return (*rejection)(nil) })
	after := 0
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { after++; return nil })
	start(t, b)
	publish(t, b, eventbus.DataQueue, tick, nil)
	shutdown(t, b)
	require.Equal(t, 1, after)
	require.Len(t, got, 1)
	require.False(t, got[0].Panicked)
	require.EqualValues(t, 1, b.Stats().Queues[eventbus.DataQueue].Failed)
	require.Zero(t, b.Stats().Queues[eventbus.DataQueue].Panicked)
}

// Start after the end of the last Start's context starts.
func TestStartAfterTheEndOfTheLastContext(t *testing.T) {
	for range 200 {
		b := newBus(t)
		ctx, cancel := context.WithCancel(context.Background())
		require.NoError(t, b.Start(ctx))
		cancel()
		start(t, b)
		require.True(t, b.Stats().Running)
		b.Stop()
	}
}

// A logger that is told of a slow handler may call Shutdown and wait for it.
func TestShutdownMayBeCalledByTheLoggerOfASlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *eventbus.Bus
		ended := make(chan error, 1)
		b = newBus(t, listener(func(_ context.Context, r slog.Record) {
			if r.Message == "eventbus: slow handler is still running" {
				ended <- b.Shutdown(context.Background())
			}
		}).logger())
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		require.NoError(t, receive(t, ended))
	})
}

// While Shutdown drains, a late joiner that a handler subscribes gets the last event and
// those that follow.
func TestWithLastSubscribesWhileShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
		var got journal[int]
		goOn := make(chan struct{})
		b.SubscribeFunc("close position", func(ctx context.Context, e eventbus.Event) error {
			<-goOn
			price.Subscribe(b, func(_ context.Context, p int) error { got.add(p); return nil }, eventbus.WithLast())
			return price.Publish(ctx, b, 2)
		})
		start(t, b)
		require.NoError(t, price.Publish(context.Background(), b, 1))
		bustest.Flush(t, b)
		publish(t, b, eventbus.SignalQueue, "close position", nil)
		ended := bustest.InBackground(func() error { return b.Shutdown(context.Background()) })
		synctest.Wait()
		close(goOn)
		require.NoError(t, receive(t, ended))
		require.Equal(t, []int{1, 2}, got.all())
	})
}

// Handlers come and go at no more than the cost of finding their place: 20,000 of one type
// do within a second.
func TestSubscribeAndUnsubscribeOfManyHandlersTakeNoTime(t *testing.T) {
	n := 20_000
	if race.Enabled { // which makes all of it slower
		n = 4000
	}
	b := newBus(t)
	subs := make([]*eventbus.Subscription, n)
	began := time.Now()
	for i := range subs {
		subs[i] = b.SubscribeFunc("fill", func(context.Context, eventbus.Event) error { return nil })
	}
	for _, s := range subs {
		s.Unsubscribe()
	}
	require.Less(t, time.Since(began), time.Second)
}

// A bus that spins runs in a synctest bubble, where time stands still while it does.
func TestWithSpinWorksInABubble(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithSpin(50*time.Microsecond))
		var got journal[int]
		b.SubscribeFunc(tick, got.handle)
		start(t, b)
		time.Sleep(time.Second)
		publish(t, b, eventbus.DataQueue, tick, 1)
		shutdown(t, b)
		require.Equal(t, []int{1}, got.all())
	})
}

// A wait of five seconds is none of an instant, also with the timers of programs that
// were written for Go 1.22.
func TestPublishWaitsItsTimeWithTheTimersOfGo122(t *testing.T) {
	const setting = "asynctimerchan=1"
	if !strings.Contains(os.Getenv("GODEBUG"), setting) {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GODEBUG="+setting)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	b := newBus(t, eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 1, Timeout: 5 * time.Second}),
		eventbus.WithSlowPublish(time.Millisecond))
	b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error { time.Sleep(time.Millisecond); return nil })
	start(t, b)
	publish(t, b, eventbus.SignalQueue, "signal", numbers(300)...)
	bustest.Flush(t, b)
}

// A goroutine that outlives its handler and waits with its context holds up no handler of
// a later event.
func TestPublishInAHandlerIgnoresTheWaitOfAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, holding(eventbus.OrderQueue, 1))
		g := newGate()
		b.SubscribeFunc("order", g.handle)
		b.SubscribeFunc("signal", func(context.Context, eventbus.Event) error { return nil })
		outlives, errs := make(chan error, 1), make(chan error, 2)
		b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			if e.Data == "first" {
				go func() { outlives <- b.Publish(ctx, eventbus.OrderQueue, event("order", nil)) }()
				time.Sleep(10 * time.Millisecond)
				return nil
			}
			errs <- b.PublishWait(ctx, eventbus.SignalQueue, event("signal", nil))
			errs <- b.Publish(ctx, eventbus.OrderQueue, event("order", nil))
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 1, 2)
		publish(t, b, eventbus.DataQueue, tick, "first", "second")
		require.NoError(t, receive(t, errs))
		synctest.Wait()
		require.Empty(t, errs, "it waits for room, as it may")
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Deferred)
		g.open()
		require.NoError(t, receive(t, errs))
		require.NoError(t, receive(t, outlives))
		bustest.Flush(t, b)
	})
}

// A goroutine that outlives its handler and waits while its processor is at no event holds
// up no handler either.
func TestPublishWaitInAHandlerIgnoresAWaitAtNoEvent(t *testing.T) {
	for name, quiet := range map[string]func(t *testing.T, data *eventbus.Bus){
		"idle":    func(*testing.T, *eventbus.Bus) {},
		"stopped": func(_ *testing.T, data *eventbus.Bus) { data.Stop(); synctest.Wait() },
		"stepped": func(t *testing.T, data *eventbus.Bus) { data.Stop(); synctest.Wait(); runUntilIdle(t, data) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data, orders, g := newBus(t), startedBus(t, blocking(1, eventbus.OrderQueue)...), newGate()
				contexts, result := make(chan context.Context, 1), make(chan error, 1)
				data.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error { contexts <- ctx; return nil })
				start(t, data)
				publish(t, data, eventbus.DataQueue, tick, 0)
				bustest.Flush(t, data)
				orders.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
					_ = g.handle(ctx, e)
					if e.Data == 0 {
						_ = data.Start(context.Background()) // if it does not run
						result <- data.PublishWait(ctx, eventbus.DataQueue, event("note", 1))
					}
					return nil
				})
				publish(t, orders, eventbus.OrderQueue, "order", 0)
				receive(t, g.entered)
				publish(t, orders, eventbus.OrderQueue, "order", 1) // full
				quiet(t, data)
				outlives := bustest.InBackground(func() error {
					return orders.Publish(<-contexts, eventbus.OrderQueue, event("order", 2))
				})
				synctest.Wait()
				g.open()
				require.ErrorIs(t, receive(t, result), eventbus.ErrUnhandled)
				require.NoError(t, receive(t, outlives))
			})
		})
	}
}

// The same holds while the processor looks for events, as WithSpin lets it.
func TestPublishWaitInAHandlerIgnoresAWaitBesideASpinningProcessor(t *testing.T) {
	data, orders, g := startedBus(t, eventbus.WithSpin(time.Minute)), startedBus(t, blocking(1, eventbus.OrderQueue)...), newGate()
	contexts, result := make(chan context.Context, 1), make(chan error, 1)
	data.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error { contexts <- ctx; return nil })
	publish(t, data, eventbus.DataQueue, tick, 0)
	bustest.Flush(t, data)
	orders.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
		_ = g.handle(ctx, e)
		if e.Data == 0 {
			result <- data.PublishWait(ctx, eventbus.DataQueue, event("note", 1))
		}
		return nil
	})
	publish(t, orders, eventbus.OrderQueue, "order", 0)
	receive(t, g.entered)
	publish(t, orders, eventbus.OrderQueue, "order", 1) // full
	outlives := bustest.InBackground(func() error {
		return orders.Publish(<-contexts, eventbus.OrderQueue, event("order", 2))
	})
	eventually(t, "the goroutine to wait", func() bool { return orders.Stats().Queues[eventbus.OrderQueue].Waiting == 1 })
	g.open()
	require.ErrorIs(t, receive(t, result), eventbus.ErrUnhandled)
	require.NoError(t, receive(t, outlives))
}

// A wait that has not counted does not count again when its processor wakes where it was
// and a logger is told: others have begun to wait meanwhile, and the graph would have a
// cycle.
func TestPublishInAHandlerIgnoresAWaitThatHasNotCounted(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the processor wakes when the order's handler waits, and not before
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan struct{}), make(chan struct{})
		var armed atomic.Bool
		data := newBus(t, eventbus.WithLogger(slog.New(picky{slog.DiscardHandler, func() bool {
			if armed.CompareAndSwap(true, false) {
				asked <- struct{}{}
				<-answer
			}
			return false
		}})))
		orders, third, g := startedBus(t, blocking(1, eventbus.OrderQueue)...), newBus(t), newGate()
		contexts, result := make(chan context.Context, 1), make(chan error, 2)
		data.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			contexts <- ctx
			armed.Store(true)
			return nil
		})
		orders.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
			_ = g.handle(ctx, e)
			if e.Data == 0 {
				armed.Store(true)
				_ = data.Resume(eventbus.DataQueue) // it is not paused: its processor looks
				result <- data.PublishWait(ctx, eventbus.DataQueue, event("note", 1))
			}
			return nil
		})
		third.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			result <- orders.Publish(ctx, eventbus.OrderQueue, event("order", 3))
			return nil
		})
		start(t, data)
		start(t, third)
		publish(t, orders, eventbus.OrderQueue, "order", 0, 1) // one handled, one that fills the queue
		publish(t, data, eventbus.DataQueue, tick, 0)
		<-asked // between two events
		outlives := bustest.InBackground(func() error {
			return orders.Publish(<-contexts, eventbus.OrderQueue, event("order", 2))
		})
		synctest.Wait()
		answer <- struct{}{}
		synctest.Wait()
		g.open()
		<-asked // the handler of the order waits for the note
		publish(t, third, eventbus.DataQueue, tick, 0)
		synctest.Wait()
		require.Zero(t, third.Stats().Handlers[0].Failed)
		answer <- struct{}{}
		require.ErrorIs(t, receive(t, result), eventbus.ErrUnhandled)
		require.NoError(t, receive(t, result))
		require.NoError(t, receive(t, outlives))
	})
}

// After Stop what a handler waits with takes the free slots first, and then what the
// bound of deferral allows.
func TestStopUsesFreeSlotsBeforeItDefers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, free = 8, 3 // fewer than half, so that they are kept
		b := newBus(t, holding(eventbus.OrderQueue, n))
		g := newGate()
		b.SubscribeFunc("order", g.handle)
		type result struct {
			accepted int
			err      error
		}
		results := make(chan result, 1)
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			accepted, err := b.PublishBatch(ctx, eventbus.OrderQueue, manyOrders(free+2*n+3+1))
			results <- result{accepted, err}
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", numbers(n+1)...)
		receive(t, g.entered)
		publish(t, b, eventbus.DataQueue, tick, nil)
		synctest.Wait()
		for range free {
			g.release <- struct{}{}
			receive(t, g.entered)
		}
		b.Stop()
		r := receive(t, results)
		require.ErrorIs(t, r.err, eventbus.ErrQueueFull)
		require.Equal(t, free+2*n+3, r.accepted)
		g.open()
	})
}

// manyOrders returns n orders.
func manyOrders(n int) (events []eventbus.Event) {
	for i := range n {
		events = append(events, event("order", i))
	}
	return events
}

// A slow error handler is named as such, and a handler that is not at fault is not.
func TestWithErrorHandlerThatIsSlowIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger(), eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { time.Sleep(time.Second) }))
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return errors.New("the handler fails") }, eventbus.WithName("quick"))
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		bustest.Flush(t, b)
		slow := log.find("eventbus: slow handler is still running")
		require.Len(t, slow, 1)
		require.Equal(t, "error handler, told of a failure of quick", slow[0].attrs["handler"])
	})
}

// A logger that panics on one slow handler hides no other.
func TestWithSlowHandlerTellsAllThoughTheLoggerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logbook{onRecord: func(r slog.Record) {}}
		var told atomic.Int32
		log.onRecord = func(r slog.Record) {
			if r.Message == "eventbus: slow handler is still running" && told.Add(1) == 1 {
				panic("the logger fails")
			}
		}
		b := newBus(t, log.logger())
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		publish(t, b, eventbus.SignalQueue, tick, nil)
		bustest.Flush(t, b)
		require.EqualValues(t, 2, told.Load())
	})
}

// Counts that were withheld are told in the end: though the handler has gone, and on a
// bus that is stepped.
func TestWithLoggerIsToldEveryCountInTheEnd(t *testing.T) {
	const failures = 50
	for name, run := range map[string]func(t *testing.T, b *eventbus.Bus){
		"started": func(t *testing.T, b *eventbus.Bus) { start(t, b); bustest.Flush(t, b) },
		"stepped": func(t *testing.T, b *eventbus.Bus) { runUntilIdle(t, b) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logbook
				b := newBus(t, log.logger())
				s := b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return errors.New("the handler fails") })
				publish(t, b, eventbus.DataQueue, tick, numbers(failures)...)
				run(t, b)
				s.Unsubscribe()
				shutdown(t, b)
				told := uint64(len(log.find("eventbus: handler failed")))
				for _, r := range log.find("eventbus: handler failed more often") {
					told += r.attrs["failures"].(uint64)
				}
				require.EqualValues(t, failures, told)
			})
		})
	}
}

// A filter is asked once an event, though the logger panics on the record of the call.
func TestWhereIsAskedOnceThoughTheLoggerPanics(t *testing.T) {
	var asked, called atomic.Int32
	log := logbook{level: slog.LevelDebug}
	log.onRecord = func(r slog.Record) {
		if r.Message == "eventbus: calling handler" {
			panic("the logger fails")
		}
	}
	b := newBus(t, log.logger())
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { called.Add(1); return nil },
		eventbus.Where(func(eventbus.Event) bool { asked.Add(1); return true }))
	start(t, b)
	publish(t, b, eventbus.DataQueue, tick, nil)
	bustest.Flush(t, b)
	require.EqualValues(t, 1, asked.Load())
	require.EqualValues(t, 1, called.Load())
}

// The accounts balance after a Shutdown though runtime.Goexit has ended RunUntilIdle in a
// handler: the event was handled in part, and no handler runs any more.
func TestShutdownBalancesAfterGoexitInRunUntilIdle(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil })
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("second"))
	publish(t, b, eventbus.OrderQueue, tick, 1, 2)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_, _ = b.RunUntilIdle(context.Background())
	}()
	receive(t, exited)
	var left *eventbus.ShutdownError
	require.ErrorAs(t, b.Shutdown(bustest.Within(t, bustest.Patience)), &left)
	require.Equal(t, []eventbus.InterruptedEvent{{Event: event(tick, 1), Queue: eventbus.OrderQueue, Handlers: []string{"second"}}}, left.Interrupted)
	require.Equal(t, []eventbus.Event{event(tick, 2)}, left.Remaining[eventbus.OrderQueue])
	require.NotContains(t, left.Error(), "still runs")
	requireBalance(t, b, eventbus.OrderQueue)
	require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Handled)
}

// A position is a handler with something to hold on to.
type portfolio struct{ _ [1 << 10]byte }

func (*portfolio) Handle(context.Context, eventbus.Event) error { return nil }

// The bus lets go of an unsubscribed handler at once where it is at rest, before Start,
// while it runs, and after Shutdown.
func TestUnsubscribeLetsGoOfTheHandler(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, b *eventbus.Bus){
		"not started": func(*testing.T, *eventbus.Bus) {},
		"running":     func(t *testing.T, b *eventbus.Bus) { start(t, b); bustest.Flush(t, b) },
		"shut down":   func(t *testing.T, b *eventbus.Bus) { start(t, b); shutdown(t, b) },
		"stepped":     runUntilIdleOf,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			h := new(portfolio)
			held := weak.Make(h)
			s := b.Subscribe(tick, h)
			publish(t, b, eventbus.OrderQueue, tick, nil)
			run(t, b)
			s.Unsubscribe()
			h = nil
			require.Eventually(t, func() bool { runtime.GC(); return held.Value() == nil }, bustest.Patience, time.Millisecond)
			runtime.KeepAlive(s)
		})
	}
}

func runUntilIdleOf(t *testing.T, b *eventbus.Bus) { runUntilIdle(t, b) }

// So does a bus on one goroutine that has looked at another queue since, where the event was
// withdrawn and had no handlers.
func TestUnsubscribeLetsGoOfTheHandlerAfterAWithdrawnEvent(t *testing.T) {
	b, other := startedBus(t, eventbus.WithSingleThread()), startedBus(t)
	outcome, g := make(chan error, 1), newGate()
	other.SubscribeFunc("go", func(ctx context.Context, _ eventbus.Event) error {
		outcome <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", nil))
		return nil
	})
	h := new(portfolio)
	held := weak.Make(h)
	s := b.Subscribe(tick, h)
	b.SubscribeFunc("stuck", g.handle)
	publish(t, b, eventbus.DataQueue, "stuck", nil)
	receive(t, g.entered)
	publish(t, other, eventbus.DataQueue, "go", nil) // the order waits
	eventually(t, "the order", func() bool { return b.Stats().Queues[eventbus.OrderQueue].Depth == 1 })
	require.NoError(t, b.Pause(eventbus.OrderQueue))
	require.ErrorIs(t, receive(t, outcome), eventbus.ErrPaused, "it is withdrawn")
	g.open()
	publish(t, b, eventbus.DataQueue, tick, nil) // the handler is the last one
	bustest.Flush(t, b)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	bustest.Flush(t, b)
	time.Sleep(time.Millisecond) // the withdrawn order is nothing to wait for
	s.Unsubscribe()
	h = nil
	require.Eventually(t, func() bool { runtime.GC(); return held.Value() == nil }, bustest.Patience, time.Millisecond)
	runtime.KeepAlive(s)
}

// Text in types, names and errors forges no row of the table of Stats and no line of a
// HandlerError.
func TestStatsAndHandlerErrorQuoteWhatCouldForgeALine(t *testing.T) {
	const forged = "x\nforged  row\t1\t2\x1b[2J"
	b := newBus(t)
	b.SubscribeFunc(forged, func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName(forged))
	table := b.Stats().String()
	require.Contains(t, table, strconv.Quote(forged))
	require.NotContains(t, table, "\nforged")
	require.NotContains(t, table, "\x1b")
	for _, h := range []eventbus.HandlerError{
		{Event: eventbus.Event{Type: forged}, Handler: forged, Err: errors.New("it fails")},
		{Event: eventbus.Event{Type: forged}, Err: eventbus.ErrExpired},
	} {
		require.NotContains(t, h.Error(), "\n")
		require.NotContains(t, h.Error(), "\x1b")
	}
	left := b.Publish(context.Background(), 3, eventbus.Event{Type: forged})
	require.NotContains(t, left.Error(), "\n")
}

// What is left is handed over once, to the first caller from outside; the others get the
// same cause.
func TestShutdownHandsOverOnceWhereFeaturesMeet(t *testing.T) {
	b := newBus(t)
	publish(t, b, eventbus.OrderQueue, "order", 1, 2)
	const callers = 3
	results := make(chan error, callers)
	for range callers {
		go func() { results <- b.Shutdown(bustest.Within(t, bustest.Patience)) }()
	}
	handed := 0
	for range callers {
		var left *eventbus.ShutdownError
		require.ErrorAs(t, receive(t, results), &left)
		require.ErrorIs(t, left, eventbus.ErrNotRunning)
		if left.HandedOver {
			require.Empty(t, left.Remaining)
			continue
		}
		handed++
		require.Equal(t, []eventbus.Event{event("order", 1), event("order", 2)}, left.Remaining[eventbus.OrderQueue])
	}
	require.Equal(t, 1, handed)
}

// Start with a context of a handler of the bus is refused: the bus would stop by itself.
func TestStartWithTheContextOfAHandlerOfTheBusIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		errs := make(chan error, 2)
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			b.Stop()
			errs <- b.Start(ctx)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			errs <- b.Start(derived)
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		for range 2 {
			require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
		}
	})
}

// An evicting publish lets a late joiner in outside of the locks: the clock, which is
// asked for the age of its event, may call every method of every bus.
func TestWithClockMayCallEveryMethodWhereALateJoinerIsEvicted(t *testing.T) {
	other := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest}))
	publish(t, other, eventbus.DataQueue, tick, 1)
	var b *eventbus.Bus
	busy := false
	b = newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest, MaxAge: time.Hour}),
		eventbus.WithClock(func() time.Time {
			if b != nil && !busy {
				busy = true
				assert.ErrorIs(t, other.Publish(context.Background(), eventbus.DataQueue, event(tick, 2)), eventbus.ErrDropped)
				b.SubscribeFunc("new", func(context.Context, eventbus.Event) error { return nil }).Unsubscribe()
				_ = b.Stats().String()
				busy = false
			}
			return time.Unix(0, 0)
		}))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	require.NoError(t, price.Publish(context.Background(), b, 1))
	runUntilIdle(t, b)
	var got journal[int]
	price.Subscribe(b, func(_ context.Context, p int) error { got.add(p); return nil }, eventbus.WithLast())
	for p := 2; p <= 3; p++ { // the late joiner takes nobody's room: it is evicted before the first of them is
		require.NoError(t, receive(t, bustest.InBackground(func() error { return price.Publish(context.Background(), b, p) })))
	}
	runUntilIdle(t, b)
	require.Equal(t, []int{3}, got.all(), "it begins without the last event")
	requireBalance(t, b, eventbus.DataQueue)
}

// No test of the package looks for private names in stacks: what it waits for, it is told.
func TestBusTestsDependOnNoPrivateName(t *testing.T) {
	private := "(" + "*" // of a method, as stacks name it
	privateTypes := []string{"queue", "processor", "admission", "buffer", "Buffer[...]", "pulse", "table", "stepper", "turn"}
	for _, name := range globbed(t, "*_test.go") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, private) {
				for _, name := range privateTypes {
					require.NotContains(t, lit.Value, private+name+")", "%s", f.Name)
				}
			}
			return true
		})
	}
}

// A clock that panics makes the publish fail that needs it, and the event expire whose age
// it should tell.
func TestWithClockThatPanicsFailsWhatNeedsIt(t *testing.T) {
	var failures []*eventbus.HandlerError
	b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 5, MaxAge: time.Second}),
		eventbus.WithClock(func() time.Time { panic("no time") }),
		eventbus.WithErrorHandler(func(_ context.Context, h *eventbus.HandlerError) { failures = append(failures, h) }))
	called := false
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { called = true; return nil })
	err := b.Publish(context.Background(), eventbus.DataQueue, event(tick, "without a time"))
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, err, "no time")
	e := event(tick, "with a time")
	e.Time = time.Now()
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, e))
	start(t, b)
	bustest.Flush(t, b)
	require.False(t, called)
	require.Len(t, failures, 1)
	require.ErrorIs(t, failures[0], eventbus.ErrExpired)
	require.ErrorContains(t, failures[0], "no time")
	requireBalance(t, b, eventbus.DataQueue)
}

// The call that runtime.Goexit has ended is counted by a Shutdown that comes before the
// next RunUntilIdle, and nothing is left of its event.
func TestShutdownCountsTheCallThatGoexitEnded(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil })
	publish(t, b, eventbus.OrderQueue, tick, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_, _ = b.RunUntilIdle(context.Background())
	}()
	receive(t, exited)
	shutdown(t, b)
	s := b.Stats()
	require.EqualValues(t, 1, s.Handlers[0].Calls)
	require.EqualValues(t, 1, s.Handlers[0].Failed)
	requireBalance(t, b, eventbus.OrderQueue)
}

// The end of the context that its bus was started with ends no wait of a handler at
// another bus: that goes on until there is room.
func TestPublishInAHandlerWaitsOnThoughItsBusIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, other, g, errs := stopped(t, 1, func(ctx context.Context, other *eventbus.Bus) error {
			return other.Publish(ctx, eventbus.OrderQueue, event("order", 3))
		})
		require.Empty(t, errs)
		require.False(t, outer.Stats().Running)
		g.open()
		require.NoError(t, receive(t, errs))
		bustest.Flush(t, other)
	})
}
