package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// stops are the two ways to stop a bus that was started with a context of its
// own.
var stops = map[string]func(b *eventbus.Bus, endContext func()){
	"Stop":                       func(b *eventbus.Bus, _ func()) { b.Stop() },
	"the end of Start's context": func(_ *eventbus.Bus, endContext func()) { endContext() },
}

// A bus starts and stops any number of times. The end of Start's context is a
// Stop.
func TestStartAndStopWorkAnyNumberOfTimes(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				var got journal[int]
				b.SubscribeFunc("order", got.handle)
				for round := range 10 {
					ctx, cancel := context.WithCancel(context.Background())
					require.NoError(t, b.Start(ctx))
					require.True(t, b.Stats().Running)
					publish(t, b, eventbus.OrderQueue, "order", 2*round)
					bustest.Flush(t, b)
					stop(b, cancel)
					if round%2 == 0 {
						synctest.Wait()
						require.False(t, b.Stats().Running)
					} else {
						b.Stop() // as well, or again
					}
					publish(t, b, eventbus.OrderQueue, "order", 2*round+1)
					time.Sleep(time.Hour)
					require.Equal(t, upTo(0, 2*round+1), got.all())
					cancel()
				}
				start(t, b)
				bustest.Flush(t, b)
				require.Equal(t, upTo(0, 20), got.all())
			})
		})
	}
}

// Stop lets the event at hand go through its handlers and keeps the rest.
func TestStopKeepsAllButTheEventAtHand(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				entered, release := make(chan struct{}, 1), make(chan struct{})
				var got journal[int]
				b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { entered <- struct{}{}; <-release; return nil })
				b.SubscribeFunc("order", got.handle)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				require.NoError(t, b.Start(ctx))
				publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
				receive(t, entered)
				instantly(t, name, func() { stop(b, cancel) })
				synctest.Wait()
				require.False(t, b.Stats().Running)
				close(release)
				time.Sleep(time.Hour)
				require.Equal(t, []int{0}, got.all())
				require.Equal(t, 2, b.Stats().Queues[eventbus.OrderQueue].Depth)
				go func() { <-entered; <-entered }()
				start(t, b)
				bustest.Flush(t, b)
				require.Equal(t, []int{0, 1, 2}, got.all())
			})
		})
	}
}

// The handlers' context ends with Start's, and when the last has returned.
func TestStartContextIsTheBaseOfTheHandlers(t *testing.T) {
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				contexts, release := make(chan context.Context, 1), make(chan struct{})
				b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error { contexts <- ctx; <-release; return nil })
				base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "the value"))
				defer cancel()
				require.NoError(t, b.Start(base))
				publish(t, b, eventbus.OrderQueue, "order", 0)
				ctx := receive(t, contexts)
				require.Equal(t, "the value", ctx.Value(key{}))
				stop(b, cancel)
				synctest.Wait()
				require.Equal(t, base.Err(), ctx.Err(), "while the handler runs")
				close(release)
				synctest.Wait()
				require.ErrorIs(t, ctx.Err(), context.Canceled, "when it has returned")
			})
		})
	}
}

type key struct{}

// Bus.Flush waits for all that was accepted, cascades included. The whole life
// cycle runs in a synctest bubble, days of it in no time.
func TestFlushWaitsForCascades(t *testing.T) {
	began := time.Now()
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, bustest.EveryQueue...)...)
		next := map[eventbus.EventType]eventbus.Queue{"tick": eventbus.SignalQueue, "signal": eventbus.OrderQueue}
		name := map[eventbus.EventType]eventbus.EventType{"tick": "signal", "signal": "order"}
		for from := range next {
			b.SubscribeFunc(from, func(ctx context.Context, e eventbus.Event) error {
				time.Sleep(time.Hour)
				return b.Publish(ctx, next[from], eventbus.Event{Type: name[from]})
			})
		}
		var orders atomic.Int32
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			time.Sleep(time.Hour)
			orders.Add(1)
			return nil
		})
		for day := range 3 {
			publish(t, b, eventbus.DataQueue, "tick", nil)
			require.NoError(t, b.Flush(t.Context()))
			require.EqualValues(t, day+1, orders.Load())
			b.Stop()
			time.Sleep(24 * time.Hour)
			start(t, b)
		}
		publish(t, b, eventbus.DataQueue, "tick", nil)
		require.NoError(t, b.Shutdown(t.Context()))
		require.EqualValues(t, 4, orders.Load())
	})
	require.Less(t, time.Since(began), time.Minute)
}

// Bus.Pause keeps a queue's events from being begun until Bus.Resume.
func TestPauseKeepsEventsFromBeingBegun(t *testing.T) {
	for name, opts := range map[string][]eventbus.Option{"one goroutine a queue": nil, "single thread": {eventbus.WithSingleThread()}} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, opts...)
				rec := eventbustest.NewRecorder(t, b)
				of := func(q eventbus.Queue) eventbustest.Matcher { return eventbustest.Payload("e", q) }
				start(t, b)
				synctest.Wait()
				require.NoError(t, b.Pause(eventbus.SignalQueue))
				require.NoError(t, b.Pause(eventbus.SignalQueue))
				for range 3 {
					for _, q := range bustest.EveryQueue {
						publish(t, b, q, "e", q)
					}
				}
				err := b.Flush(context.Background())
				require.ErrorIs(t, err, eventbus.ErrPaused)
				require.ErrorContains(t, err, "the signal queue, which holds 3 events")
				time.Sleep(time.Second) // ten polls
				synctest.Wait()
				data, orders := of(eventbus.DataQueue), of(eventbus.OrderQueue)
				rec.ExpectInAnyOrder(t, data, data, data, orders, orders, orders)
				rec.ExpectNone(t)
				s := b.Stats()
				require.Equal(t, []bool{false, true, false}, []bool{s.Queues[0].Paused, s.Queues[1].Paused, s.Queues[2].Paused})
				require.Equal(t, 3, s.Queues[eventbus.SignalQueue].Depth)
				require.Contains(t, s.String(), "signal (paused)")

				require.NoError(t, b.Resume(eventbus.SignalQueue))
				bustest.Flush(t, b)
				signals := of(eventbus.SignalQueue)
				rec.Expect(t, signals, signals, signals)
				rec.ExpectNone(t)
			})
		})
	}
}

// Calls at the wrong time get a typed error: no panic, no hang. Calls that
// have nothing to do return nil.
func TestBusAnswersCallsAtTheWrongTime(t *testing.T) {
	type bus = *eventbus.Bus
	ctx := context.Background()
	var none context.Context
	tick := eventbus.Event{Type: "tick"}
	started := func(b bus) { _ = b.Start(ctx) }
	stopped := func(b bus) { started(b); b.Stop() }
	closed := func(b bus) { _ = b.Shutdown(ctx) }
	queued := func(b bus) { _ = b.Publish(ctx, eventbus.OrderQueue, tick) }
	closedWithEvents := func(b bus) { queued(b); closed(b) }
	fresh := func(bus) {}
	step := func(b bus) error { _, err := b.RunUntilIdle(ctx); return err }
	anError := errors.New("any error")
	for _, c := range []struct {
		name  string
		state func(bus)
		call  func(bus) error
		want  error
	}{
		{"Start twice", started, func(b bus) error { return b.Start(ctx) }, eventbus.ErrRunning},
		{"Start after Stop", stopped, func(b bus) error { return b.Start(ctx) }, nil},
		{"Start after Shutdown", closed, func(b bus) error { return b.Start(ctx) }, eventbus.ErrClosed},
		{"Publish before Start", fresh, func(b bus) error { return b.Publish(ctx, eventbus.OrderQueue, tick) }, nil},
		{"Publish after Stop", stopped, func(b bus) error { return b.Publish(ctx, eventbus.OrderQueue, tick) }, nil},
		{"Start with an ended context", fresh, func(b bus) error { return b.Start(bustest.Ended()) }, context.Canceled},
		{"Start without a context", fresh, func(b bus) error { return b.Start(none) }, anError},
		{"Stop before Start", fresh, func(b bus) error { b.Stop(); return b.Start(ctx) }, nil},
		{"Stop twice", stopped, func(b bus) error { b.Stop(); return b.Start(ctx) }, nil},
		{"Start after Shutdown with a context that has ended", closed, func(b bus) error { return b.Start(bustest.Ended()) }, eventbus.ErrClosed},
		{"Stop after Shutdown", closed, func(b bus) error { b.Stop(); return b.Start(ctx) }, eventbus.ErrClosed},
		{"Shutdown before Start", fresh, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown before Start, events", queued, func(b bus) error { return b.Shutdown(ctx) }, eventbus.ErrNotRunning},
		{"Shutdown after Stop", stopped, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown twice", closed, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown twice, events", closedWithEvents, func(b bus) error { return b.Shutdown(ctx) }, eventbus.ErrNotRunning},
		{"kill switch after Shutdown", closed, func(b bus) error { return b.Shutdown(bustest.Ended()) }, nil},
		{"Shutdown without a context", started, func(b bus) error { return b.Shutdown(none) }, anError},
		{"and it has not begun", started, func(b bus) error { _ = b.Shutdown(none); return b.Publish(ctx, eventbus.DataQueue, tick) }, nil},
		{"Flush before Start", fresh, func(b bus) error { return b.Flush(ctx) }, nil},
		{"Flush before Start, events", queued, func(b bus) error { return b.Flush(ctx) }, eventbus.ErrNotRunning},
		{"Flush after Shutdown", closed, func(b bus) error { return b.Flush(ctx) }, nil},
		{"Flush after Shutdown, events", closedWithEvents, func(b bus) error { return b.Flush(ctx) }, eventbus.ErrClosed},
		{"Flush without a context", started, func(b bus) error { return b.Flush(none) }, anError},
		{"step a bus that runs", started, step, eventbus.ErrRunning},
		{"step after Shutdown", closed, step, eventbus.ErrClosed},
		{"Pause twice", started, func(b bus) error { return errors.Join(b.Pause(1), b.Pause(1), b.Resume(1), b.Resume(1)) }, nil},
		{"Pause no queue", started, func(b bus) error { return b.Pause(3) }, eventbus.ErrUnknownQueue},
		{"Resume after Shutdown", closed, func(b bus) error { return errors.Join(b.Resume(1), b.Pause(1)) }, nil},
		{"PublishWait after Shutdown", closed, func(b bus) error { return b.PublishWait(ctx, eventbus.OrderQueue, tick) }, eventbus.ErrClosed},
		{"Publish after Shutdown", closed, func(b bus) error { return b.Publish(ctx, eventbus.OrderQueue, tick) }, eventbus.ErrClosed},
		{"TryPublish after Shutdown", closed, func(b bus) error { return b.TryPublish(ctx, eventbus.OrderQueue, tick) }, eventbus.ErrClosed},
		{"Publish without a context", started, func(b bus) error { return b.Publish(none, eventbus.OrderQueue, tick) }, anError},
		{"Publish without a type", started, func(b bus) error { return b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{}) }, eventbus.ErrInvalidEvent},
		{"Publish to no queue", started, func(b bus) error { return b.Publish(ctx, 3, tick) }, eventbus.ErrUnknownQueue},
		{"Start in a handler", started, inHandler(func(ctx context.Context, b bus) error { return b.Start(ctx) }), eventbus.ErrRunning},
		{"Stop and Start in a handler", started, inHandler(func(_ context.Context, b bus) error { b.Stop(); return b.Start(ctx) }), nil},
		{"Stop in a handler", started, inHandler(func(_ context.Context, b bus) error { b.Stop(); b.Stop(); return nil }), nil},
		{"Publish in a handler after Stop", started, inHandler(func(ctx context.Context, b bus) error {
			b.Stop()
			return b.Publish(ctx, eventbus.OrderQueue, tick)
		}), nil},
		{"PublishWait in a handler", started, inHandler(func(ctx context.Context, b bus) error {
			return b.PublishWait(ctx, eventbus.SignalQueue, tick)
		}), eventbus.ErrWouldDeadlock},
		{"step in a handler", started, inHandler(func(ctx context.Context, b bus) error {
			_, err := b.RunUntilIdle(ctx)
			return err
		}), eventbus.ErrWouldDeadlock},
		{"kill switch in a handler", started, inHandler(func(_ context.Context, b bus) error { return b.Shutdown(bustest.Ended()) }), context.Canceled},
		{"Flush in a handler", started, inHandler(func(ctx context.Context, b bus) error { return b.Flush(ctx) }), eventbus.ErrWouldDeadlock},
		{"Shutdown in a handler", started, inHandler(func(ctx context.Context, b bus) error { return b.Shutdown(ctx) }), eventbus.ErrWouldDeadlock},
		{"and it has begun", started, inHandler(func(ctx context.Context, b bus) error { _ = b.Shutdown(ctx); return b.Start(ctx) }), eventbus.ErrClosed},
		{"Unsubscribe twice", started, func(b bus) error {
			s := b.Subscribe("tick", eventbus.HandlerFunc(new(journal[int]).handle))
			s.Unsubscribe()
			s.Unsubscribe()
			return nil
		}, nil},
		{"Subscribe after Shutdown", closed, func(b bus) error {
			b.Subscribe("tick", eventbus.HandlerFunc(new(journal[int]).handle)).Unsubscribe()
			return nil
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				c.state(b)
				var err error
				instantly(t, c.name, func() { err = c.call(b) })
				switch c.want {
				case nil:
					require.NoError(t, err)
				case anError:
					require.ErrorContains(t, err, "nil")
				default:
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
}

// inHandler returns a function that calls f inside a handler of the bus.
func inHandler(f func(context.Context, *eventbus.Bus) error) func(*eventbus.Bus) error {
	return func(b *eventbus.Bus) error {
		result := make(chan error, 1)
		s := b.SubscribeFunc("call", func(ctx context.Context, _ eventbus.Event) error {
			result <- f(ctx, b)
			return nil
		})
		defer s.Unsubscribe()
		if err := b.Publish(context.Background(), eventbus.SignalQueue, eventbus.Event{Type: "call"}); err != nil {
			return err
		}
		return <-result
	}
}

// With a handler's context Flush and Shutdown return ErrWouldDeadlock.
func TestFlushAndShutdownRefuseAHandlersContext(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, other := newBus(t), startedBus(t)
		errs := make(map[string]error)
		b.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			errs["Flush"] = b.Flush(ctx)
			errs["Flush, derived"] = b.Flush(derived)
			errs["Flush of another bus"] = other.Flush(ctx)
			errs["Shutdown of another bus"] = other.Shutdown(ctx)
			errs["Shutdown"] = b.Shutdown(ctx)
			errs["Shutdown again"] = b.Shutdown(derived)
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "tick", 1)
		synctest.Wait()
		require.Len(t, errs, 6)
		for name, err := range errs {
			require.ErrorIs(t, err, eventbus.ErrWouldDeadlock, name)
		}
		require.True(t, b.Stats().Closed)
		require.True(t, other.Stats().Closed)
		shutdown(t, b)
		shutdown(t, other)
	})
}

// An idle bus wakes once a poll, so that a lost wake-up costs one poll.
func TestWithPollIntervalAnIdleBusWakesOnceAPoll(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var wakes atomic.Int64
		b := newBus(t, eventbus.WithLogger(slog.New(wakeCounter{slog.DiscardHandler, &wakes})))
		start(t, b)
		time.Sleep(50 * time.Millisecond)
		wakes.Store(0)
		time.Sleep(time.Minute)
		require.EqualValues(t, 3*600, wakes.Load())
	})
}
