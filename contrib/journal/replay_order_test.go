package journal_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

var (
	ticksFlag = flag.Int("ticks", 8000, "how many ticks the day of TestReplayGivesTheSameOrders has")
	seedsFlag = flag.Uint64("seeds", 30, "how many random days TestReplayKeepsTheRecordedOrder records")
)

// A step is an event of a random day. Its number decides what its handler publishes.
type randomStep struct {
	ID   uint64 `json:"id"`
	Hops int    `json:"hops"`
}

// randomTopics are of all queues.
var randomTopics = [3]eventbus.Topic[randomStep]{
	eventbus.NewTopic[randomStep]("a", eventbus.DataQueue), eventbus.NewTopic[randomStep]("b", eventbus.SignalQueue), eventbus.NewTopic[randomStep]("c", eventbus.OrderQueue),
}

// A randomDay is a bus whose handlers publish what the numbers of events say, and what they
// were called with.
type randomDay struct {
	bus     *eventbus.Bus
	handled []string
}

func newRandomDay(t *testing.T, opts ...eventbus.Option) *randomDay {
	d := &randomDay{bus: newBus(t, opts...)}
	for q, topic := range randomTopics {
		topic.Subscribe(d.bus, func(ctx context.Context, s randomStep) error {
			d.handled = append(d.handled, fmt.Sprint(eventbus.Queue(q), s))
			rnd := rand.New(rand.NewPCG(s.ID, uint64(q)))
			var used [3]bool
			for range rnd.IntN(3) {
				// At most one event for each queue: one from outside between two of them is
				// what a replay cannot place.
				next := rnd.IntN(3)
				if s.Hops == 0 || used[next] {
					continue
				}
				used[next] = true
				if err := randomTopics[next].Publish(ctx, d.bus, randomStep{rnd.Uint64() >> 12, s.Hops - 1}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return d
}

// disturb publishes events from outside at random moments: while the bus is idle, and before
// and after the handlers of any event. So they wait in the queues together with what handlers
// publish, as those of a feed do while handlers are busy.
func (d *randomDay) disturb(rnd *rand.Rand, events int) {
	publish := func() {
		for ; events > 0 && rnd.IntN(2) == 0; events-- {
			q := eventbus.Queue(rnd.IntN(3))
			e := randomTopics[q].Event(randomStep{rnd.Uint64() >> 12, rnd.IntN(4)})
			if d.bus.TryPublish(context.Background(), q, e) != nil {
				return // the queue is full
			}
		}
	}
	around := func(context.Context, eventbus.Event) error { publish(); return nil }
	d.bus.SubscribeAll(eventbus.HandlerFunc(around), eventbus.WithPriority(1))
	d.bus.SubscribeAll(eventbus.HandlerFunc(around), eventbus.WithPriority(-1))
	for events > 0 {
		publish()
		_, _ = d.bus.RunUntilIdle(context.Background())
	}
}

// Replay calls the handlers in the recorded order if one goroutine ran the bus: whatever came
// from outside, whenever, to whatever queue.
func TestReplayKeepsTheRecordedOrder(t *testing.T) {
	for seed := range *seedsFlag {
		rnd := rand.New(rand.NewPCG(seed, 0))
		path := tempPath(t)
		capacity := []int{1000, 100, 20}[seed%3]
		var opts []eventbus.Option
		for q := range randomTopics {
			opts = append(opts, eventbus.WithQueue(eventbus.Queue(q), eventbus.QueueConfig{Capacity: capacity}))
		}
		j, err := journal.Open(path)
		require.NoError(t, err)
		live := newRandomDay(t, opts...)
		j.Record(live.bus)
		live.disturb(rnd, 100)
		require.NoError(t, j.Close())

		again := newRandomDay(t, opts...)
		done, err := journal.Replay(limited(t), again.bus, path,
			journal.WithTopic(randomTopics[0]), journal.WithTopic(randomTopics[1]), journal.WithTopic(randomTopics[2]))
		require.NoError(t, err)
		require.Zero(t, done.Diverged, "seed %d, capacity %d: first at %+v", seed, capacity, done.First)
		require.Equal(t, live.handled, again.handled, "seed %d", seed)
		require.EqualValues(t, len(live.handled), done.Handled)
	}
}

// The one exception of the order: an event from outside that came between two publishes of
// one handler on one queue comes after both, and still before what the next handler publishes
// there.
func TestReplayOfWhatCameBetweenTwoPublishesOfOneHandler(t *testing.T) {
	for name, ahead := range map[string]bool{"alone": false, "and of something ahead of both": true} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			j := open(t, path)
			var handled []uint64
			day := func(live bool) *eventbus.Bus {
				bus := newBus(t)
				outside := func(id uint64) error {
					if !live {
						return nil
					}
					return ticks.Publish(context.Background(), bus, tick{ID: id})
				}
				ticks.Subscribe(bus, func(ctx context.Context, k tick) (err error) {
					handled = append(handled, k.ID)
					inside := func(id uint64) { err = errors.Join(err, ticks.Publish(ctx, bus, tick{ID: id})) }
					switch k.ID {
					case 1:
						if ahead {
							err = outside(10)
						}
						inside(11)
						err = errors.Join(err, outside(12))
						inside(13)
					case 2:
						inside(14)
					}
					return err
				})
				return bus
			}
			bus := day(true)
			j.Record(bus)
			require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: 1}))
			require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: 2}))
			step(t, bus)
			require.NoError(t, j.Close())
			live := handled
			require.Contains(t, fmt.Sprint(live), "11 12 13 14")

			handled = nil
			done, err := journal.Replay(limited(t), day(false), path, replayTopics()...)
			require.NoError(t, err)
			require.NotZero(t, done.Diverged)
			want := []uint64{1, 2, 11, 13, 12, 14}
			if ahead {
				want = []uint64{1, 2, 10, 11, 13, 12, 14}
			}
			require.Equal(t, want, handled)
		})
	}
}

// It does not come ahead of both either, where nothing else from outside is in that queue.
func TestReplayOfWhatCameBetweenTwoPublishesToAnotherQueue(t *testing.T) {
	path := tempPath(t)
	j := open(t, path)
	var handled []uint64
	day := func(live bool) *eventbus.Bus {
		bus := newBus(t)
		ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
			err := signals.Publish(ctx, bus, signal{1})
			if live {
				err = errors.Join(err, signals.Publish(context.Background(), bus, signal{2}))
			}
			return errors.Join(err, signals.Publish(ctx, bus, signal{3}))
		})
		signals.Subscribe(bus, func(_ context.Context, s signal) error { handled = append(handled, s.Tick); return nil })
		return bus
	}
	bus := day(true)
	j.Record(bus)
	require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
	step(t, bus)
	require.NoError(t, j.Close())
	require.Equal(t, []uint64{1, 2, 3}, handled)
	handled = nil
	_, err := journal.Replay(limited(t), day(false), path, replayTopics()...)
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 3, 2}, handled)
}

// A desk trades with an exchange: the handler of an order hands it over, and later the
// exchange publishes a fill, from outside.
type desk struct {
	bus      *eventbus.Bus
	placed   []order
	position int // changed by fills
	shared   bool
	last     float64
	signals  int
}

// newDesk subscribes the handlers. If shared, what a tick leads to depends on the fills so
// far: handlers of different queues share state, which they may only with one goroutine. send
// takes orders, nil in a replay.
func newDesk(bus *eventbus.Bus, shared bool, send func(order)) *desk {
	d := &desk{bus: bus, shared: shared}
	ticks.Subscribe(bus, func(ctx context.Context, k tick) error {
		rises := k.Price > d.last
		d.last = k.Price
		if !rises || d.shared && (d.position+int(k.ID))%3 == 0 {
			return nil
		}
		return signals.Publish(ctx, bus, signal{k.ID})
	})
	signals.Subscribe(bus, func(ctx context.Context, s signal) error {
		if d.signals++; d.signals%2 == 0 {
			return nil
		}
		return orders.Publish(ctx, bus, order{fmt.Sprint(s.Tick)})
	})
	orders.Subscribe(bus, func(_ context.Context, o order) error {
		d.placed = append(d.placed, o)
		if send != nil {
			send(o)
		}
		return nil
	})
	fills.Subscribe(bus, func(context.Context, fill) error { d.position++; return nil })
	return d
}

// recordDay records a day of n ticks on a bus that runs, with an exchange that answers when it
// does, and returns what was placed.
func recordDay(t *testing.T, path string, n int, shared bool, opts ...eventbus.Option) []order {
	j := open(t, path)
	bus := newBus(t, opts...)
	j.Record(bus)
	ctx := context.Background()
	sent := make(chan order, n)
	d := newDesk(bus, shared, func(o order) { sent <- o })
	require.NoError(t, bus.Start(ctx))
	exchange := make(chan error, 1)
	go func() {
		for o := range sent {
			if err := fills.Publish(ctx, bus, fill{o.ID, true}); err != nil {
				exchange <- err
				return
			}
		}
		exchange <- nil
	}()
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		e := tickAt(i)
		e.Data = tick{uint64(i), rnd.Float64()}
		require.NoError(t, ticks.PublishEvent(ctx, bus, e))
	}
	require.NoError(t, bus.Flush(ctx))
	close(sent)
	require.NoError(t, await(t, exchange))
	require.NoError(t, bus.Shutdown(ctx))
	require.NoError(t, j.Close())
	require.Zero(t, j.Stats().Failed)
	return d.placed
}

// A day replays to the same orders, each time: in the recorded order if one goroutine ran the
// bus, and else where handlers of different queues share no state.
func TestReplayGivesTheSameOrders(t *testing.T) {
	block := eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1000})
	for name, day := range map[string]struct {
		single bool
		opts   []eventbus.Option
	}{
		"one goroutine":       {true, []eventbus.Option{block, eventbus.WithSingleThread()}},
		"a goroutine a queue": {false, []eventbus.Option{block}},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			live := recordDay(t, path, *ticksFlag, day.single, day.opts...)
			require.Greater(t, len(live), *ticksFlag/20)
			for range 3 {
				clock := journal.NewClock()
				bus := newBus(t, append(day.opts, eventbus.WithClock(clock.Now))...)
				d := newDesk(bus, day.single, nil)
				done, err := journal.Replay(context.Background(), bus, path, replayTopics(journal.WithReplayClock(clock))...)
				require.NoError(t, err)
				require.Equal(t, len(live), len(d.placed))
				for i := range live { // not require.Equal, which would print the day
					require.Equal(t, live[i], d.placed[i])
				}
				require.EqualValues(t, *ticksFlag+len(live), done.Published)
				if day.single {
					require.Zero(t, done.Diverged, "first at %+v", done.First)
				}
				t.Logf("%d orders of %d ticks, %d events handled in another order", len(d.placed), *ticksFlag, done.Diverged)
			}
		})
	}
}
