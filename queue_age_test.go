package eventbus_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A handler can tell how long its event has waited, however it was published, so
// that it can leave alone what is too old.
func TestDeliveryFromTellsHowLongTheEventHasWaited(t *testing.T) {
	fills := eventbus.NewTopic[*int]("fill", eventbus.OrderQueue)
	for name, c := range map[string]struct {
		maxAge  time.Duration
		publish func(*eventbus.Bus) error
	}{
		"NewEvent": {0, func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent("fill", new(int), "test"))
		}},
		"topic": {0, func(b *eventbus.Bus) error { return fills.Publish(context.Background(), b, new(int)) }},
		"without a time": {time.Hour, func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.OrderQueue, event("fill", new(int)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := startedBus(t, maxAge(eventbus.OrderQueue, 10, c.maxAge))
				var waited journal[time.Duration]
				b.SubscribeFunc("fill", func(ctx context.Context, e eventbus.Event) error {
					d, ok := eventbus.DeliveryFrom(ctx)
					require.True(t, ok)
					require.Equal(t, e, d.Event)
					waited.add(time.Since(d.Event.Time))
					time.Sleep(time.Second)
					return nil
				})
				for range 5 {
					require.NoError(t, c.publish(b))
				}
				bustest.Flush(t, b)
				require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}, waited.all())
			})
		})
	}
}

// However the log and the error handler fail, the events after a stale one are
// handled, and the accounts balance.
func TestMaxAgeContainsAFailureToTellOfIt(t *testing.T) {
	fail := map[string]func(){
		"panic": func() { panic("no") },
		"exit":  runtime.Goexit,
	}
	for name, fail := range fail {
		bustest.Bubble(t, func(t *testing.T) {
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
				e := event("order", i)
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

// A flood of stale events makes a few log lines, which add up.
func TestMaxAgeIsLoggedOnceASecond(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
	bustest.Bubble(t, func(t *testing.T) { // nor need the bus stop for that
		log := &logbook{level: slog.LevelWarn}
		b := newBus(t, log.logger(), maxAge(eventbus.OrderQueue, 10, time.Second))
		publish(t, b, eventbus.OrderQueue, "order", 1, 2, 3)
		time.Sleep(time.Minute)
		start(t, b)
		time.Sleep(2 * time.Second)
		require.Len(t, log.above(slog.LevelInfo), 2)
	})
}

// Only a queue that has a MaxAge stamps events.
func TestMaxAgeAloneStampsEvents(t *testing.T) {
	b := startedBus(t, maxAge(eventbus.OrderQueue, 10, time.Hour), eventbus.WithQueue(eventbus.DataQueue,
		eventbus.QueueConfig{Capacity: 10, ConflateBy: func(eventbus.Event) string { return "key" }}))
	times := make(chan time.Time, 2)
	b.SubscribeFunc("e", func(_ context.Context, e eventbus.Event) error { times <- e.Time; return nil })
	publish(t, b, eventbus.DataQueue, "e", nil)
	require.True(t, receive(t, times).IsZero())
	publish(t, b, eventbus.OrderQueue, "e", nil)
	require.WithinDuration(t, time.Now(), receive(t, times), bustest.Patience)
}

// Nobody gets an event that has expired, taps included.
func TestMaxAgeHoldsForTapsToo(t *testing.T) {
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
