package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// These tests hold what must hold where two features meet.

// A listener is a slog.Handler that calls a function with each record.
type listener func(ctx context.Context, r slog.Record)

func (f listener) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (f listener) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f listener) WithGroup(string) slog.Handler                { return f }

func (f listener) Handle(ctx context.Context, r slog.Record) error {
	f(ctx, r)
	return nil
}

func (f listener) logger() eventbus.Option { return eventbus.WithLogger(slog.New(f)) }

// holding gives a queue that waits for ever n places.
func holding(q eventbus.Queue, n int) eventbus.Option {
	return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n})
}

// requireBalance checks the accounts of a queue of a bus at rest.
func requireBalance(t *testing.T, b *eventbus.Bus, q eventbus.Queue) {
	t.Helper()
	s := b.Stats().Queues[q]
	require.Equal(t, s.Accepted, s.Handled+s.Evicted+s.Conflated+s.Expired+s.Withdrawn+uint64(s.Depth+s.Deferred), "%+v", s)
}

// Shutdown returns nil only if nothing was refused to a handler: also when its time is
// up between two publishes of one that returns at once.
func TestShutdownIsNotNilIfAHandlerWasRefused(t *testing.T) {
	refusals := 0
	for round := range 500 {
		b := newBus(t, eventbus.WithSlowHandler(0))
		var refused atomic.Int32
		begun, goOn, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			defer close(returned)
			close(begun)
			<-goOn
			for range 1 + round%7 {
				if b.Publish(ctx, eventbus.SignalQueue, event("signal", nil)) != nil {
					refused.Add(1)
				}
			}
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		ctx, cancel := context.WithCancel(context.Background())
		receive(t, begun)
		result := bustest.InBackground(func() error { return b.Shutdown(ctx) })
		if round%2 == 0 {
			runtime.Gosched()
		}
		close(goOn)
		cancel()
		err := receive(t, result)
		receive(t, returned)
		if n := refused.Load(); n > 0 {
			refusals++
			require.Error(t, err, "round %d: %d events were refused", round, n)
		}
	}
	t.Logf("a handler was refused in %d of 500 rounds", refusals)
}

// A queue defers at most twice its capacity and 3 events, whatever the schedule: also
// where its processor never moves, and in a cycle of handlers that doubles its events.
func TestPublishDefersAtMostTwiceTheCapacityAnd3(t *testing.T) {
	t.Run("the processor never moves", func(t *testing.T) {
		const n = 2
		b := newBus(t, holding(eventbus.DataQueue, n), holding(eventbus.OrderQueue, n))
		stuck := newGate()
		b.SubscribeFunc("order", stuck.handle)
		var refused []error
		b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
			for range 100 { // to its own queue, which it must not wait for
				if err := b.Publish(ctx, eventbus.DataQueue, event("other", nil)); err != nil {
					refused = append(refused, err)
				}
			}
			return nil
		})
		start(t, b)
		require.NoError(t, b.PublishWait(bustest.Within(t, bustest.Patience), eventbus.DataQueue, event(tick, nil)))
		require.Len(t, refused, 100-n-(2*n+3))
		for _, err := range refused {
			require.ErrorIs(t, err, eventbus.ErrQueueFull)
		}
		stuck.open()
	})
	t.Run("a cycle that doubles", func(t *testing.T) {
		const n, budget = 5, 5_000
		b := newBus(t, holding(eventbus.DataQueue, n), holding(eventbus.SignalQueue, n))
		var published, most atomic.Int64
		to := func(q eventbus.Queue, typ eventbus.EventType) func(context.Context, eventbus.Event) error {
			return func(ctx context.Context, _ eventbus.Event) error {
				for range 2 {
					if published.Add(1) < budget {
						_ = b.Publish(ctx, q, event(typ, nil))
					}
				}
				for _, s := range b.Stats().Queues {
					for old := most.Load(); old < int64(s.Deferred) && !most.CompareAndSwap(old, int64(s.Deferred)); old = most.Load() {
					}
				}
				return nil
			}
		}
		b.SubscribeFunc("data", to(eventbus.SignalQueue, "signal"))
		b.SubscribeFunc("signal", to(eventbus.DataQueue, "data"))
		start(t, b)
		publish(t, b, eventbus.DataQueue, "data", 1, 2)
		bustest.Flush(t, b)
		require.LessOrEqual(t, most.Load(), int64(2*n+3))
		require.GreaterOrEqual(t, published.Load(), int64(budget))
	})
}

// A handler never deadlocks through several buses: what it calls of another bus does not
// wait for it, and the handlers of a bus that it steps are a part of it.
func TestPublishNeverDeadlocksThroughSeveralBuses(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, inner *eventbus.Bus) error{
		"Flush":    func(ctx context.Context, inner *eventbus.Bus) error { return inner.Flush(ctx) },
		"Shutdown": func(ctx context.Context, inner *eventbus.Bus) error { return inner.Shutdown(ctx) },
		"RunUntilIdle": func(ctx context.Context, inner *eventbus.Bus) error {
			_, err := inner.RunUntilIdle(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, inner := newBus(t, holding(eventbus.OrderQueue, 1)), newBus(t)
				errs := make(chan error, 2)
				inner.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
					errs <- outer.Publish(ctx, eventbus.OrderQueue, event("fill", nil))
					errs <- outer.PublishWait(ctx, eventbus.OrderQueue, event("fill", nil))
					return nil
				})
				done := make(chan error, 1)
				outer.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
					if e.Data == "first" {
						publish(t, outer, eventbus.OrderQueue, "order", "fills it")
						publish(t, inner, eventbus.DataQueue, tick, nil)
						done <- call(ctx, inner)
					}
					return nil
				})
				if name != "RunUntilIdle" {
					start(t, inner)
				}
				start(t, outer)
				publish(t, outer, eventbus.OrderQueue, "order", "first")
				err := receive(t, done)
				if name == "RunUntilIdle" {
					require.NoError(t, err)
					require.NoError(t, receive(t, errs), "it is deferred, as if the outer handler had published it")
					require.ErrorIs(t, receive(t, errs), eventbus.ErrWouldDeadlock)
				} else {
					require.ErrorIs(t, err, eventbus.ErrWouldDeadlock)
				}
				shutdown(t, outer)
			})
		})
	}
}

// A logger may publish to the full queue of the processor that it runs on, with the
// context that every record has.
func TestWithLoggerMayPublishToTheQueueOfItsProcessor(t *testing.T) {
	for message, handler := range map[string]func(b *eventbus.Bus, ctx context.Context){
		"eventbus: queue is full, dropped an event": func(b *eventbus.Bus, ctx context.Context) {
			for range 2 {
				_ = b.Publish(ctx, eventbus.DataQueue, event("other", nil))
			}
		},
		"eventbus: slow handler has ended": func(*eventbus.Bus, context.Context) { time.Sleep(time.Second) },
		"eventbus: handler failed":         func(*eventbus.Bus, context.Context) {},
	} {
		t.Run(message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *eventbus.Bus
				warnings := make(chan error, 100)
				b = newBus(t, listener(func(ctx context.Context, r slog.Record) {
					assert.NotNil(t, ctx)
					if r.Message == message {
						warnings <- b.Publish(ctx, eventbus.OrderQueue, event("warning", r.Message))
					}
				}).logger(), holding(eventbus.OrderQueue, 1),
					eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest}))
				require.NoError(t, b.Pause(eventbus.DataQueue))
				b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
					if e.Data != "first" {
						return nil
					}
					publish(t, b, eventbus.OrderQueue, "order", "fills it")
					handler(b, ctx)
					return errors.New("the handler fails")
				})
				start(t, b)
				publish(t, b, eventbus.OrderQueue, "order", "first")
				require.NoError(t, receive(t, warnings))
				require.NoError(t, b.Resume(eventbus.DataQueue))
				bustest.Flush(t, b)
			})
		})
	}
}

// PublishWait tells the truth: where it says that the bus was stopped, the queue paused
// or closed, no handler was or will be called, and nobody is handed the event.
func TestPublishWaitInAHandlerTellsTheTruth(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*testing.T, *eventbus.Bus)
		want error
	}{
		"Stop":     {func(_ *testing.T, b *eventbus.Bus) { b.Stop() }, eventbus.ErrNotRunning},
		"Pause":    {func(t *testing.T, b *eventbus.Bus) { require.NoError(t, b.Pause(eventbus.OrderQueue)) }, eventbus.ErrPaused},
		"Shutdown": {func(t *testing.T, b *eventbus.Bus) { requireNothingRemains(t, b.Shutdown(bustest.Ended())) }, eventbus.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBus(t)
				var handled journal[string]
				b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
					time.Sleep(time.Second)
					return handled.handle(ctx, e)
				})
				errs := make(chan error, 1)
				b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
					errs <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", "awaited"))
					return nil
				})
				start(t, b)
				publish(t, b, eventbus.OrderQueue, "order", "first")
				publish(t, b, eventbus.DataQueue, tick, nil)
				time.Sleep(time.Millisecond)
				test.end(t, b)
				require.ErrorIs(t, receive(t, errs), test.want)
				time.Sleep(time.Minute)
				if name != "Shutdown" {
					if name == "Stop" {
						start(t, b)
					}
					require.NoError(t, b.Resume(eventbus.OrderQueue))
					bustest.Flush(t, b)
					synctest.Wait() // until the processor has found that the event was withdrawn
				}
				require.Equal(t, []string{"first"}, handled.all())
				require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Withdrawn)
				requireBalance(t, b, eventbus.OrderQueue)
			})
		})
	}
}

// requireNothingRemains checks that a Shutdown that gave up handed back no event.
func requireNothingRemains(t *testing.T, err error) {
	t.Helper()
	var left *eventbus.ShutdownError
	require.ErrorAs(t, err, &left)
	require.Empty(t, left.Remaining)
}

// A late joiner gets no event that is older than the maximum age when its turn comes.
func TestWithLastGivesNoEventThatIsTooOldWhereFeaturesMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain(), eventbus.WithMaxAge(time.Second))
		start(t, b)
		join := func() []int {
			var got journal[int]
			price.Subscribe(b, func(_ context.Context, p int) error { got.add(p); return nil }, eventbus.WithLast())
			bustest.Flush(t, b)
			return got.all()
		}
		require.NoError(t, price.Publish(context.Background(), b, 1))
		time.Sleep(time.Second)
		require.Equal(t, []int{1}, join())
		time.Sleep(time.Hour)
		require.Empty(t, join())
	})
}

// Late joiners take nobody's place: a queue defers as many events as it says.
func TestWithLastLeavesTheBoundToEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		b := newBus(t, holding(eventbus.OrderQueue, n))
		position := eventbus.NewTopic[int]("position", eventbus.OrderQueue, eventbus.Retain())
		g := newGate()
		var refused []error
		b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
			if err := g.handle(ctx, e); err != nil || e.Data != "first" {
				return err
			}
			for range 2*n + 3 {
				if err := b.Publish(ctx, eventbus.OrderQueue, event("fill", nil)); err != nil {
					refused = append(refused, err)
				}
			}
			return nil
		})
		start(t, b)
		require.NoError(t, position.Publish(context.Background(), b, 1))
		publish(t, b, eventbus.OrderQueue, "order", "first")
		receive(t, g.entered)
		publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
		for range 10 {
			position.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast())
		}
		g.open()
		bustest.Flush(t, b)
		require.Empty(t, refused)
	})
}

// A publish that begins with the context of a call that Async has given up on is
// refused, since the call was reported as failed. What it published before stays.
func TestAsyncRefusesWhatAnAbandonedCallPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var orders journal[string]
		b.SubscribeFunc("order", orders.handle)
		errs := make(chan error, 5)
		b.Subscribe(tick, eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			errs <- b.Publish(ctx, eventbus.OrderQueue, event("order", "before"))
			time.Sleep(time.Second)
			errs <- b.Publish(ctx, eventbus.OrderQueue, event("order", "after"))
			errs <- b.TryPublish(ctx, eventbus.OrderQueue, event("order", "after"))
			errs <- b.PublishWait(ctx, eventbus.OrderQueue, event("order", "after"))
			_, err := b.PublishBatch(ctx, eventbus.OrderQueue, []eventbus.Event{event("order", "after")})
			errs <- err
			return nil
		}), 10*time.Millisecond))
		start(t, b)
		require.ErrorIs(t, b.PublishWait(bustest.Within(t, bustest.Patience), eventbus.DataQueue, event(tick, nil)), eventbus.ErrHandlerTimeout)
		require.NoError(t, receive(t, errs))
		for range 4 {
			require.ErrorIs(t, receive(t, errs), eventbus.ErrHandlerTimeout)
		}
		shutdown(t, b)
		require.Equal(t, []string{"before"}, orders.all())
	})
}

// A mute context is done and does not say why.
type mute struct{ context.Context }

func (mute) Done() <-chan struct{} { return bustest.Ended().Done() }
func (mute) Err() error            { return nil }

// A context that is done without an error ends a wait with an error: no order is lost.
func TestPublishWithAContextThatIsDoneWithoutAnErrorIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, holding(eventbus.OrderQueue, 1))
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		ctx := mute{context.Background()}
		require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 1)), "there is room")
		require.Error(t, b.Publish(ctx, eventbus.OrderQueue, event("order", 2)))
		require.Error(t, b.PublishWait(ctx, eventbus.OrderQueue, event("order", 3)))
		n, err := b.PublishBatch(ctx, eventbus.OrderQueue, []eventbus.Event{event("order", 4)})
		require.Error(t, err)
		require.Zero(t, n)
		start(t, b)
		shutdown(t, b)
		require.Equal(t, []int{1}, got.all())
	})
}

// A queue that nobody drains accepts within its capacity: who waits there gets the room
// there is, though the queue has not drained to half.
func TestPauseGivesTheRoomThereIs(t *testing.T) {
	const n = 8
	t.Run("Pause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBus(t, holding(eventbus.OrderQueue, n))
			g := newGate()
			b.SubscribeFunc("order", g.handle)
			start(t, b)
			publish(t, b, eventbus.OrderQueue, "order", "first")
			receive(t, g.entered)
			publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
			waits := bustest.InBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, event("order", "waits")) })
			synctest.Wait()
			g.release <- struct{}{}
			receive(t, g.entered)
			require.NoError(t, b.Pause(eventbus.OrderQueue))
			require.NoError(t, receive(t, waits))
			require.Equal(t, n, b.Stats().Queues[eventbus.OrderQueue].Depth)
			g.open()
		})
	})
	t.Run("RunUntilIdle that was cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBus(t, holding(eventbus.OrderQueue, n))
			ctx, cancel := context.WithCancel(context.Background())
			b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { cancel(); return nil })
			publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
			waits := bustest.InBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, event("order", "waits")) })
			synctest.Wait()
			_, err := b.RunUntilIdle(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, receive(t, waits))
		})
	})
}

// No handler waits at a paused queue, so Flush says that it is paused, and Shutdown hands
// back what it holds.
func TestShutdownAndFlushEndThoughAHandlerPublishesToAPausedQueue(t *testing.T) {
	for name, test := range map[string]struct {
		publish func(*eventbus.Bus, context.Context, eventbus.Queue, eventbus.Event) error
		want    error
		remain  int
	}{
		"Publish":     {(*eventbus.Bus).Publish, nil, 2},
		"PublishWait": {(*eventbus.Bus).PublishWait, eventbus.ErrPaused, 1},
	} {
		for _, late := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBus(t, holding(eventbus.OrderQueue, 1))
					g := newGate()
					b.SubscribeFunc("order", g.handle)
					errs := make(chan error, 1)
					b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
						errs <- test.publish(b, ctx, eventbus.OrderQueue, event("order", "of the handler"))
						return nil
					})
					start(t, b)
					if late { // the handler waits when the queue is paused
						publish(t, b, eventbus.OrderQueue, "order", "at hand", "fills it")
						publish(t, b, eventbus.DataQueue, tick, nil)
						synctest.Wait()
						require.Empty(t, errs)
					}
					require.NoError(t, b.Pause(eventbus.OrderQueue))
					if !late {
						publish(t, b, eventbus.OrderQueue, "order", "fills it")
						publish(t, b, eventbus.DataQueue, tick, nil)
					}
					require.ErrorIs(t, receive(t, errs), test.want)
					g.open()
					require.ErrorIs(t, b.Flush(bustest.Within(t, bustest.Patience)), eventbus.ErrPaused)
					var left *eventbus.ShutdownError
					require.ErrorAs(t, b.Shutdown(bustest.Within(t, bustest.Patience)), &left)
					require.ErrorIs(t, left, eventbus.ErrPaused)
					require.Len(t, left.Remaining[eventbus.OrderQueue], test.remain)
				})
			})
		}
	}
}

// A publish at a full queue of slow handlers waits for one handler, or a millisecond more.
func TestPublishAtAFullQueueWaitsForOneHandlerWhereFeaturesMeet(t *testing.T) {
	for _, takes := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBus(t)
				b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(takes); return nil })
				start(t, b)
				publish(t, b, eventbus.OrderQueue, "order", numbers(51)...)
				began := time.Now()
				publish(t, b, eventbus.OrderQueue, "order", "waits")
				require.LessOrEqual(t, time.Since(began), takes+time.Millisecond)
				require.NoError(t, b.Flush(context.Background()))
			})
		})
	}
}

// To refuse an event costs the same however many are deferred.
func TestPublishRefusesADeferredEventInConstantTime(t *testing.T) {
	refuse := func(n int) time.Duration {
		b := newBus(t, holding(eventbus.OrderQueue, n))
		best := time.Hour
		b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
			for b.Publish(ctx, eventbus.OrderQueue, event("fill", nil)) == nil {
			}
			for range 5 {
				began := time.Now()
				for range 100 {
					assert.Error(t, b.Publish(ctx, eventbus.OrderQueue, event("fill", nil)))
				}
				best = min(best, time.Since(began))
			}
			return nil
		})
		publish(t, b, eventbus.OrderQueue, "order", nil)
		ctx, cancel := context.WithCancel(context.Background())
		b.SubscribeFunc("fill", func(context.Context, eventbus.Event) error { cancel(); return nil })
		_, err := b.RunUntilIdle(ctx)
		require.ErrorIs(t, err, context.Canceled)
		return best
	}
	few, many := refuse(10), refuse(10_000)
	require.Less(t, many, 20*few+time.Millisecond, "few: %v", few)
}

// Nobody waits for ever while the queue moves, also where events answer themselves: a
// batch as large as the queue gets in, and so does a single event. A batch that is
// larger than the queue does, too.
func TestPublishBatchGetsInWhileTheQueueMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		b := newBus(t, holding(eventbus.OrderQueue, n))
		stop := make(chan struct{})
		b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Millisecond)
			select {
			case <-stop:
				return nil
			default:
				return b.Publish(ctx, eventbus.OrderQueue, e)
			}
		})
		var got journal[int]
		b.SubscribeFunc("order", got.handle)
		start(t, b)
		publish(t, b, eventbus.OrderQueue, tick, 1, 2)
		for _, size := range []int{n, 3 * n, 1} {
			var events []eventbus.Event
			for i := range size {
				events = append(events, event("order", i))
			}
			accepted, err := b.PublishBatch(bustest.Within(t, time.Second), eventbus.OrderQueue, events)
			require.NoError(t, err)
			require.Equal(t, size, accepted)
		}
		close(stop)
		bustest.Flush(t, b)
		require.Len(t, got.all(), n+3*n+1)
	})
}

// Events that answer themselves do not keep a handler of another queue waiting.
func TestPublishInAHandlerGetsInThoughEventsAnswerThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, holding(eventbus.DataQueue, 2))
		var stop atomic.Bool
		b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Millisecond)
			if stop.Load() {
				return nil
			}
			return b.Publish(ctx, eventbus.DataQueue, e)
		})
		errs := make(chan error, 100)
		b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			errs <- b.Publish(ctx, eventbus.DataQueue, event("other", nil))
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, 1, 2)
		publish(t, b, eventbus.OrderQueue, "order", numbers(20)...)
		for range 20 {
			require.NoError(t, receive(t, errs))
		}
		stop.Store(true)
		bustest.Flush(t, b)
	})
}

// Handlers that answer each other around a full queue overtake one that waits there with
// about as many events as the capacity, and no more.
func TestPublishInAHandlerIsOvertakenByAboutTheCapacity(t *testing.T) {
	const n, rounds = 4, 200
	b := newBus(t, holding(eventbus.DataQueue, n), holding(eventbus.SignalQueue, n), eventbus.WithSlowHandler(0))
	var handled atomic.Int64 // of the data queue
	var stop atomic.Bool
	answer := func(q eventbus.Queue, typ eventbus.EventType) func(context.Context, eventbus.Event) error {
		return func(ctx context.Context, _ eventbus.Event) error {
			if !stop.Load() {
				_ = b.Publish(ctx, q, event(typ, nil))
			}
			return nil
		}
	}
	b.SubscribeFunc("pong", answer(eventbus.DataQueue, "ping"))
	b.SubscribeFunc("ping", func(ctx context.Context, e eventbus.Event) error {
		handled.Add(1)
		return answer(eventbus.SignalQueue, "pong")(ctx, e)
	})
	overtaken := make(chan int, rounds)
	b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
		return b.Publish(ctx, eventbus.DataQueue, event("mark", handled.Load()))
	})
	b.SubscribeFunc("mark", func(_ context.Context, e eventbus.Event) error {
		overtaken <- int(handled.Load() - e.Data.(int64))
		return nil
	})
	publish(t, b, eventbus.DataQueue, "ping", numbers(n)...)
	publish(t, b, eventbus.SignalQueue, "pong", numbers(n)...)
	start(t, b)
	publish(t, b, eventbus.OrderQueue, "order", numbers(rounds)...)
	var all []int
	for range rounds {
		all = append(all, receive(t, overtaken))
	}
	stop.Store(true)
	bustest.Flush(t, b)
	slices.Sort(all)
	// A thread that loses its core before it is in line counts as overtaken.
	require.LessOrEqual(t, all[rounds*9/10], 2*n+(2*n+3)+n, "the queue, what is deferred, and the overtaking")
}

// Late joiners that were unsubscribed leave: they are in no account any more, and their
// room is free.
func TestUnsubscribeOfALateJoinerGivesBackItsRoom(t *testing.T) {
	const n = 16
	b := newBus(t, holding(eventbus.DataQueue, n))
	price := eventbus.NewTopic[int]("price", eventbus.DataQueue, eventbus.Retain())
	require.NoError(t, price.Publish(context.Background(), b, 0))
	runUntilIdle(t, b)
	for range n - 1 {
		price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()).Unsubscribe()
	}
	publish(t, b, eventbus.DataQueue, tick, numbers(n)...)
	for range 1000 {
		price.Subscribe(b, func(context.Context, int) error { return nil }, eventbus.WithLast()).Unsubscribe()
	}
	s := b.Stats().Queues[eventbus.DataQueue]
	require.Equal(t, n, s.Depth)
	require.Zero(t, s.Deferred)
	require.EqualValues(t, n-1+1000, s.Withdrawn)
	requireBalance(t, b, eventbus.DataQueue)
	runUntilIdle(t, b)
	require.EqualValues(t, n+1, b.Stats().Queues[eventbus.DataQueue].Handled)
	requireBalance(t, b, eventbus.DataQueue)
}

// The same events give the same calls every day: without WithClock nothing expires in
// RunUntilIdle.
func TestRunUntilIdleGivesTheSameCallsEveryDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(first time.Time) (calls int) {
			b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Second}))
			b.SubscribeFunc("candle", func(context.Context, eventbus.Event) error { calls++; return nil })
			for i := range 5 {
				e := eventbus.Event{Type: "candle", Time: first.Add(time.Duration(i) * time.Minute)}
				require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, e))
			}
			runUntilIdle(t, b)
			return calls
		}
		candles := time.Now()
		require.Equal(t, 5, run(candles))
		time.Sleep(24 * time.Hour)
		require.Equal(t, 5, run(candles))
	})
}

// A setup is a context that cannot be compared.
type setup struct {
	context.Context
	params any
}

// Any context will do for RunUntilIdle, also one that cannot be compared.
func TestRunUntilIdleTakesAContextThatCannotBeCompared(t *testing.T) {
	b := newBus(t)
	n := 0
	b.SubscribeFunc("candle", func(context.Context, eventbus.Event) error { n++; return nil })
	ctx := setup{context.Background(), []float64{0.5, 2}}
	for range 2 {
		publish(t, b, eventbus.DataQueue, "candle", nil)
		_, err := b.RunUntilIdle(ctx)
		require.NoError(t, err)
	}
	require.Equal(t, 2, n)
}

// In a bus that was started or is stepped inside a handler of another, DeliveryFrom tells
// of the inner one.
func TestDeliveryFromTellsOfTheInnermostBus(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, inner *eventbus.Bus) error{
		"started": func(ctx context.Context, inner *eventbus.Bus) error { return inner.Start(context.WithoutCancel(ctx)) },
		"stepped": func(ctx context.Context, inner *eventbus.Bus) error { _, err := inner.RunUntilIdle(ctx); return err },
	} {
		for _, async := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				outer, inner := newBus(t), newBus(t)
				h := eventbus.Handler(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error { return run(ctx, inner) }))
				if async {
					h = eventbus.Async(h, 0)
				}
				outer.Subscribe("session", h, eventbus.WithName("opener"))
				got := make(chan eventbus.Delivery, 1)
				inner.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
					d, ok := eventbus.DeliveryFrom(ctx)
					assert.True(t, ok)
					derived, ok := eventbus.DeliveryFrom(context.WithValue(ctx, new(int), 0))
					assert.True(t, ok)
					assert.Equal(t, d, derived)
					got <- d
					return nil
				}, eventbus.WithName("router"))
				publish(t, inner, eventbus.OrderQueue, "order", 42)
				start(t, outer)
				require.NoError(t, outer.PublishWait(bustest.Within(t, bustest.Patience), eventbus.DataQueue, event("session", nil)))
				d := receive(t, got)
				require.Equal(t, eventbus.Delivery{Event: event("order", 42), Queue: eventbus.OrderQueue, Handler: "router", Seq: 1}, d)
			})
		}
	}
}

// A bus that was stepped and is started then reports slow handlers as any other.
func TestWithSlowHandlerReportsAfterRunUntilIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger(), eventbus.WithSingleThread())
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(time.Second); return nil })
		runUntilIdle(t, b)
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		bustest.Flush(t, b)
		require.Len(t, log.find("eventbus: slow handler is still running"), 1)
		synctest.Wait()
	})
}

// WithSlowHandler of the longest duration means never, and costs nothing.
func TestWithSlowHandlerOfTheLongestDurationMeansNever(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var log logbook
		b := newBus(t, log.logger(), eventbus.WithSlowHandler(math.MaxInt64))
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { time.Sleep(10 * time.Minute); return nil })
		start(t, b)
		publish(t, b, eventbus.DataQueue, tick, nil)
		require.NoError(t, b.Flush(bustest.Within(t, time.Hour)))
		require.Empty(t, log.find("eventbus: slow handler is still running"))
	})
}
