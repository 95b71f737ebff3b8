package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// D12: with DropOldest exactly the newest events are kept, and every eviction is
// counted, whoever publishes.
func TestDropOldestKeepsTheNewest(t *testing.T) {
	const capacity = 64
	each := many(20_000)
	for _, publishers := range []int{1, 10} {
		b := newBus(t, noPoll, eventbus.WithQueue(eventbus.SignalQueue,
			eventbus.QueueConfig{Capacity: capacity, Overflow: eventbus.DropOldest}))
		var log journal[int]
		b.SubscribeFunc("signal", log.handle)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, numbered("signal", p*each+i)))
				}
			})
		}
		wg.Wait()
		q := b.Stats().Queues[eventbus.SignalQueue]
		require.EqualValues(t, publishers*each, q.Accepted)
		require.EqualValues(t, publishers*each-capacity, q.Evicted)
		require.Equal(t, capacity, q.Depth)

		start(t, b)
		require.NoError(t, b.Flush(t.Context()))
		of := make([][]int, publishers)
		for _, n := range log.all() {
			of[n/each] = append(of[n/each], n)
		}
		for p, kept := range of { // of each publisher, the last it published
			require.Equal(t, upTo((p+1)*each-len(kept), (p+1)*each), kept)
		}
		require.Len(t, log.all(), capacity)
	}
}

// D12: also while a handler is stuck, whose event is not touched.
func TestDropOldestKeepsTheNewestBehindAStuckHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, g := stuck(t, 10, eventbus.DropOldest, 0)
		publish(t, b, eventbus.OrderQueue, "order", numbers(103)...)
		g.open()
		flush(t, b)
		for i := range 10 {
			require.Equal(t, 93+i, receive(t, g.entered).Data)
		}
		require.Empty(t, g.entered)
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.EqualValues(t, []uint64{114, 11, 103, 0}, []uint64{q.Accepted, q.Handled, q.Evicted, q.Dropped})
	})
}

// D27: no number of refusals spoils what comes after them.
func TestRefusalsLeaveNoTrace(t *testing.T) {
	const refused = 1000
	for name, publish := range map[string]func(*eventbus.Bus) error{
		"try": func(b *eventbus.Bus) error {
			return b.TryPublish(context.Background(), eventbus.OrderQueue, numbered("n", -1))
		},
		"context": func(b *eventbus.Bus) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return b.Publish(ctx, eventbus.OrderQueue, numbered("n", -1))
		},
		"timeout": func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.SignalQueue, numbered("n", -1))
		},
		"drop": func(b *eventbus.Bus) error {
			return b.Publish(context.Background(), eventbus.DataQueue, numbered("n", -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBus(t, noPoll)
				for _, q := range everyQueue {
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
				flush(t, b)
				for i := range refused {
					require.NoError(t, b.TryPublish(t.Context(), everyQueue[i/50%3], numbered("n", i)))
					if i%50 == 49 {
						flush(t, b)
					}
				}
				require.Equal(t, upTo(0, refused), log.all())
				stats := b.Stats()
				require.EqualValues(t, 1150+refused, stats.Queues[0].Handled+stats.Queues[1].Handled+stats.Queues[2].Handled)
			})
		})
	}
}

// D28: a million losses are counted one by one and logged in a few lines, which
// add up to the same number.
func TestAMillionDropsMakeAFewLogLines(t *testing.T) {
	for rule, drops := range map[eventbus.Overflow]int{
		eventbus.DropNewest: many(1_000_000),
		eventbus.DropOldest: many(100_000),
	} {
		bubble(t, func(t *testing.T) {
			log := &logbook{level: slog.LevelWarn}
			b := newBus(t, noPoll, log.logger(),
				eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1, Overflow: rule}))
			lost := 0
			for i := range drops + 1 {
				if err := b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "tick"}); errors.Is(err, eventbus.ErrDropped) {
					lost++
				}
				if i == drops/2 {
					time.Sleep(time.Second)
				}
			}
			q := b.Stats().Queues[eventbus.DataQueue]
			if rule == eventbus.DropNewest {
				require.EqualValues(t, []int{drops, drops, 0}, []int{lost, int(q.Dropped), int(q.Evicted)})
			} else {
				require.EqualValues(t, []int{0, 0, drops}, []int{lost, int(q.Dropped), int(q.Evicted)})
			}
			start(t, b)
			require.NoError(t, b.Shutdown(t.Context()))
			lines := log.above(slog.LevelInfo)
			require.LessOrEqual(t, len(lines), 4)
			told := 0
			for _, l := range lines {
				for _, key := range []string{"events", "not_logged_before"} {
					if v, ok := l.attrs[key]; ok {
						told += int(v.(uint64))
					}
				}
			}
			require.Equal(t, drops, told)
		})
	}
}

// D17: a handler can tell how long its event has waited, however it was
// published, so that it can leave alone what is too old.
func TestHandlersCanTellHowLongEventsWaited(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
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
				flush(t, b)
				require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}, waited.all())
			})
		})
	}
}
