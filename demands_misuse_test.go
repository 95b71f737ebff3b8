package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// D20: whatever is called when it should not be gets an answer: a typed error or
// nothing, but no panic and no hang.
func TestMisuseOfTheLifeCycleIsAnswered(t *testing.T) {
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
		{"Start with an ended context", fresh, func(b bus) error { return b.Start(ended()) }, context.Canceled},
		{"Start without a context", fresh, func(b bus) error { return b.Start(none) }, anError},
		{"Stop before Start", fresh, func(b bus) error { b.Stop(); return b.Start(ctx) }, nil},
		{"Stop twice", stopped, func(b bus) error { b.Stop(); return b.Start(ctx) }, nil},
		{"Start after Shutdown with a context that has ended", closed, func(b bus) error { return b.Start(ended()) }, eventbus.ErrClosed},
		{"Stop after Shutdown", closed, func(b bus) error { b.Stop(); return b.Start(ctx) }, eventbus.ErrClosed},
		{"Shutdown before Start", fresh, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown before Start, events", queued, func(b bus) error { return b.Shutdown(ctx) }, eventbus.ErrNotRunning},
		{"Shutdown after Stop", stopped, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown twice", closed, func(b bus) error { return b.Shutdown(ctx) }, nil},
		{"Shutdown twice, events", closedWithEvents, func(b bus) error { return b.Shutdown(ctx) }, eventbus.ErrNotRunning},
		{"kill switch after Shutdown", closed, func(b bus) error { return b.Shutdown(ended()) }, nil},
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
		{"kill switch in a handler", started, inHandler(func(_ context.Context, b bus) error { return b.Shutdown(ended()) }), context.Canceled},
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
			bubble(t, func(t *testing.T) {
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

// D20: of concurrent calls of Shutdown each gets the same result.
func TestConcurrentShutdownsAgree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		deaf := make(chan struct{})
		defer close(deaf)
		b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { <-deaf; return nil })
		for i := range 3 {
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		synctest.Wait()
		results := make([]error, 8)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = b.Shutdown(within(t, time.Duration(i+1)*time.Second)) })
		}
		began := time.Now()
		wg.Wait()
		require.Equal(t, time.Second, time.Since(began))
		given := 0
		for _, err := range results {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var left *eventbus.ShutdownError
			require.ErrorAs(t, err, &left)
			require.Equal(t, left.HandedOver, len(left.Remaining) == 0, "%v", left)
			given += len(left.Remaining[eventbus.DataQueue])
		}
		require.Equal(t, 2, given, "handed over once")
	})
}

// D31: configuration that makes no sense is refused by name, and Stats shows
// what applies.
func TestConfigurationIsCheckedAndShown(t *testing.T) {
	queue := func(q eventbus.Queue, c eventbus.QueueConfig) eventbus.Option { return eventbus.WithQueue(q, c) }
	order := eventbus.OrderQueue
	for _, c := range []struct {
		want string
		opt  eventbus.Option
	}{
		{`capacity is 0\b`, queue(order, eventbus.QueueConfig{})},
		{`capacity is -1\b`, queue(order, eventbus.QueueConfig{Capacity: -1})},
		{`capacity is 16777217\b`, queue(order, eventbus.QueueConfig{Capacity: 1<<24 + 1})},
		{`overflow .*is Overflow\(9\)`, queue(order, eventbus.QueueConfig{Capacity: 1, Overflow: 9})},
		{`timeout is -1s`, queue(order, eventbus.QueueConfig{Capacity: 1, Timeout: -time.Second})},
		{`timeout is 1s`, queue(order, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest, Timeout: time.Second})},
		{`maximum age is -1s`, queue(order, eventbus.QueueConfig{Capacity: 1, MaxAge: -time.Second})},
		{`Queue\(3\)`, queue(3, eventbus.QueueConfig{Capacity: 1})},
		{`WithPollInterval: .* 0s`, eventbus.WithPollInterval(0)},
		{`WithPollInterval: .* -1s`, eventbus.WithPollInterval(-time.Second)},
		{`WithSlowHandler: .* -1s`, eventbus.WithSlowHandler(-time.Second)},
		{`WithSpin: .* -1s`, eventbus.WithSpin(-time.Second)},
		{`WithLogger: .*nil`, eventbus.WithLogger(nil)},
		{`WithErrorHandler: .*nil`, eventbus.WithErrorHandler(nil)},
		{`option 0 is nil`, nil},
	} {
		b, err := eventbus.New(c.opt)
		require.Error(t, err, c.want)
		require.Regexp(t, `(?i)`+c.want, err.Error())
		require.Nil(t, b, c.want)
	}
	_, err := eventbus.New(queue(order, eventbus.QueueConfig{}))
	require.ErrorContains(t, err, "order")
	_, err = eventbus.New(queue(200, eventbus.QueueConfig{Capacity: 1}))
	require.ErrorIs(t, err, eventbus.ErrUnknownQueue)

	type applied struct {
		capacity int
		overflow eventbus.Overflow
		timeout  time.Duration
	}
	b := newBus(t, noPoll, queue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 7, Overflow: eventbus.DropNewest, Timeout: time.Minute}))
	var got []applied
	for i, q := range b.Stats().Queues {
		require.EqualValues(t, i, q.Queue)
		got = append(got, applied{q.Capacity, q.Overflow, q.Timeout})
	}
	require.Equal(t, []applied{
		{1000, eventbus.DropNewest, time.Second},
		{7, eventbus.DropNewest, time.Minute},
		{50, eventbus.Block, 0},
	}, got)
	require.Contains(t, fmt.Sprint(b.Stats()), "1000")
}
