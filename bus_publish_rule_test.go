package eventbus_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// No lock is held while user code runs: it may call every method.
func TestPublishHoldsNoLockWhileUserCodeRuns(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		var b *eventbus.Bus
		var asked sync.Map
		ask := func(ctx context.Context, where string) {
			if _, again := asked.LoadOrStore(where, true); again { // what it calls is logged too
				return
			}
			b.SubscribeFunc("another", pass).Unsubscribe()
			b.SubscribeAll(eventbus.HandlerFunc(pass)).Unsubscribe()
			_ = b.TryPublish(ctx, eventbus.DataQueue, event("another", 0))
			_ = b.Publish(bustest.Ended(), eventbus.SignalQueue, event("another", 0))
			_, _ = b.PublishBatch(ctx, eventbus.SignalQueue, []eventbus.Event{event("another", 0)})
			_ = b.Flush(bustest.Ended())
			_, _ = b.RunUntilIdle(bustest.Ended())
			_ = b.Pause(eventbus.SignalQueue)
			_ = b.Resume(eventbus.SignalQueue)
			if b.Stats().Running {
				b.Stop()
				_ = b.Start(context.Background())
			}
		}
		background := context.Background()
		log := logbook{level: slog.LevelDebug, onRecord: func(r slog.Record) { ask(background, r.Message) }}
		b = newBus(t, noPoll, log.logger(), capacity(eventbus.DataQueue, 1, eventbus.DropNewest, 0),
			eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 9, MaxAge: time.Hour, ConflateBy: func(eventbus.Event) string {
				ask(background, "key")
				return ""
			}}),
			eventbus.WithClock(func() time.Time { ask(background, "clock"); return time.Now() }),
			eventbus.WithErrorHandler(func(ctx context.Context, _ *eventbus.HandlerError) { ask(ctx, "error handler") }),
			eventbus.WithMiddleware(func(next eventbus.Handler) eventbus.Handler {
				return eventbus.HandlerFunc(func(ctx context.Context, e eventbus.Event) error {
					ask(ctx, "middleware")
					return next.Handle(ctx, e)
				})
			}))
		b.SubscribeFunc("order", func(ctx context.Context, _ eventbus.Event) error {
			ask(ctx, "handler")
			time.Sleep(time.Second)
			return bustest.ErrHandler
		}, eventbus.Where(func(eventbus.Event) bool { ask(background, "filter"); return true }))
		b.Subscribe("order", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			ask(ctx, "async handler")
			return nil
		}), time.Hour))
		for range 2 {
			_ = b.Publish(background, eventbus.DataQueue, event("nobody's", 0))
		}
		start(t, b)
		publish(t, b, eventbus.OrderQueue, "order", 0)
		bustest.Flush(t, b)
		b.Stop()
		time.Sleep(time.Hour)
		for _, where := range []string{
			"handler", "async handler", "middleware", "filter", "key", "clock", "error handler",
			"eventbus: handler failed", "eventbus: processor started", "eventbus: processor stopped",
			"eventbus: calling handler", "eventbus: event has no handler", "eventbus: queue is full, dropped an event",
			"eventbus: slow handler is still running", "eventbus: slow handler has ended",
		} {
			_, ok := asked.Load(where)
			require.True(t, ok, where)
		}
	})
}

// Bus.TryPublish never waits and neither drops, evicts nor defers.
func TestTryPublishNeverWaitsDropsEvictsOrDefers(t *testing.T) {
	for o := range eventbus.Overflow(3) {
		for from, q := range map[string]eventbus.Queue{"another queue": eventbus.DataQueue, "its own": eventbus.OrderQueue} {
			t.Run(o.String()+", "+from, func(t *testing.T) {
				bustest.Bubble(t, func(t *testing.T) {
					b := startedBus(t, capacity(eventbus.OrderQueue, 2, o, 0))
					filled, inside := make(chan struct{}), make(chan error, 1)
					g := newGate()
					b.SubscribeFunc("hold", g.handle)
					b.SubscribeFunc("ask", func(ctx context.Context, _ eventbus.Event) error {
						<-filled
						inside <- b.TryPublish(ctx, eventbus.OrderQueue, event("order", 9))
						return nil
					})
					publish(t, b, q, "ask", 0)
					synctest.Wait()
					if q != eventbus.OrderQueue {
						publish(t, b, eventbus.OrderQueue, "hold", 0)
						synctest.Wait()
					}
					publish(t, b, eventbus.OrderQueue, "order", 1, 2)
					instantly(t, "TryPublish", func() {
						require.ErrorIs(t, b.TryPublish(context.Background(), eventbus.OrderQueue, event("order", 9)), eventbus.ErrQueueFull)
						close(filled)
						require.ErrorIs(t, receive(t, inside), eventbus.ErrQueueFull)
					})
					s := orders(b)
					require.EqualValues(t, []uint64{2, 0, 0}, []uint64{s.Rejected, s.Dropped, s.Evicted})
					require.Zero(t, s.Deferred)
					g.open()
				})
			})
		}
	}
}

// A Bus.PublishBatch takes one place in line, and what is accepted is a prefix.
func TestPublishBatchTakesOnePlaceInLine(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := busy(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
		waiting := bustest.InBackground(func() batchResult { return publishBatch(context.Background(), b, series(3, 10)) })
		synctest.Wait()
		later := publishLater(t, b, 10)
		prefix := bustest.InBackground(func() batchResult { return publishBatch(bustest.Within(t, 10*time.Second), b, series(11, 20)) })
		synctest.Wait()
		require.Equal(t, 4, orders(b).Depth, "it takes the place that is free")
		for range 11 {
			g.release <- struct{}{}
			synctest.Wait()
		}
		require.Equal(t, batchResult{7, nil}, receive(t, waiting))
		require.NoError(t, receive(t, later))
		r := receive(t, prefix)
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Positive(t, r.accepted)
		require.Less(t, r.accepted, 9)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, upTo(-1, 11+r.accepted), got.all())
		require.Equal(t, 4, orders(b).HighWater)
	})
}

// A queue with DropOldest keeps the newest events, and a topic's rule never does.
// Each eviction is counted, whoever publishes.
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
					require.NoError(t, b.Publish(context.Background(), eventbus.SignalQueue, event("signal", p*each+i)))
				}
			})
		}
		wait(t, &wg)
		q := b.Stats().Queues[eventbus.SignalQueue]
		require.EqualValues(t, publishers*each, q.Accepted)
		require.EqualValues(t, publishers*each-capacity, q.Evicted)
		require.Equal(t, capacity, q.Depth)

		start(t, b)
		bustest.Flush(t, b)
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

func TestDropOldestIsNoTopicsRule(t *testing.T) {
	require.Regexp(t, "^eventbus: NewTopic x: WithOverflow: .*WithConflateBy",
		panicOf(func() { eventbus.NewTopic[int]("x", eventbus.DataQueue, eventbus.WithOverflow(eventbus.DropOldest, 0)) }))
	b := newBus(t, capacity(eventbus.OrderQueue, 1, eventbus.DropOldest, 0))
	topic := eventbus.NewTopic[int]("x", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.Block, 0))
	for way, publish := range topicWays(topic) {
		require.ErrorIs(t, publish(context.Background(), b, 1), eventbus.ErrInvalidEvent, way)
	}
	require.EqualValues(t, len(topicWays(topic)), orders(b).Rejected)
}

// With ConflateBy a queue holds one event a key, and the last of each is handled.
// A queue that conflates does what a list does in which a later event takes the
// place of the earlier one with its key.
func TestConflateByKeepsTheLastOfEachKey(t *testing.T) {
	symbols := []string{"", "A", "B", "C", "D", "E"}
	for seed := range uint64(many(200)) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := &quoteModel{capacity: 1 + r.IntN(6), overflow: eventbus.Overflow(r.IntN(3))}
		bustest.Bubble(t, func(t *testing.T) {
			b, _, g := busyAt(t, eventbus.DataQueue, "quote", quote{}, conflating(m.capacity, m.overflow))
			for i := range 60 {
				if r.IntN(4) == 0 {
					g.release <- struct{}{}
					synctest.Wait()
					m.step()
					if len(g.entered) == 0 { // nothing was queued: be stuck again
						publish(t, b, eventbus.DataQueue, "quote", quote{"", i})
						require.NoError(t, m.publish(quote{"", i}, false))
						m.step()
					}
					require.Equal(t, m.handled[len(m.handled)-1], receive(t, g.entered).Data, "seed %d", seed)
					continue
				}
				q := quote{symbols[r.IntN(len(symbols))], i}
				try := m.overflow == eventbus.Block || r.IntN(3) == 0
				want := m.publish(q, try)
				err := b.Publish
				if try {
					err = b.TryPublish
				}
				require.ErrorIs(t, err(t.Context(), eventbus.DataQueue, quoteOf(q.symbol, q.price)), want, "seed %d", seed)
			}
			s := b.Stats().Queues[eventbus.DataQueue]
			require.Equal(t, []uint64{m.accepted + 1, m.evicted, m.conflated}, []uint64{s.Accepted, s.Evicted, s.Conflated})
			require.Equal(t, len(m.waiting), s.Depth)
			left := leftBy(t, b.Shutdown(bustest.Ended()))
			var back []quote
			for _, e := range left.Remaining[eventbus.DataQueue] {
				back = append(back, e.Data.(quote))
			}
			require.Equal(t, append([]quote(nil), m.waiting...), back, "seed %d", seed)
		})
	}
}

// A quoteModel is a queue that conflates, in the simplest way.
type quoteModel struct {
	capacity int
	overflow eventbus.Overflow
	waiting  []quote
	handled  []quote

	accepted, evicted, conflated uint64
}

func (m *quoteModel) publish(q quote, try bool) error {
	for i, w := range m.waiting {
		if q.symbol != "" && w.symbol == q.symbol {
			m.waiting[i] = q
			m.accepted++
			m.conflated++
			return nil
		}
	}
	if len(m.waiting) == m.capacity {
		switch {
		case try || m.overflow == eventbus.Block:
			return eventbus.ErrQueueFull
		case m.overflow == eventbus.DropNewest:
			return eventbus.ErrDropped
		}
		m.waiting = m.waiting[1:]
		m.evicted++
	}
	m.waiting = append(m.waiting, q)
	m.accepted++
	return nil
}

func (m *quoteModel) step() {
	if len(m.waiting) > 0 {
		m.handled = append(m.handled, m.waiting[0])
		m.waiting = m.waiting[1:]
	}
}

// An event that is older than MaxAge when its turn comes reaches no handler. It is
// counted and logged, and the error handler is told how old it is.
func TestMaxAgeKeepsStaleEventsFromHandlers(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
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
		bustest.Flush(t, b)
		require.Equal(t, []any{500 * time.Millisecond, "stamped", "just in time", "from the future"}, handled)
		send(2*time.Second, time.Time{})
		synctest.Wait()
		send("stamped and too old", time.Time{})
		bustest.Flush(t, b)

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

// A topic's rules are those of its publishes, and no other's. A topic that says
// nothing about overflow keeps its queue's rule, one that does keeps that beside
// the rest, and a publish that is not the topic's has the queue's.
func TestTopicRulesAreThoseOfItsPublishes(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 1, Timeout: time.Second})
		own := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf), eventbus.WithMaxAge(time.Hour))
		drops := eventbus.NewTopic[trade]("other", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf), eventbus.WithOverflow(eventbus.DropNewest, 0))
		ctx := context.Background()
		require.NoError(t, own.Publish(ctx, b, trade{"BTC", 0}))
		began := time.Now()
		require.ErrorIs(t, drops.Publish(ctx, b, trade{"BTC", 1}), eventbus.ErrDropped)
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, own.Publish(ctx, b, trade{"ETH", 2}), eventbus.ErrQueueFull)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, b.Publish(ctx, eventbus.DataQueue, event("other", trade{"BTC", 3})), eventbus.ErrQueueFull)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.ErrorIs(t, b.Publish(ctx, eventbus.DataQueue, event("last", trade{"BTC", 4})), eventbus.ErrQueueFull, "it is not conflated")
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []trade{{"BTC", 0}}, got.all())
	})
}

// A Topic publishes its own type and payload, in each way that the bus has. At a full
// queue each has the topic's rules, and not the queue's.
func TestTopicPublishesInEachWayOfTheBus(t *testing.T) {
	topic := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf),
		eventbus.WithOverflow(eventbus.DropNewest, 0), eventbus.WithMaxAge(time.Second))
	for way, publish := range topicWays(topic) {
		t.Run(way, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 1})
				ctx := context.Background()
				require.NoError(t, topic.Publish(ctx, b, trade{"BTC", 0}))
				full := eventbus.ErrDropped
				if way == "TryPublish" {
					full = eventbus.ErrQueueFull
				}
				instantly(t, way, func() { require.ErrorIs(t, publish(ctx, b, trade{"ETH", 1}), full) })
				result := bustest.InBackground(func() error { return publish(ctx, b, trade{"BTC", 2}) })
				synctest.Wait()
				require.EqualValues(t, 1, b.Stats().Queues[eventbus.DataQueue].Conflated, "it replaces one, though the queue is full")
				g.open()
				require.NoError(t, receive(t, result))
				bustest.Flush(t, b)
				require.Equal(t, []trade{{"BTC", 2}}, got.all())

				g = hold(t, b, eventbus.DataQueue)
				late := bustest.InBackground(func() error { return publish(ctx, b, trade{"BTC", 3}) })
				synctest.Wait()
				time.Sleep(time.Second + time.Nanosecond)
				g.open()
				if err := receive(t, late); way == "PublishWait" {
					require.ErrorIs(t, err, eventbus.ErrExpired)
				}
				bustest.Flush(t, b)
				require.Len(t, got.all(), 1, "the topic's maximum age")
				require.EqualValues(t, 1, b.Stats().Queues[eventbus.DataQueue].Expired)
			})
		})
	}
}

// topicWays is every way to publish with topic.
func topicWays[T any](topic eventbus.Topic[T]) map[string]func(context.Context, *eventbus.Bus, T) error {
	return map[string]func(context.Context, *eventbus.Bus, T) error{
		"Publish": topic.Publish, "TryPublish": topic.TryPublish, "PublishWait": topic.PublishWait,
		"PublishBatch": func(ctx context.Context, b *eventbus.Bus, data T) error {
			_, err := topic.PublishBatch(ctx, b, []T{data})
			return err
		},
		"PublishEvent": func(ctx context.Context, b *eventbus.Bus, data T) error {
			return topic.PublishEvent(ctx, b, topic.Event(data))
		},
	}
}
