package eventbus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/race"
	"github.com/stretchr/testify/require"
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

func conflating(n int, o eventbus.Overflow) eventbus.Option {
	return eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: n, Overflow: o, ConflateBy: bySymbol})
}

// stuckOnQuote returns a running bus whose handler is stuck on a first quote
// without a key, and its gate.
func stuckOnQuote(t *testing.T, opts ...eventbus.Option) (*eventbus.Bus, *gate) {
	b, g := startedBus(t, opts...), newGate(t)
	b.SubscribeFunc("quote", g.handle)
	require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("", 0)))
	receive(t, g.entered)
	return b, g
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

// A queue that conflates does what a list does in which a later event takes the
// place of the earlier one with its key.
func TestConflationDoesWhatASimpleListDoes(t *testing.T) {
	symbols := []string{"", "A", "B", "C", "D", "E"}
	for seed := range uint64(many(200)) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := &quoteModel{capacity: 1 + r.IntN(6), overflow: eventbus.Overflow(r.IntN(3))}
		bubble(t, func(t *testing.T) {
			b, g := stuckOnQuote(t, conflating(m.capacity, m.overflow))
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
			var left *eventbus.ShutdownError
			require.ErrorAs(t, b.Shutdown(ended()), &left)
			var back []quote
			for _, e := range left.Remaining[eventbus.DataQueue] {
				back = append(back, e.Data.(quote))
			}
			require.Equal(t, append([]quote(nil), m.waiting...), back, "seed %d", seed)
		})
	}
}

// Under many publishers, each of which has its own symbols, the prices of a
// symbol are handled in order and the last one arrives.
func TestTheLastValueOfEveryKeyArrives(t *testing.T) {
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
		wg.Wait()
		flush(t, b)
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
func TestConflationBalancesItsAccounts(t *testing.T) {
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
			done := inBackground(func() error { return b.Shutdown(ctx) })
			cancel()
			err := receive(t, done)
			wg.Wait()
			_ = b.Flush(within(t, patience)) // until the handler has returned
			q := b.Stats().Queues[eventbus.DataQueue]
			require.Zero(t, q.Deferred)
			require.EqualValues(t, q.Accepted, q.Handled+q.Evicted+q.Conflated+uint64(q.Depth), "%v", err)
			require.GreaterOrEqual(t, int64(q.Accepted), accepted.Load())
			require.LessOrEqual(t, q.HighWater, q.Capacity)
		}
	}
}

// Those who wait for room are conflated when they are let in: a slot does for
// all that have the same key.
func TestWaitingPublishesAreConflatedWhenTheyAreLetIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, g := stuckOnQuote(t, conflating(1, eventbus.Block))
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("A", 1)))
		var wg sync.WaitGroup
		for price := range 3 {
			wg.Go(func() { publish(t, b, eventbus.DataQueue, "quote", quote{"B", price}) })
			synctest.Wait()
		}
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, quoteOf("A", 2)), "a hot key waits")
		g.release <- struct{}{} // A goes to the handler, B into the queue
		wg.Wait()
		g.open()
		flush(t, b)
		require.Equal(t, quote{"A", 2}, receive(t, g.entered).Data)
		require.Equal(t, quote{"B", 2}, receive(t, g.entered).Data)
		require.EqualValues(t, 3, b.Stats().Queues[eventbus.DataQueue].Conflated)
	})
}

// What a handler publishes to its own full queue is deferred, and conflated
// there.
func TestDeferredEventsAreConflated(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
		flush(t, b)
		require.Equal(t, []quote{{"A", 8}, {"B", 8}}, got.all())
		require.EqualValues(t, 16, b.Stats().Queues[eventbus.DataQueue].Conflated)
	})
}

// What the key function cannot bear is refused, and leaves no trace.
func TestAPanicInConflateByRefusesTheEvent(t *testing.T) {
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
	require.NoError(t, exits.Flush(within(t, patience)))
}

// With a thousand keys and a handler that is stuck, a publish allocates nothing
// and memory stays as it is.
func TestConflationAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	const keys = 1000
	b, g := stuckOnQuote(t, conflating(keys, eventbus.Block))
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
	before := liveHeap()
	require.Zero(t, testing.AllocsPerRun(many(200), all))
	require.Less(t, liveHeap(), before+100_000)
	g.open()
	flush(t, b)
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
