package eventbus_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
	"github.com/eventbus-go/eventbus/internal/race"
)

// A quote is the data of an event with a key.
type quote struct {
	symbol string
	price  int
}

func bySymbol(e eventbus.Event) string { return e.Data.(quote).symbol }

func quoteOf(symbol string, price int) eventbus.Event {
	return eventbus.Event{Type: "quote", Data: quote{symbol, price}}
}

// conflating is the option for a data queue that conflates quotes by symbol.
func conflating(n int, o eventbus.Overflow) eventbus.Option {
	return eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: n, Overflow: o, ConflateBy: bySymbol})
}

// Under many publishers, each of which has its own symbols, the prices of a
// symbol are handled in order and the last one arrives.
func TestConflateByDeliversTheLastOfEveryKey(t *testing.T) {
	const publishers, symbols, rounds = 4, 20, 100
	for _, capacity := range []int{1, 7, 1000} {
		b := newBus(t, noPoll, conflating(capacity, eventbus.Block))
		last := make(map[string]int)
		var handled int
		b.SubscribeFunc("quote", func(_ context.Context, e eventbus.Event) error {
			q := e.Data.(quote)
			if q.price <= last[q.symbol] {
				return fmt.Errorf("%v after %d", q, last[q.symbol])
			}
			last[q.symbol] = q.price
			if handled++; handled%16 == 0 {
				runtime.Gosched()
			}
			return nil
		})
		start(t, b)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for price := range rounds {
					for s := range symbols {
						publish(t, b, eventbus.DataQueue, "quote", quote{fmt.Sprint(p, "/", s), price + 1})
					}
				}
			})
		}
		wait(t, &wg)
		bustest.Flush(t, b)
		q := b.Stats().Queues[eventbus.DataQueue]
		require.Zero(t, q.Failed)
		require.EqualValues(t, publishers*symbols*rounds, q.Accepted)
		require.EqualValues(t, q.Accepted, q.Handled+q.Conflated)
		require.EqualValues(t, handled, q.Handled)
		require.Len(t, last, publishers*symbols)
		for symbol, price := range last {
			require.Equal(t, rounds, price, symbol)
		}
		require.LessOrEqual(t, q.HighWater, q.Capacity)
	}
}

// Publishers race each other for the same keys, and Shutdown, under every rule.
func TestConflateByBalancesItsAccounts(t *testing.T) {
	for o := range eventbus.Overflow(3) {
		for range many(50) {
			b := newBus(t, noPoll, conflating(3, o))
			var handled atomic.Int64
			b.SubscribeFunc("quote", func(ctx context.Context, e eventbus.Event) error {
				handled.Add(1)
				if q := e.Data.(quote); q.price > 0 && q.price%3 == 0 {
					return b.Publish(ctx, eventbus.DataQueue, quoteOf(q.symbol, -1))
				}
				return nil
			})
			start(t, b)
			var accepted atomic.Int64
			var wg sync.WaitGroup
			for p := range 4 {
				wg.Go(func() {
					for i := range 50 {
						if b.Publish(context.Background(), eventbus.DataQueue, quoteOf(fmt.Sprint((i+p)%5), i)) == nil {
							accepted.Add(1)
						}
					}
				})
			}
			for accepted.Load() < 50 {
				runtime.Gosched()
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := bustest.InBackground(func() error { return b.Shutdown(ctx) })
			cancel()
			err := receive(t, done)
			wait(t, &wg)
			_ = b.Flush(bustest.Within(t, bustest.Patience)) // until the handler has returned
			q := b.Stats().Queues[eventbus.DataQueue]
			require.Zero(t, q.Deferred)
			require.EqualValues(t, q.Accepted, q.Handled+q.Evicted+q.Conflated+uint64(q.Depth), "%v", err)
			require.GreaterOrEqual(t, int64(q.Accepted), accepted.Load())
			require.LessOrEqual(t, q.HighWater, q.Capacity)
		}
	}
}

// Publishes that wait for room are conflated when they are let in: one slot does
// for all that have the same key.
func TestConflateByAppliesWhenAWaitEnds(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, _, g := busyAt(t, eventbus.DataQueue, "quote", quote{}, conflating(1, eventbus.Block))
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("A", 1)))
		var wg sync.WaitGroup
		for price := range 3 {
			wg.Go(func() { publish(t, b, eventbus.DataQueue, "quote", quote{"B", price}) })
			synctest.Wait()
		}
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("A", 2)), "a hot key waits")
		g.release <- struct{}{} // A goes to the handler, B into the queue
		wait(t, &wg)
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, quote{"A", 2}, receive(t, g.entered).Data)
		require.Equal(t, quote{"B", 2}, receive(t, g.entered).Data)
		require.EqualValues(t, 3, b.Stats().Queues[eventbus.DataQueue].Conflated)
	})
}

// What a handler publishes to its own full queue is deferred, and conflated
// there.
func TestConflateByAppliesToDeferredEvents(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, noPoll, conflating(1, eventbus.Block))
		var got journal[quote]
		b.SubscribeFunc("quote", got.handle)
		b.SubscribeFunc("burst", func(ctx context.Context, _ eventbus.Event) error {
			for i := range 9 {
				require.NoError(t, b.Publish(ctx, eventbus.DataQueue, quoteOf("A", i)))
				require.NoError(t, b.Publish(ctx, eventbus.DataQueue, quoteOf("B", i)))
			}
			require.Equal(t, 1, b.Stats().Queues[eventbus.DataQueue].Deferred)
			return nil
		})
		start(t, b)
		publish(t, b, eventbus.DataQueue, "burst", quote{})
		bustest.Flush(t, b)
		require.Equal(t, []quote{{"A", 8}, {"B", 8}}, got.all())
		require.EqualValues(t, 16, b.Stats().Queues[eventbus.DataQueue].Conflated)
	})
}

// What the key function cannot bear is refused, and leaves no trace.
func TestConflateByThatPanicsRefusesTheEvent(t *testing.T) {
	b := newBus(t, conflating(1, eventbus.Block))
	err := b.Publish(t.Context(), eventbus.DataQueue, event("quote", "not a quote"))
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, err, "ConflateBy panicked")
	require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("A", 1)))
	q := b.Stats().Queues[eventbus.DataQueue]
	require.EqualValues(t, []uint64{1, 1}, []uint64{q.Accepted, q.Rejected})

	exits := newBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{
		Capacity: 1, ConflateBy: func(eventbus.Event) string { runtime.Goexit(); return "" },
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = exits.Publish(context.Background(), eventbus.DataQueue, event("quote", 1))
	}()
	receive(t, done)
	require.Zero(t, exits.Stats().Queues[eventbus.DataQueue].Accepted)
	require.NoError(t, exits.Flush(bustest.Within(t, bustest.Patience)))
}

// With a thousand keys and a handler that is stuck, a publish allocates nothing
// and memory stays as it is.
func TestConflateByAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	const keys = 1000
	b, _, g := busyAt(t, eventbus.DataQueue, "quote", quote{}, conflating(keys, eventbus.Block))
	events := make([]eventbus.Event, keys)
	for i := range events {
		events[i] = quoteOf(fmt.Sprint("symbol", i), i)
	}
	ctx := context.Background()
	all := func() {
		for _, e := range events {
			if b.Publish(ctx, eventbus.DataQueue, e) != nil {
				panic("refused")
			}
		}
	}
	all()
	before := bustest.Heap()
	require.Zero(t, testing.AllocsPerRun(many(200), all))
	require.Less(t, bustest.Heap(), before+100_000)
	g.open()
	bustest.Flush(t, b)
	for len(g.entered) > 0 {
		<-g.entered
	}

	b = startedBus(t, conflating(keys, eventbus.Block))
	b.SubscribeFunc("quote", func(context.Context, eventbus.Event) error { return nil })
	busy := func() {
		for _, e := range events[:100] {
			if b.Publish(ctx, eventbus.DataQueue, e) != nil {
				panic("refused")
			}
		}
		if b.Flush(ctx) != nil {
			panic("not flushed")
		}
	}
	busy()
	require.Less(t, testing.AllocsPerRun(100, busy), 10.0, "of 100 publishes and a Flush")
}

// An event that was replaced is as old as the one that replaced it.
func TestConflateByRenewsAnEvent(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue,
			eventbus.QueueConfig{Capacity: 10, ConflateBy: bySymbol, MaxAge: time.Second}))
		publish(t, b, eventbus.DataQueue, "quote", quote{"A", 1}, quote{"B", 1})
		time.Sleep(time.Minute)
		publish(t, b, eventbus.DataQueue, "quote", quote{"A", 2})
		var got journal[quote]
		b.SubscribeFunc("quote", got.handle)
		start(t, b)
		bustest.Flush(t, b)
		require.Equal(t, []quote{{"A", 2}}, got.all())
		q := b.Stats().Queues[eventbus.DataQueue]
		require.EqualValues(t, []uint64{3, 1, 1, 1}, []uint64{q.Accepted, q.Handled, q.Conflated, q.Expired})
	})
}
