package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tick eventbus.EventType = "tick"

func TestNewWithoutOptionsHasTheDocumentedQueues(t *testing.T) {
	b, err := eventbus.New()
	require.NoError(t, err)
	for q, want := range map[eventbus.Queue]eventbus.QueueConfig{
		eventbus.DataQueue:   {Capacity: 1000, Overflow: eventbus.DropNewest, Timeout: time.Second},
		eventbus.SignalQueue: {Capacity: 100, Overflow: eventbus.Block, Timeout: 5 * time.Second},
		eventbus.OrderQueue:  {Capacity: 50, Overflow: eventbus.Block, Timeout: 0},
	} {
		s := b.Stats().Queues[q]
		assert.Equal(t, want, eventbus.QueueConfig{Capacity: s.Capacity, Overflow: s.Overflow, Timeout: s.Timeout}, q)
	}
}

func TestWithQueueReplacesOneQueue(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 7, Overflow: eventbus.DropOldest}))
	s := b.Stats()
	require.Equal(t, 7, s.Queues[eventbus.SignalQueue].Capacity)
	require.Equal(t, eventbus.DropOldest, s.Queues[eventbus.SignalQueue].Overflow)
	require.Equal(t, 1000, s.Queues[eventbus.DataQueue].Capacity)
}

func TestNewRefusesInvalidOptionsByName(t *testing.T) {
	queue := func(c eventbus.QueueConfig) eventbus.Option { return eventbus.WithQueue(eventbus.OrderQueue, c) }
	tests := map[string]struct {
		option eventbus.Option
		wrong  string
		right  string
		is     error
	}{
		"nil option":            {option: nil, wrong: "option 1 is nil"},
		"nil logger":            {option: eventbus.WithLogger(nil), wrong: "WithLogger: the logger is nil", right: "slog.DiscardHandler"},
		"unknown queue":         {option: eventbus.WithQueue(3, eventbus.QueueConfig{Capacity: 1}), wrong: "WithQueue: eventbus: unknown queue: Queue(3)", is: eventbus.ErrUnknownQueue},
		"zero queue":            {option: queue(eventbus.QueueConfig{}), wrong: "WithQueue: order queue: the capacity is 0", right: "want 1 to 16777216"},
		"negative capacity":     {option: queue(eventbus.QueueConfig{Capacity: -5}), wrong: "the capacity is -5", right: "want 1 to 16777216"},
		"huge capacity":         {option: queue(eventbus.QueueConfig{Capacity: 16_777_217}), wrong: "the capacity is 16777217", right: "want 1 to 16777216"},
		"unknown overflow":      {option: queue(eventbus.QueueConfig{Capacity: 1, Overflow: 3}), wrong: "the overflow rule is Overflow(3)", right: "want Block, DropNewest or DropOldest"},
		"negative timeout":      {option: queue(eventbus.QueueConfig{Capacity: 1, Timeout: -time.Second}), wrong: "the timeout is -1s", right: "want 0 or more"},
		"DropOldest that waits": {option: queue(eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest, Timeout: time.Second}), wrong: "the timeout is 1s", right: "want 0: DropOldest never waits"},
		"zero poll":             {option: eventbus.WithPollInterval(0), wrong: "WithPollInterval: the interval is 0s", right: "want more than 0"},
		"negative poll":         {option: eventbus.WithPollInterval(-time.Second), wrong: "WithPollInterval: the interval is -1s", right: "want more than 0"},
		"negative slow handler": {option: eventbus.WithSlowHandler(-time.Second), wrong: "WithSlowHandler: the limit is -1s", right: "want 0 or more"},
		"nil error handler":     {option: eventbus.WithErrorHandler(nil), wrong: "WithErrorHandler: the function is nil"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := eventbus.New(eventbus.WithLogger(discard), test.option)
			require.Nil(t, b)
			require.ErrorContains(t, err, "eventbus: New: ")
			require.ErrorContains(t, err, test.wrong)
			require.ErrorContains(t, err, test.right)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestNewTakesTheLimitsOfItsOptions(t *testing.T) {
	for name, option := range map[string]eventbus.Option{
		"capacity 1":      eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 1}),
		"poll of 1 ns":    eventbus.WithPollInterval(1),
		"no slow handler": eventbus.WithSlowHandler(0),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventbus.New(option)
			require.NoError(t, err)
		})
	}
}

func TestNewLogsToTheDefaultLoggerOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := slog.Default()
		defer slog.SetDefault(before)
		var mine, later logbook
		slog.SetDefault(slog.New(&mine))
		b, err := eventbus.New()
		require.NoError(t, err)
		slog.SetDefault(slog.New(&later))
		start(t, b)
		shutdown(t, b)
		require.Len(t, mine.find("eventbus: processor started"), 3)
		require.Empty(t, later.above(slog.LevelDebug))
	})
}

func TestNewEventIsStampedWithTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := eventbus.NewEvent(tick, 42, "feed")
		require.Equal(t, eventbus.Event{Type: tick, Data: 42, Source: "feed", Time: time.Now()}, e)
	})
}

func TestEventsOfOnePublisherAreHandledInOrder(t *testing.T) {
	const publishers, each = 4, 2000
	for q := range eventbus.Queue(3) {
		t.Run(q.String(), func(t *testing.T) {
			b := newBus(t, eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: 10}))
			var next [publishers]int
			b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
				got := e.Data.([2]int)
				if want := next[got[0]]; got[1] != want {
					return fmt.Errorf("publisher %d: got event %d, want %d", got[0], got[1], want)
				}
				next[got[0]]++
				return nil
			})
			start(t, b)
			var done [publishers]<-chan error
			for p := range publishers {
				done[p] = inBackground(func() error {
					for i := range each {
						if err := b.Publish(context.Background(), q, event(tick, [2]int{p, i})); err != nil {
							return err
						}
					}
					return nil
				})
			}
			for _, d := range done {
				require.NoError(t, receive(t, d))
			}
			flush(t, b)
			require.Zero(t, b.Stats().Queues[q].Failed)
			require.Equal(t, [publishers]int{each, each, each, each}, next)
		})
	}
}

func TestPublishBeforeStartAndAfterStopQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// Every publish is counted by what it returned, and the events of those that
// returned nil, and of no other, are handled or handed back.
func TestNilMeansHandledOrHandedBackAndAnErrorMeansNeither(t *testing.T) {
	rules := map[string]eventbus.QueueConfig{
		"block":       {Capacity: 5, Timeout: 3 * time.Millisecond},
		"drop newest": {Capacity: 5, Overflow: eventbus.DropNewest, Timeout: 3 * time.Millisecond},
		"at once":     {Capacity: 5, Overflow: eventbus.DropNewest},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
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
				err := b.Shutdown(within(t, 2500*time.Microsecond))
				var left *eventbus.ShutdownError
				require.ErrorAs(t, err, &left)
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

func TestPublishErrorsNameTheQueueAndTheTypeAndWorkWithErrorsIs(t *testing.T) {
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
			publish: func(b *eventbus.Bus, q eventbus.Queue, e eventbus.Event) error { return b.Publish(ended(), q, e) },
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

func TestPublishToAnUnknownQueueIsRefused(t *testing.T) {
	b := newBus(t)
	for _, publish := range []func(context.Context, eventbus.Queue, eventbus.Event) error{b.Publish, b.TryPublish} {
		err := publish(context.Background(), 3, event(tick, nil))
		require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
		require.ErrorContains(t, err, "Queue(3)")
		require.ErrorContains(t, err, string(tick), "the type")
	}
}

func TestPublishRefusesAnEndedContextThoughThereIsRoom(t *testing.T) {
	b := newBus(t)
	require.ErrorIs(t, b.Publish(ended(), eventbus.OrderQueue, event(tick, nil)), context.Canceled)
	require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Rejected)
	require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Accepted)
}

// The bus hands over what it was given: no field is filled in, and the
// publisher's variable and the handlers' copies are independent.
func TestTheBusNeverWritesToAnEvent(t *testing.T) {
	b := newBus(t)
	payload := &struct{ price int }{100}
	sent := eventbus.Event{Type: tick, Data: payload} // neither Source nor Time
	var got []eventbus.Event
	for range 2 {
		b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
			got = append(got, e)
			e.Type, e.Source = "changed", "handler"
			return errors.New("so that the error handler sees it too")
		})
	}
	want := sent
	require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, sent))
	sent.Type, sent.Data = "reused", nil
	start(t, b)
	shutdown(t, b)
	require.Equal(t, []eventbus.Event{want, want}, got)
	require.Same(t, payload, got[1].Data)
	require.Equal(t, 100, payload.price)
}

// Whatever the bus does while a handler runs, it holds no lock that the
// handler could need.
func TestHandlersMayCallEveryMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t)
		var got journal[string]
		b.SubscribeFunc(tick, func(ctx context.Context, e eventbus.Event) error {
			if e.Data != "first" {
				return nil
			}
			s := b.SubscribeFunc("other", got.handle)
			s.Unsubscribe()
			assert.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event(tick, "second")))
			assert.NoError(t, b.TryPublish(ctx, eventbus.SignalQueue, event(tick, "third")))
			assert.ErrorIs(t, b.Start(ctx), eventbus.ErrRunning)
			assert.ErrorIs(t, b.Flush(ctx), eventbus.ErrWouldDeadlock)
			assert.True(t, b.Stats().Running)
			b.Stop()
			assert.NoError(t, b.Start(context.Background()))
			assert.ErrorIs(t, b.Shutdown(ctx), eventbus.ErrWouldDeadlock)
			got.add("done")
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.OrderQueue, tick, "first")
		synctest.Wait()
		require.Equal(t, []string{"done"}, got.all())
		shutdown(t, b)
		require.EqualValues(t, 2, b.Stats().Queues[eventbus.OrderQueue].Handled)
	})
}
