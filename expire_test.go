package eventbus_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/stretchr/testify/require"
)

func maxAge(q eventbus.Queue, n int, d time.Duration) eventbus.Option {
	return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n, MaxAge: d})
}

// D17: an event that has waited for too long is not handled. It is counted,
// logged, and the error handler is told how old it is.
func TestStaleEventsAreNotHandled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []*eventbus.HandlerError
		log := &logbook{level: slog.LevelWarn}
		b := startedBus(t, log.logger(), eventbus.WithSlowHandler(0), maxAge(eventbus.OrderQueue, 10, time.Second),
			eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { told = append(told, err) }))
		var handled []any
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			handled = append(handled, e.Data)
			if d, ok := e.Data.(time.Duration); ok {
				time.Sleep(d)
			}
			return nil
		})
		send := func(data any, at time.Time) {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "order", Data: data, Time: at}))
		}
		now := time.Now()
		send(500*time.Millisecond, time.Time{})
		synctest.Wait()
		send("stamped", time.Time{})
		send("just in time", now.Add(-500*time.Millisecond))
		send("too old", now.Add(-500*time.Millisecond-1))
		send("from the future", now.Add(time.Hour))
		send("much too old", now.Add(-time.Hour))
		flush(t, b)
		require.Equal(t, []any{500 * time.Millisecond, "stamped", "just in time", "from the future"}, handled)
		send(2*time.Second, time.Time{})
		synctest.Wait()
		send("stamped and too old", time.Time{})
		flush(t, b)

		q := b.Stats().Queues[eventbus.OrderQueue]
		require.Equal(t, time.Second, q.MaxAge)
		require.EqualValues(t, []uint64{8, 5, 3, 0, 0}, []uint64{q.Accepted, q.Handled, q.Expired, q.Failed, q.Unhandled})
		require.Len(t, told, 3)
		require.ErrorIs(t, told[0], eventbus.ErrExpired)
		require.Equal(t, "too old", told[0].Event.Data)
		require.Equal(t, eventbus.OrderQueue, told[0].Queue)
		require.EqualError(t, told[0], "eventbus: no handler got order of the order queue: "+
			"eventbus: event expired: it is 1.000000001s old, the limit is 1s")
		require.ErrorContains(t, told[1], "it is 1h0m0.5s old")
		require.ErrorContains(t, told[2], "it is 2s old")
		require.Len(t, log.find("eventbus: event was too old to be handled"), 2)
		require.EqualValues(t, 1, log.find("eventbus: event was too old to be handled")[1].attrs["not_logged_before"])
	})
}

// However the log and the error handler fail, the events after a stale one are
// handled, and the accounts balance.
func TestAFailureInTellingOfAStaleEventIsContained(t *testing.T) {
	fail := map[string]func(){
		"panic": func() { panic("no") },
		"exit":  runtime.Goexit,
	}
	for name, fail := range fail {
		bubble(t, func(t *testing.T) {
			told := 0
			log := &logbook{level: slog.LevelWarn, onRecord: func(r slog.Record) {
				if r.Level == slog.LevelWarn {
					fail()
				}
			}}
			b := newBus(t, log.logger(), maxAge(eventbus.OrderQueue, 10, time.Second),
				eventbus.WithErrorHandler(func(context.Context, *eventbus.HandlerError) { told++; fail() }))
			var got journal[int]
			b.SubscribeFunc("order", got.handle)
			for i := range 6 {
				e := numbered("order", i)
				if i%2 == 1 {
					e.Time = time.Now().Add(-time.Hour)
				}
				require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, e))
			}
			start(t, b)
			shutdown(t, b)
			require.Equal(t, []int{0, 2, 4}, got.all(), name)
			require.Equal(t, 3, told, name)
			q := b.Stats().Queues[eventbus.OrderQueue]
			require.EqualValues(t, []uint64{6, 3, 3}, []uint64{q.Accepted, q.Handled, q.Expired}, name)
		})
	}
}

// What expires while the bus is stopped is handed back all the same, as it was
// published.
func TestShutdownHandsBackStaleEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBus(t, maxAge(eventbus.OrderQueue, 10, time.Second))
		publish(t, b, eventbus.OrderQueue, "order", 1, 2)
		time.Sleep(time.Minute)
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(t.Context()), &left)
		require.Equal(t, []int{1, 2}, numbersOf(left.Remaining[eventbus.OrderQueue]))
		require.Zero(t, b.Stats().Queues[eventbus.OrderQueue].Expired)
	})
}

// A flood of stale events makes a few log lines, which add up.
func TestStaleEventsAreLoggedOnceASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &logbook{level: slog.LevelWarn}
		b := newBus(t, noPoll, log.logger(), maxAge(eventbus.OrderQueue, 1000, time.Second))
		publish(t, b, eventbus.OrderQueue, "order", numbers(1000)...)
		time.Sleep(time.Minute)
		start(t, b)
		shutdown(t, b)
		lines := log.above(slog.LevelInfo)
		require.Len(t, lines, 2)
		require.EqualValues(t, 1, lines[0].attrs["events"])
		require.EqualValues(t, 999, lines[1].attrs["events"])
		require.EqualValues(t, 1000, b.Stats().Queues[eventbus.OrderQueue].Expired)
	})
	bubble(t, func(t *testing.T) { // nor need the bus stop for that
		log := &logbook{level: slog.LevelWarn}
		b := newBus(t, log.logger(), maxAge(eventbus.OrderQueue, 10, time.Second))
		publish(t, b, eventbus.OrderQueue, "order", 1, 2, 3)
		time.Sleep(time.Minute)
		start(t, b)
		time.Sleep(2 * time.Second)
		require.Len(t, log.above(slog.LevelInfo), 2)
	})
}

// An event that was replaced is as old as the one that replaced it.
func TestConflationRenewsAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue,
			eventbus.QueueConfig{Capacity: 10, ConflateBy: bySymbol, MaxAge: time.Second}))
		publish(t, b, eventbus.DataQueue, "quote", quote{"A", 1}, quote{"B", 1})
		time.Sleep(time.Minute)
		publish(t, b, eventbus.DataQueue, "quote", quote{"A", 2})
		var got journal[quote]
		b.SubscribeFunc("quote", got.handle)
		start(t, b)
		flush(t, b)
		require.Equal(t, []quote{{"A", 2}}, got.all())
		q := b.Stats().Queues[eventbus.DataQueue]
		require.EqualValues(t, []uint64{3, 1, 1, 1}, []uint64{q.Accepted, q.Handled, q.Conflated, q.Expired})
	})
}

func TestANegativeMaxAgeIsRefused(t *testing.T) {
	_, err := eventbus.New(maxAge(eventbus.DataQueue, 1, -time.Second))
	require.EqualError(t, err, "eventbus: New: WithQueue: data queue: the maximum age is -1s, want 0 or more")
}

// Only a queue that has a MaxAge stamps events.
func TestAnEventWithoutATimeKeepsIt(t *testing.T) {
	b := startedBus(t, maxAge(eventbus.OrderQueue, 10, time.Hour), eventbus.WithQueue(eventbus.DataQueue,
		eventbus.QueueConfig{Capacity: 10, ConflateBy: func(eventbus.Event) string { return "key" }}))
	times := make(chan time.Time, 2)
	b.SubscribeFunc("e", func(_ context.Context, e eventbus.Event) error { times <- e.Time; return nil })
	require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "e"}))
	require.True(t, receive(t, times).IsZero())
	require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "e"}))
	require.WithinDuration(t, time.Now(), receive(t, times), patience)
}

// Nobody gets an event that has expired, taps included.
func TestATapDoesNotGetWhatHasExpired(t *testing.T) {
	b := eventbustest.New(t, eventbustest.NotStarted(), eventbustest.WithBus(maxAge(eventbus.OrderQueue, 4, time.Second), eventbus.WithClock(time.Now)))
	rec := eventbustest.NewRecorder(t, b) // a tap
	fresh := eventbus.Event{Type: "order", Time: time.Now()}
	for _, e := range []eventbus.Event{{Type: "order", Time: fresh.Time.Add(-time.Hour)}, fresh} {
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, e))
	}
	runUntilIdle(t, b)
	require.Equal(t, []eventbus.Event{fresh}, rec.Events())
	require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Expired)
	require.EqualValues(t, 1, b.Stats().Handlers[0].Calls)
}
