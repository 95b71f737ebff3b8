package eventbus_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

// nil means that the event will be handled, or that Bus.Shutdown hands it back.
// Every publish is counted by what it returned, and the events of those that
// returned nil, and of no other, are handled or handed back.
func TestPublishNilMeansHandledOrHandedBack(t *testing.T) {
	rules := map[string]eventbus.QueueConfig{
		"block":       {Capacity: 5, Timeout: 3 * time.Millisecond},
		"drop newest": {Capacity: 5, Overflow: eventbus.DropNewest, Timeout: 3 * time.Millisecond},
		"at once":     {Capacity: 5, Overflow: eventbus.DropNewest},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, eventbus.WithQueue(eventbus.DataQueue, rule))
				var handled, accepted journal[int]
				b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
					time.Sleep(3 * time.Millisecond)
					return handled.handle(ctx, e)
				})
				start(t, b)
				for p := range 10 {
					go func() {
						for i := range 20 {
							n := p*1000 + i
							err := b.Publish(context.Background(), eventbus.DataQueue, event(tick, n))
							if err == nil {
								accepted.add(n)
							}
							time.Sleep(time.Duration(p) * time.Millisecond)
						}
					}()
				}
				time.Sleep(50 * time.Millisecond)
				err := b.Shutdown(bustest.Within(t, 2500*time.Microsecond))
				left := leftBy(t, err)
				time.Sleep(time.Minute)
				kept := handled.all()
				for _, e := range left.Remaining[eventbus.DataQueue] {
					kept = append(kept, e.Data.(int))
				}
				require.NotEmpty(t, left.Remaining)
				require.ElementsMatch(t, accepted.all(), kept)
				s := b.Stats().Queues[eventbus.DataQueue]
				require.Len(t, accepted.all(), int(s.Accepted))
				require.NotZero(t, s.Dropped+s.Rejected)
				require.EqualValues(t, 200, s.Accepted+s.Dropped+s.Rejected)
			})
		})
	}
}

// After an error the event is not in the queue and never will be. A thousand
// refusals change nothing for the events after them.
func TestPublishErrorsLeaveNoTrace(t *testing.T) {
	const refused = 1000
	for name, publish := range map[string]func(*eventbus.Bus) error{
		"try": func(b *eventbus.Bus) error {
			return b.TryPublish(context.Background(), eventbus.OrderQueue, event("n", -1))
		},
		"context": func(b *eventbus.Bus) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return b.Publish(ctx, eventbus.OrderQueue, event("n", -1))
		},
		"timeout": func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.SignalQueue, event("n", -1))
		},
		"drop": func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.DataQueue, event("n", -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				for _, q := range bustest.EveryQueue {
					for range b.Stats().Queues[q].Capacity {
						require.NoError(t, b.TryPublish(t.Context(), q, eventbus.Event{Type: "filler"}))
					}
				}
				for range refused {
					require.Error(t, publish(b))
				}
				var log journal[int]
				b.SubscribeFunc("n", log.handle)
				start(t, b)
				bustest.Flush(t, b)
				for i := range refused {
					require.NoError(t, b.TryPublish(t.Context(), bustest.EveryQueue[i/50%3], event("n", i)))
					if i%50 == 49 {
						bustest.Flush(t, b)
					}
				}
				require.Equal(t, upTo(0, refused), log.all())
				stats := b.Stats()
				require.EqualValues(t, 1150+refused, stats.Queues[0].Handled+stats.Queues[1].Handled+stats.Queues[2].Handled)
			})
		})
	}
}

// Errors name the queue and the type, and work with errors.Is.
func TestPublishErrorsNameTheQueueAndTheType(t *testing.T) {
	one := eventbus.QueueConfig{Capacity: 1}
	dropping := eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest}
	tests := map[string]struct {
		queue   eventbus.Queue
		options eventbus.QueueConfig
		event   eventbus.Event
		publish func(*eventbus.Bus, eventbus.Queue, eventbus.Event) error
		is      error
		names   []string
	}{
		"no type": {
			queue: eventbus.DataQueue, options: one, is: eventbus.ErrInvalidEvent, names: []string{"data", `""`, "type is empty"},
			publish: func(b *eventbus.Bus, q eventbus.Queue, _ eventbus.Event) error {
				return b.Publish(context.Background(), q, eventbus.Event{})
			},
		},
		"dropped": {
			queue: eventbus.DataQueue, options: dropping, is: eventbus.ErrDropped, names: []string{"data", `"tick"`},
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error {
				return b.Publish(context.Background(), q, e)
			},
		},
		"full": {
			queue: eventbus.SignalQueue, options: one, is: eventbus.ErrQueueFull, names: []string{"signal", `"tick"`},
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error {
				return b.TryPublish(context.Background(), q, e)
			},
		},
		"canceled": {
			queue: eventbus.OrderQueue, options: one, is: context.Canceled, names: []string{"order", `"tick"`},
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error {
				return b.Publish(bustest.Ended(), q, e)
			},
		},
		"closed": {
			queue: eventbus.OrderQueue, options: one, is: eventbus.ErrClosed, names: []string{"order", `"tick"`},
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error {
				_ = b.Shutdown(context.Background())
				return b.Publish(context.Background(), q, e)
			},
		},
		"no context": {
			queue: eventbus.OrderQueue, options: one, names: []string{"order", `"tick"`, "context is nil"},
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error {
				var none context.Context
				return b.Publish(none, q, e)
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, eventbus.WithQueue(test.queue, test.options))
			publish(t, b, test.queue, tick, "fills it")
			err := test.publish(b, test.queue, event(tick, nil))
			require.Error(t, err)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			for _, part := range test.names {
				require.ErrorContains(t, err, part)
			}
			s := b.Stats().Queues[test.queue]
			require.EqualValues(t, 1, s.Rejected+s.Dropped)
			require.EqualValues(t, 1, s.Accepted)
		})
	}
}

// From outside, a context that has ended is refused, though there is room.
func TestPublishRefusesAnEndedContext(t *testing.T) {
	b := newBus(t)
	e := event("tick", nil)
	topic := eventbus.NewTopic[any]("tick", eventbus.OrderQueue)
	ctx := bustest.Ended()
	_, batch := b.PublishBatch(ctx, eventbus.OrderQueue, []eventbus.Event{e})
	for name, err := range map[string]error{
		"Publish":       b.Publish(ctx, eventbus.OrderQueue, e),
		"TryPublish":    b.TryPublish(ctx, eventbus.OrderQueue, e),
		"PublishWait":   b.PublishWait(ctx, eventbus.OrderQueue, e),
		"PublishBatch":  batch,
		"Topic.Publish": topic.Publish(ctx, b, nil),
	} {
		require.ErrorIs(t, err, context.Canceled, name)
	}
	require.EqualValues(t, []uint64{5, 0}, []uint64{orders(b).Rejected, orders(b).Accepted})
}

// Publishing before Bus.Start and after Bus.Stop queues.
func TestPublishBeforeStartAndAfterStopQueues(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t)
		var got journal[string]
		b.SubscribeFunc(tick, got.handle)
		publish(t, b, eventbus.OrderQueue, tick, "before the first Start")
		synctest.Wait()
		require.Empty(t, got.all())
		start(t, b)
		synctest.Wait()
		b.Stop()
		synctest.Wait()
		publish(t, b, eventbus.OrderQueue, tick, "after Stop")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"before the first Start"}, got.all())
		require.Equal(t, 1, b.Stats().Queues[eventbus.OrderQueue].Depth)
		start(t, b)
		synctest.Wait()
		require.Equal(t, []string{"before the first Start", "after Stop"}, got.all())
	})
}

// From outside, a publish that waits leaves when its context ends or Shutdown begins.
func TestPublishLeavesWhenItsContextEndsAndWhenShutdownBegins(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, _, g := full(t, eventbus.QueueConfig{Capacity: 1})
		publish := func(ctx context.Context) <-chan error {
			result := bustest.InBackground(func() error { return b.Publish(ctx, eventbus.OrderQueue, event("order", 9)) })
			synctest.Wait()
			return result
		}
		forGood := publish(context.Background())
		const wait = 10*time.Second + 37*time.Millisecond // an odd time, which no poll would hit

		canceled, cancel := context.WithCancel(context.Background())
		waiting := publish(canceled)
		time.Sleep(wait)
		require.Empty(t, waiting)
		cancel()
		requireSoon(t, waiting, context.Canceled)

		waiting = publish(bustest.Within(t, wait))
		time.Sleep(wait)
		requireSoon(t, waiting, context.DeadlineExceeded)

		require.Empty(t, forGood)
		end := bustest.InBackground(func() error { return b.Shutdown(context.Background()) })
		requireSoon(t, forGood, eventbus.ErrClosed)
		require.Empty(t, end)
		g.open()
		require.NoError(t, receive(t, end))
	})
}

// requireSoon requires that what comes out of result within 10 ms is want.
func requireSoon(t *testing.T, result <-chan error, want error) {
	t.Helper()
	select {
	case err := <-result:
		require.ErrorIs(t, err, want)
	case <-time.After(10 * time.Millisecond):
		require.Fail(t, "the publisher has not left", "%v", want)
	}
}

// A publish at a full queue waits for one handler, or a millisecond more than it.
func TestPublishAtAFullQueueWaitsForOneHandler(t *testing.T) {
	for _, d := range []time.Duration{100 * time.Microsecond, 10 * time.Millisecond, time.Second} {
		bustest.Bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(100, eventbus.OrderQueue)...)
			b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { time.Sleep(d); return nil })
			publish(t, b, eventbus.OrderQueue, "order", 0)
			synctest.Wait()
			publish(t, b, eventbus.OrderQueue, "order", numbers(100)...)
			for i := range 20 {
				began := time.Now()
				publish(t, b, eventbus.OrderQueue, "order", i)
				require.LessOrEqual(t, time.Since(began), d+time.Millisecond)
			}
		})
	}
}

// A publish that finds room allocates nothing, reads no clock and starts no
// timer. The clock of the bus counts its readings; a topic's publish makes it count
// one.
func TestPublishWithRoomAllocatesNothingAndReadsNoClock(t *testing.T) {
	var readings, handled atomic.Int64
	b := startedBus(t, eventbus.WithClock(func() time.Time { readings.Add(1); return time.Now() }))
	const handlers = 10
	for range handlers {
		for _, typ := range []eventbus.EventType{"tick", "candle"} {
			b.SubscribeFunc(typ, func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
		}
	}
	ctx := bustest.Within(t, time.Hour)
	tick, candle := eventbus.NewEvent("tick", new(int), "test"), event("candle", nil)
	published := int64(0)
	for _, q := range bustest.EveryQueue {
		allocs := testing.AllocsPerRun(200, func() {
			for range 10 {
				if b.Publish(ctx, q, tick) != nil || b.TryPublish(ctx, q, candle) != nil {
					panic("refused")
				}
			}
			published += 20
			eventually(t, "the last handler", func() bool { return handled.Load() == published*handlers })
		})
		if !race.Enabled { // the race detector allocates
			require.Zero(t, allocs, "%v queue", q)
		}
	}
	require.Zero(t, readings.Load())
	require.NoError(t, eventbus.NewTopic[any]("tick", eventbus.DataQueue).Publish(ctx, b, nil))
	require.EqualValues(t, 1, readings.Load())
}

// A handler that waits for room at a full queue allocates nothing, wait after wait.
func TestPublishInAHandlerThatWaitsAllocatesNothing(t *testing.T) {
	b := newBus(t, holding(eventbus.OrderQueue, 1))
	allocs := make(chan float64, 1)
	order := event("order", nil)
	b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		allocs <- testing.AllocsPerRun(200, func() { // on one thread, so that most of the three have to wait
			for range 3 {
				if b.Publish(ctx, eventbus.OrderQueue, order) != nil {
					panic("refused")
				}
			}
		})
		return nil
	})
	start(t, b)
	publish(t, b, eventbus.DataQueue, tick, nil)
	if n := receive(t, allocs); !race.Enabled { // the race detector allocates
		require.Zero(t, n)
	}
	bustest.Flush(t, b)
}

// So do a publisher from outside, and handlers along a chain of full queues: while each run
// holds up the last one, the tick's waits for the signal's, which waits for the order's.
func TestPublishAlongFullQueuesAllocatesNothing(t *testing.T) {
	b := newBus(t, holding(eventbus.DataQueue, 1), holding(eventbus.SignalQueue, 1), holding(eventbus.OrderQueue, 1))
	passOn := func(to eventbus.Queue, e eventbus.Event) eventbus.HandlerFunc {
		return func(ctx context.Context, _ eventbus.Event) error { return b.Publish(ctx, to, e) }
	}
	order, handled := event("order", nil), make(chan struct{})
	b.SubscribeFunc(tick, passOn(eventbus.SignalQueue, event("signal", nil)))
	b.SubscribeFunc("signal", passOn(eventbus.OrderQueue, order))
	b.SubscribeFunc(order.Type, func(context.Context, eventbus.Event) error { handled <- struct{}{}; return nil })
	start(t, b)
	const full = 6 // each queue has one event waiting, and one at its handler
	e := event(tick, nil)
	n := testing.AllocsPerRun(200, func() { // on one thread
		for range full {
			if b.Publish(t.Context(), eventbus.DataQueue, e) != nil {
				panic("refused")
			}
		}
		for range 100 {
			runtime.Gosched() // to the handlers, which then wait
		}
		for range full {
			<-handled
		}
	})
	if !race.Enabled { // the race detector allocates, and sync.Pool drops some of what it gets
		require.Zero(t, n)
	}
}

// A bus may be used inside a testing/synctest bubble and outside of it, as one in a package
// variable is. What a publish makes stays there: to use it on the other side would be fatal,
// or its time would never be over.
func TestPublishTakesNothingThroughTheWallOfABubble(t *testing.T) {
	const timeout = 5 * time.Millisecond
	b, handled := newBus(t, holding(eventbus.DataQueue, 1), noPoll), make(chan struct{})
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { handled <- struct{}{}; return nil })
	start(t, b)
	wait := func(t *testing.T) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return b.Publish(ctx, eventbus.DataQueue, event(tick, nil))
	}
	for range 20 { // under the race detector sync.Pool forgets some
		publish(t, b, eventbus.DataQueue, tick, nil) // to the handler
		eventually(t, "the handler", func() bool { return b.Stats().Queues[eventbus.DataQueue].Depth == 0 })
		publish(t, b, eventbus.DataQueue, tick, nil) // fills the queue
		bustest.Bubble(t, func(t *testing.T) {
			require.ErrorIs(t, b.TryPublish(t.Context(), eventbus.DataQueue, event(tick, nil)), eventbus.ErrQueueFull)
			require.ErrorIs(t, wait(t), context.DeadlineExceeded)
		})
		require.ErrorIs(t, wait(t), context.DeadlineExceeded)
		accepted := bustest.InBackground(func() error { return b.Publish(t.Context(), eventbus.DataQueue, event(tick, nil)) })
		eventually(t, "the publish that waits", func() bool { return b.Stats().Queues[eventbus.DataQueue].Waiting == 1 })
		for range 3 {
			receive(t, handled)
		}
		require.NoError(t, receive(t, accepted))
	}
}
