package eventbus_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/race"
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
		for capacity, hops := range map[int]int{1: 100, 8: 100, 50: 20} {
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
					require.LessOrEqual(t, deferred.Load(), int64(2*len(cycle)))
					for _, b := range buses {
						for _, q := range b.Stats().Queues {
							require.Equal(t, []uint64{q.Accepted, 0}, []uint64{q.Handled, q.Failed}, "%v queue", q.Queue)
						}
					}
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
// handler that is parked, each is handled once or refused with an error, also
// when its context ends at the moment at which there is room.
func TestNoOrderIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const publishers, each = 10, 50
		b := startedBus(t)
		stuck := newGate(t)
		var log journal[int]
		b.SubscribeFunc("order", stuck.handle)
		b.SubscribeFunc("order", func(ctx context.Context, e eventbus.Event) error {
			time.Sleep(time.Millisecond)
			return log.handle(ctx, e)
		})
		opened := time.Now().Add(time.Hour)
		deadlines := []func(i int) time.Time{
			func(int) time.Time { return opened.Add(time.Hour) },
			func(int) time.Time { return time.Now().Add(time.Second) },
			func(i int) time.Time { return opened.Add(time.Duration(7*i) * time.Millisecond) },
		}
		outcome := make([]error, publishers*each)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					ctx, cancel := context.WithDeadline(context.Background(), deadlines[p%len(deadlines)](i))
					n := p*each + i
					outcome[n] = b.Publish(ctx, eventbus.OrderQueue, numbered("order", n))
					cancel()
				}
			})
		}
		time.Sleep(time.Until(opened))
		stuck.open()
		instantlyBut(t, time.Minute, "publishers", wg.Wait)
		flush(t, b)
		var accepted []int
		for n, err := range outcome {
			if err == nil {
				accepted = append(accepted, n)
				continue
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotZero(t, n/each%len(deadlines), "it had an hour left")
		}
		got := log.all()
		slices.Sort(got)
		require.Equal(t, accepted, got)
		q := b.Stats().Queues[eventbus.OrderQueue]
		require.Equal(t, 50, q.Capacity, "ten times that is published")
		require.Zero(t, q.Dropped+q.Evicted)
		require.EqualValues(t, len(outcome)-len(got), q.Rejected)
	})
}

// D7: a blocked publisher leaves when its context ends and when Shutdown begins.
func TestABlockedPublisherLeavesWhenToldTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, stuck := fullOrderQueue(t)
		publish := func(ctx context.Context) <-chan error {
			result := inBackground(func() error { return b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "stuck"}) })
			synctest.Wait()
			return result
		}
		forGood := publish(context.Background())
		const wait = 10*time.Second + 37*time.Millisecond // an odd time, which no poll would hit

		canceled, cancel := context.WithCancel(context.Background())
		waiting := publish(canceled)
		time.Sleep(wait)
		require.Empty(t, waiting)
		cancel()
		requireSoon(t, waiting, context.Canceled)

		waiting = publish(within(t, wait))
		time.Sleep(wait)
		requireSoon(t, waiting, context.DeadlineExceeded)

		require.Empty(t, forGood)
		end := inBackground(func() error { return b.Shutdown(context.Background()) })
		requireSoon(t, forGood, eventbus.ErrClosed)
		require.Empty(t, end)
		stuck.open()
		require.NoError(t, receive(t, end))
	})
}

// D7: so does a handler, when its context ends and when Shutdown gives up.
func TestABlockedHandlerLeavesWhenToldTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, _ := fullOrderQueue(t)
		result := make(chan error, 1)
		b.SubscribeFunc("nested", func(ctx context.Context, e eventbus.Event) error {
			ctx, cancel := context.WithTimeout(ctx, e.Data.(time.Duration))
			defer cancel()
			result <- b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "stuck"})
			return nil
		})
		const wait = 10*time.Second + 37*time.Millisecond
		publish(t, b, eventbus.DataQueue, "nested", wait, time.Hour)
		time.Sleep(wait)
		requireSoon(t, result, context.DeadlineExceeded)

		time.Sleep(wait)
		go b.Shutdown(within(t, wait))
		time.Sleep(wait - time.Millisecond)
		require.Empty(t, result, "handlers may publish while Shutdown drains")
		time.Sleep(time.Millisecond)
		requireSoon(t, result, eventbus.ErrClosed)
	})
}

// fullOrderQueue returns a bus whose order queue is full, and the gate that its
// handler is stuck in.
func fullOrderQueue(t *testing.T) (*eventbus.Bus, *gate) {
	b := startedBus(t, blocking(1, eventbus.OrderQueue)...)
	stuck := newGate(t)
	b.SubscribeFunc("stuck", stuck.handle)
	for i := range 2 {
		publish(t, b, eventbus.OrderQueue, "stuck", i)
		synctest.Wait()
	}
	return b, stuck
}

// requireSoon requires that what comes out of result within 10 ms is want.
func requireSoon(t *testing.T, result <-chan error, want error) {
	t.Helper()
	select {
	case err := <-result:
		require.ErrorIs(t, err, want)
	case <-time.After(10 * time.Millisecond):
		require.Fail(t, "the publisher has not left", "%v", want)
	}
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

// D22: while there is room, a publish allocates nothing, and so makes no timer;
// that it takes none from a pool is seen by TestTheFastPathsReadNoClock. Nor does
// a dispatch allocate, however many handlers there are and types alternate.
func TestAPublishWithRoomAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	b := startedBus(t)
	const handlers = 10
	var handled atomic.Int64
	for range handlers {
		for _, typ := range []eventbus.EventType{"tick", "candle"} {
			b.SubscribeFunc(typ, func(context.Context, eventbus.Event) error { handled.Add(1); return nil })
		}
	}
	ctx := within(t, time.Hour)
	tick, candle := eventbus.NewEvent("tick", new(int), "test"), event("candle", nil)
	published := int64(0)
	for _, q := range everyQueue {
		require.Zero(t, testing.AllocsPerRun(200, func() {
			for range 10 {
				if b.Publish(ctx, q, tick) != nil || b.TryPublish(ctx, q, candle) != nil {
					panic("refused")
				}
			}
			for published += 20; handled.Load() < published*handlers; {
				runtime.Gosched()
			}
		}), "%v queue", q)
	}
}
