package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// D1: a handler may publish to its own full queue, without a hang and without a
// loss, at capacity 1 and with others at the door.
func TestAHandlersOwnFullQueueTakesItsEvents(t *testing.T) {
	const hops, strangers = 300, 4
	for _, q := range everyQueue {
		bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(1, q)...)
			var got []int
			deferred := 0
			b.SubscribeFunc("hop", func(ctx context.Context, e eventbus.Event) error {
				n := e.Data.(int)
				got = append(got, n)
				time.Sleep(time.Millisecond) // the strangers fill the queue
				if n+1 < hops {
					require.NoError(t, b.Publish(ctx, q, numbered("hop", n+1)))
				}
				deferred += b.Stats().Queues[q].Deferred
				return nil
			})
			var others journal[int]
			b.SubscribeFunc("other", others.handle)
			publish(t, b, q, "hop", 0)
			synctest.Wait()
			var wg sync.WaitGroup
			for range strangers {
				wg.Go(func() {
					for i := range hops {
						require.NoError(t, b.Publish(context.Background(), q, numbered("other", i)))
					}
				})
			}
			instantlyBut(t, time.Minute, "publishers", wg.Wait)
			flush(t, b)
			require.Equal(t, upTo(0, hops), got)
			require.Len(t, others.all(), strangers*hops)
			require.Positive(t, deferred, "the queue was never full")
		})
	}
}

// D1: nor does a cycle of full queues hang, within one bus or through two, and
// the lists of deferred events stay short.
func TestACycleOfFullQueuesTakesItsHandlersEvents(t *testing.T) {
	const hops = 100
	type stop struct {
		bus   int
		queue eventbus.Queue
	}
	for name, cycle := range map[string][]stop{
		"one queue to the next":  {{0, eventbus.DataQueue}, {0, eventbus.SignalQueue}, {0, eventbus.OrderQueue}},
		"and back":               {{0, eventbus.DataQueue}, {0, eventbus.OrderQueue}, {0, eventbus.SignalQueue}, {0, eventbus.OrderQueue}},
		"one bus to the next":    {{0, eventbus.OrderQueue}, {1, eventbus.OrderQueue}},
		"and back on the other":  {{0, eventbus.DataQueue}, {1, eventbus.OrderQueue}, {0, eventbus.SignalQueue}, {1, eventbus.OrderQueue}},
		"to and fro and at home": {{0, eventbus.DataQueue}, {1, eventbus.DataQueue}, {1, eventbus.DataQueue}, {0, eventbus.OrderQueue}},
	} {
		for _, capacity := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s, capacity %d", name, capacity), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var buses [2]*eventbus.Bus
					var handled, deferred atomic.Int64
					for i := range buses {
						buses[i] = startedBus(t, blocking(capacity, everyQueue...)...)
					}
					for i, at := range cycle {
						to := cycle[(i+1)%len(cycle)]
						from, next := eventbus.EventType(fmt.Sprint(i)), eventbus.EventType(fmt.Sprint((i+1)%len(cycle)))
						buses[at.bus].SubscribeFunc(from, func(ctx context.Context, e eventbus.Event) error {
							handled.Add(1)
							if n := e.Data.(int); n > 0 {
								require.NoError(t, buses[to.bus].Publish(ctx, to.queue, numbered(next, n-1)))
							}
							if n := int64(buses[to.bus].Stats().Queues[to.queue].Deferred); n > deferred.Load() {
								deferred.Store(n)
							}
							return nil
						})
					}
					tokens := 3 * capacity
					var wg sync.WaitGroup
					for i, at := range cycle {
						for range tokens {
							wg.Go(func() {
								e := numbered(eventbus.EventType(fmt.Sprint(i)), hops)
								require.NoError(t, buses[at.bus].Publish(context.Background(), at.queue, e))
							})
						}
					}
					instantlyBut(t, time.Minute, "publishers", wg.Wait)
					for range 2 * hops { // one bus at rest gets work from the other
						flush(t, buses[0])
						flush(t, buses[1])
					}
					require.EqualValues(t, len(cycle)*tokens*(hops+1), handled.Load())
					require.LessOrEqual(t, deferred.Load(), int64(len(cycle)))
				})
			})
		}
	}
}

// instantlyBut requires that f returns within the limit of the bubble's time.
func instantlyBut(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		require.Fail(t, what+" hang")
	}
}

// D2: no order is dropped. Of ten times the capacity, published against a
// handler that is parked, each is handled once or refused with an error.
func TestNoOrderIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const publishers, each = 10, 50
		b := startedBus(t)
		stuck := newGate(t)
		var log journal[int]
		b.SubscribeFunc("order", stuck.handle)
		b.SubscribeFunc("order", log.handle)
		outcome := make([]error, publishers*each)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					ctx, cancel := context.WithCancel(context.Background())
					if p%2 == 0 { // the others wait as long as it takes
						ctx, cancel = context.WithTimeout(ctx, time.Second)
					}
					n := p*each + i
					outcome[n] = b.Publish(ctx, eventbus.OrderQueue, numbered("order", n))
					cancel()
				}
			})
		}
		time.Sleep(time.Hour)
		stuck.open()
		instantlyBut(t, time.Minute, "publishers", wg.Wait)
		flush(t, b)
		var accepted []int
		for n, err := range outcome {
			if err == nil {
				accepted = append(accepted, n)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		}
		got := log.all()
		slices.Sort(got)
		require.Equal(t, accepted, got)
		require.GreaterOrEqual(t, len(got), publishers/2*each)
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.Zero(t, q.Dropped+q.Evicted)
		require.EqualValues(t, len(outcome)-len(got), q.Rejected)
	})
}

// D7: a blocked publisher leaves when its context ends and when Shutdown begins.
func TestABlockedPublisherLeavesWhenToldTo(t *testing.T) {
	const atOnce = 10 * time.Millisecond
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, everyQueue...)...)
		stuck := newGate(t)
		b.SubscribeFunc("stuck", stuck.handle)
		inner := make(chan error, 1)
		b.SubscribeFunc("nested", func(ctx context.Context, _ eventbus.Event) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			inner <- b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "stuck"})
			return nil
		})
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "stuck"}))
			synctest.Wait()
		}
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "nested"}))

		publish := func(ctx context.Context) <-chan error {
			result := make(chan error, 1)
			go func() { result <- b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "stuck"}) }()
			synctest.Wait()
			return result
		}
		expect := func(result <-chan error, want error) {
			t.Helper()
			select {
			case err := <-result:
				require.ErrorIs(t, err, want)
			case <-time.After(atOnce):
				require.Fail(t, "the publisher has not left", "%v", want)
			}
		}
		forGood := publish(context.Background())

		canceled, cancel := context.WithCancel(context.Background())
		waiting := publish(canceled)
		time.Sleep(time.Second)
		require.Empty(t, waiting)
		cancel()
		expect(waiting, context.Canceled)

		expired, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		waiting = publish(expired)
		time.Sleep(10 * time.Second)
		expect(waiting, context.DeadlineExceeded)

		time.Sleep(time.Minute)
		expect(inner, context.DeadlineExceeded)

		require.Empty(t, forGood)
		go b.Shutdown(context.Background())
		expect(forGood, eventbus.ErrClosed)
	})
}

// While there is room, no publish is refused for having waited too long: not
// even where the queue lets waiting publishers in by the half-dozen.
func TestAPublishIsNotRefusedWhileThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(50, eventbus.OrderQueue)...)
		b.SubscribeFunc("slow", func(context.Context, eventbus.Event) error {
			time.Sleep(time.Second)
			return nil
		})
		slow := eventbus.Event{Type: "slow"}
		for range 51 {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, slow))
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+time.Millisecond)
		defer cancel()
		err := b.Publish(ctx, eventbus.OrderQueue, slow)
		require.NoError(t, err, "with %d of 50 places taken", b.Stats().Queues[eventbus.OrderQueue].Depth)
	})
}

// D12: with DropOldest exactly the newest events are kept, and every eviction is
// counted, whoever publishes.
func TestDropOldestKeepsTheNewest(t *testing.T) {
	const capacity, each = 64, 1000
	for _, publishers := range []int{1, 10} {
		b := newBus(t, noPoll, eventbus.WithQueue(eventbus.SignalQueue,
			eventbus.QueueConfig{Capacity: capacity, Overflow: eventbus.DropOldest}))
		var log journal[int]
		b.SubscribeFunc("signal", log.handle)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					publish(t, b, eventbus.SignalQueue, "signal", p*each+i)
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

// D22: while there is room, a publish allocates nothing, and so starts no timer.
func TestAPublishWithRoomAllocatesNothing(t *testing.T) {
	b := startedBus(t)
	var handled atomic.Int64
	b.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	e := eventbus.NewEvent("tick", new(int), "test")
	published := int64(0)
	for _, q := range everyQueue {
		require.Zero(t, testing.AllocsPerRun(200, func() {
			for range 10 {
				if b.Publish(ctx, q, e) != nil || b.TryPublish(ctx, q, e) != nil {
					panic("refused")
				}
			}
			for published += 20; handled.Load() < published; {
				runtime.Gosched()
			}
		}), "%v queue", q)
	}
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
