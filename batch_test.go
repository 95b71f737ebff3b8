package eventbus_test

import (
	"context"
	"errors"
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

// series returns events with the data from to to-1.
func series(from, to int) []eventbus.Event {
	var events []eventbus.Event
	for n := from; n < to; n++ {
		events = append(events, numbered("order", n))
	}
	return events
}

// busyWithFirst returns a started bus with a journal of the orders it has begun
// to handle, the first of which, number -1, waits for the gate.
func busyWithFirst(t *testing.T, c eventbus.QueueConfig, opts ...eventbus.Option) (*eventbus.Bus, *journal[int], *gate) {
	t.Helper()
	b := startedBus(t, append(opts, eventbus.WithQueue(eventbus.OrderQueue, c))...)
	var got journal[int]
	g := newGate(t)
	b.SubscribeFunc("order", got.handle)
	b.SubscribeFunc("order", g.handle)
	require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, numbered("order", -1)))
	receive(t, g.entered)
	return b, &got, g
}

// publishBatch publishes events as one batch to the order queue.
func publishBatch(ctx context.Context, b *eventbus.Bus, events []eventbus.Event) batchResult {
	n, err := b.PublishBatch(ctx, eventbus.OrderQueue, events)
	return batchResult{n, err}
}

type batchResult struct {
	accepted int
	err      error
}

func orders(b *eventbus.Bus) eventbus.QueueStats { return b.Stats().Queues[eventbus.OrderQueue] }

func TestABatchIsHandledInOrderAndItsSliceIsTheCallersAgain(t *testing.T) {
	b := startedBus(t)
	var got journal[int]
	b.SubscribeFunc("order", got.handle)
	events := make([]eventbus.Event, 16)
	for i := range 1000 {
		copy(events, series(16*i, 16*i+16))
		require.Equal(t, batchResult{16, nil}, publishBatch(context.Background(), b, events))
		clear(events)
	}
	require.Equal(t, batchResult{}, publishBatch(context.Background(), b, nil))
	require.Equal(t, batchResult{1, nil}, publishBatch(context.Background(), b, series(16_000, 16_001)))
	shutdown(t, b)
	require.Equal(t, upTo(0, 16_001), got.all())
	require.EqualValues(t, 16_001, orders(b).Handled)
}

func TestTheEventsOfABatchCountForTheCapacity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10, Overflow: eventbus.DropNewest})
		require.Equal(t, batchResult{8, nil}, publishBatch(t.Context(), b, series(0, 8)))
		require.Equal(t, 8, orders(b).Depth)
		r := publishBatch(t.Context(), b, series(8, 12))
		require.ErrorIs(t, r.err, eventbus.ErrDropped)
		require.ErrorContains(t, r.err, `publish "order" to the order queue`)
		require.Equal(t, 2, r.accepted)
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 12)), eventbus.ErrDropped)
		require.ErrorIs(t, b.TryPublish(t.Context(), eventbus.OrderQueue, numbered("order", 12)), eventbus.ErrQueueFull)

		g.release <- struct{}{}
		receive(t, g.entered)
		require.Equal(t, 9, orders(b).Depth, "the batch is open")
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 13)))
		require.ErrorIs(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("order", 14)), eventbus.ErrDropped)
		g.open()
		flush(t, b)
		require.Equal(t, append(upTo(-1, 10), 13), got.all())
		s := orders(b)
		require.Equal(t, []any{10, uint64(12), uint64(12), uint64(4), uint64(1)}, []any{s.HighWater, s.Accepted, s.Handled, s.Dropped, s.Rejected})
	})
}

func TestABatchWaitsUntilThereIsRoomForAllOfIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1, 2)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(3, 7)) })
		synctest.Wait()
		later := inBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, numbered("order", 7)) })
		synctest.Wait()
		require.Equal(t, 3, orders(b).Depth, "one place is free, for none of them")
		g.open()
		require.Equal(t, batchResult{4, nil}, receive(t, waiting))
		require.NoError(t, receive(t, later))
		flush(t, b)
		require.Equal(t, upTo(-1, 8), got.all())
		require.Equal(t, 4, orders(b).HighWater)
	})
}

func TestABatchWhoseWaitEndsIsAcceptedAsFarAsThereIsRoom(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  eventbus.QueueConfig
		wait time.Duration // of the context
		want error
	}{
		"its context ends":    {eventbus.QueueConfig{Capacity: 4}, time.Second, context.DeadlineExceeded},
		"the queue refuses":   {eventbus.QueueConfig{Capacity: 4, Timeout: time.Second}, time.Hour, eventbus.ErrQueueFull},
		"the queue drops":     {eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropNewest, Timeout: time.Second}, time.Hour, eventbus.ErrDropped},
		"the queue drops now": {eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropNewest}, time.Hour, eventbus.ErrDropped},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, got, g := busyWithFirst(t, c.cfg)
				publish(t, b, eventbus.OrderQueue, "order", 0)
				r := publishBatch(within(t, c.wait), b, series(1, 6))
				require.ErrorIs(t, r.err, c.want)
				require.Equal(t, 3, r.accepted)
				s := orders(b)
				require.EqualValues(t, []uint64{5, 2}, []uint64{s.Accepted, s.Dropped + s.Rejected})
				g.open()
				flush(t, b)
				require.Equal(t, upTo(-1, 4), got.all())
			})
		})
	}
}

func TestOfABatchBehindOthersNothingIsAcceptedWhenItsWaitEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0, 1)
		first := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(2, 5)) })
		synctest.Wait()
		r := publishBatch(within(t, time.Second), b, series(9, 11))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Zero(t, r.accepted)
		g.open()
		require.Equal(t, batchResult{3, nil}, receive(t, first))
		flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

func TestABatchLargerThanTheQueueIsAcceptedAsFarAsItFits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(1, 7)) })
		synctest.Wait()
		g.open()
		r := receive(t, waiting)
		require.ErrorIs(t, r.err, eventbus.ErrQueueFull)
		require.ErrorContains(t, r.err, "it holds 4 events, the batch is of 6")
		require.Equal(t, 4, r.accepted)
		flush(t, b)
		require.Equal(t, upTo(-1, 5), got.all())
	})
}

func TestABatchEvictsTheOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropOldest})
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(0, 3)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(3, 6)))
		require.EqualValues(t, 2, orders(b).Evicted)
		require.Equal(t, batchResult{6, nil}, publishBatch(t.Context(), b, series(6, 12)))
		require.EqualValues(t, 8, orders(b).Evicted)
		g.open()
		flush(t, b)
		require.Equal(t, append([]int{-1}, upTo(8, 12)...), got.all())
	})
}

func TestAHandlersBatchIsDeferredWhereWaitingWouldBeWaitingForItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(3, eventbus.OrderQueue)...)
		var got journal[int]
		var results journal[batchResult]
		b.SubscribeFunc("order", got.handle)
		b.SubscribeFunc("split", func(ctx context.Context, e eventbus.Event) error {
			n := e.Data.(int)
			r := publishBatch(ctx, b, series(n, n+3))
			results.add(r)
			return nil
		})
		for _, n := range []int{100, 200} {
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("split", n)))
		}
		flush(t, b)
		require.Equal(t, []int{100, 101, 102, 200, 201, 202}, got.all())
		require.Equal(t, []batchResult{{3, nil}, {3, nil}}, results.all())
		require.LessOrEqual(t, orders(b).HighWater, 3)
	})
}

func TestAHandlersBatchThatCannotBeDeferredIsToldHowFarItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(2, eventbus.OrderQueue)...)
		var got journal[int]
		var result batchResult
		b.SubscribeFunc("order", got.handle)
		b.SubscribeFunc("split", func(ctx context.Context, _ eventbus.Event) error {
			result = publishBatch(ctx, b, series(0, 9))
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, numbered("split", 0)))
		flush(t, b)
		require.ErrorIs(t, result.err, eventbus.ErrQueueFull)
		require.Equal(t, 4, result.accepted, "as many as the queue and its list of deferred events hold")
		require.Equal(t, upTo(0, 4), got.all())
	})
}

func TestBatchesAroundACycleOfFullQueuesArrive(t *testing.T) {
	for _, capacity := range []int{1, 2, 5} {
		bubble(t, func(t *testing.T) {
			b := startedBus(t, blocking(capacity, everyQueue...)...)
			var mu sync.Mutex
			handled := 0
			for _, q := range everyQueue {
				next := (q + 1) % eventbus.Queue(len(everyQueue))
				b.SubscribeFunc(eventbus.EventType(q.String()), func(ctx context.Context, e eventbus.Event) error {
					mu.Lock()
					handled++
					mu.Unlock()
					hops := e.Data.(int)
					if hops == 0 {
						return nil
					}
					_, err := b.PublishBatch(ctx, next, []eventbus.Event{numbered(eventbus.EventType(next.String()), hops-1)})
					return err
				})
			}
			var publishers sync.WaitGroup
			for i := range 4 {
				publishers.Go(func() {
					q := eventbus.Queue(i % len(everyQueue))
					for range 50 {
						e := numbered(eventbus.EventType(q.String()), 20)
						for batch := []eventbus.Event{e, e, e}; len(batch) > 0; {
							n, err := b.PublishBatch(context.Background(), q, batch)
							if err != nil && !errors.Is(err, eventbus.ErrQueueFull) {
								t.Error(err)
								return
							}
							batch = batch[n:]
						}
					}
				})
			}
			publishers.Wait()
			flush(t, b)
			require.Equal(t, 4*50*3*21, handled)
			for _, q := range b.Stats().Queues {
				require.Zero(t, q.Failed)
				require.LessOrEqual(t, q.HighWater, capacity)
			}
		})
	}
}

// An item is event n of batch number batch of a publisher, or a single event.
type item struct {
	by, batch, n int
	single       bool
}

// No event gets between those of a batch, whatever the queue's rule, and each
// publisher's events are in order.
func TestNothingGetsBetweenTheEventsOfABatch(t *testing.T) {
	for name, c := range map[string]eventbus.QueueConfig{
		"block":       {Capacity: 8},
		"drop newest": {Capacity: 8, Overflow: eventbus.DropNewest},
		"drop oldest": {Capacity: 8, Overflow: eventbus.DropOldest},
		"max age":     {Capacity: 8, MaxAge: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b := startedBus(t, eventbus.WithQueue(eventbus.OrderQueue, c))
			var got journal[item]
			b.SubscribeFunc("order", got.handle)
			var publishers sync.WaitGroup
			for by := range 4 {
				publishers.Go(func() { publishItems(b, by) })
			}
			publishers.Wait()
			shutdown(t, b)
			requireUnbroken(t, got.all())
			s := orders(b)
			require.Equal(t, s.Accepted, s.Handled+s.Evicted)
			require.LessOrEqual(t, s.HighWater, 8)
		})
	}
}

// publishItems publishes batches of none to six events, and single events.
func publishItems(b *eventbus.Bus, by int) {
	for i := range 2000 {
		var events []eventbus.Event
		for n := range i % 7 {
			events = append(events, eventbus.Event{Type: "order", Data: item{by, i, n, false}})
		}
		_, _ = b.PublishBatch(context.Background(), eventbus.OrderQueue, events)
		if i%5 == by {
			_ = b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "order", Data: item{by, i, 7, true}})
		}
		if i%16 == 0 {
			runtime.Gosched()
		}
	}
}

// requireUnbroken requires that each event of a batch comes right after the one
// before it, if that came at all.
func requireUnbroken(t *testing.T, items []item) {
	t.Helper()
	at := make(map[item]int)
	last := make(map[int]item)
	for i, it := range items {
		at[it] = i
		if was, ok := last[it.by]; ok {
			require.Positive(t, slices.Compare([]int{it.batch, it.n}, []int{was.batch, was.n}), "%v after %v", it, was)
		}
		last[it.by] = it
	}
	for i, it := range items {
		before := it
		before.n--
		if was, ok := at[before]; ok {
			require.Equal(t, i-1, was, "something is between %v and %v", before, it)
		}
	}
	require.Greater(t, len(items), 100)
}

func TestAFailureInsideABatchHarmsNoOtherEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var got journal[int]
		b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error {
			switch e.Data.(int) % 5 {
			case 1:
				return errors.New("one")
			case 2:
				panic("two")
			case 3:
				runtime.Goexit()
			}
			return nil
		})
		b.SubscribeFunc("order", got.handle)
		for i := range 3 {
			require.Equal(t, batchResult{10, nil}, publishBatch(t.Context(), b, series(10*i, 10*i+10)))
		}
		flush(t, b)
		require.Equal(t, upTo(0, 30), got.all())
		require.EqualValues(t, 18, orders(b).Failed)
	})
}

// The rest of a batch that is interrupted keeps its place.
func TestABatchIsInterruptedAndGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		interrupt, resume func(*testing.T, *eventbus.Bus)
	}{
		"by Stop": {
			func(_ *testing.T, b *eventbus.Bus) { b.Stop() },
			func(t *testing.T, b *eventbus.Bus) { start(t, b) },
		},
		"by Pause": {
			func(t *testing.T, b *eventbus.Bus) { require.NoError(t, b.Pause(eventbus.OrderQueue)) },
			func(t *testing.T, b *eventbus.Bus) { require.NoError(t, b.Resume(eventbus.OrderQueue)) },
		},
		"by Stop, and stepped": {
			func(_ *testing.T, b *eventbus.Bus) { b.Stop() },
			func(t *testing.T, b *eventbus.Bus) { runUntilIdle(t, b) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10})
				require.Equal(t, batchResult{4, nil}, publishBatch(t.Context(), b, series(0, 4)))
				g.release <- struct{}{}
				g.release <- struct{}{}
				receive(t, g.entered)
				receive(t, g.entered)
				c.interrupt(t, b)
				require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(4, 7)))
				g.open()
				synctest.Wait()
				require.Equal(t, upTo(-1, 2), got.all())
				require.Equal(t, 5, orders(b).Depth+orders(b).Deferred)
				c.resume(t, b)
				synctest.Wait()
				require.Equal(t, upTo(-1, 7), got.all())
			})
		})
	}
}

func TestShutdownHandsBackTheRestOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10})
		require.Equal(t, batchResult{4, nil}, publishBatch(t.Context(), b, series(0, 4)))
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(4, 7)))
		publish(t, b, eventbus.OrderQueue, "order", 7)
		g.release <- struct{}{}
		receive(t, g.entered)
		waiting := inBackground(func() batchResult { return publishBatch(context.Background(), b, series(8, 20)) })
		synctest.Wait()
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(ended()), &left)
		require.Equal(t, upTo(1, 8), numbersOf(left.Remaining[eventbus.OrderQueue]))
		r := receive(t, waiting)
		require.ErrorIs(t, r.err, eventbus.ErrClosed)
		require.Zero(t, r.accepted)
		synctest.Wait()
		require.Equal(t, upTo(-1, 1), got.all())
		s := orders(b)
		require.Equal(t, []uint64{9, 2, 7}, []uint64{s.Accepted, s.Handled, uint64(s.Depth)})
		require.Equal(t, batchResult{0, r.err}.accepted, publishBatch(t.Context(), b, series(0, 2)).accepted)
	})
}

func TestOrdersComeBetweenTheEventsOfADataBatchOnASingleThread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithSingleThread())
		var got journal[string]
		b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			got.add("tick")
			return b.Publish(ctx, eventbus.OrderQueue, numbered("order", 0))
		})
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { got.add("order"); return nil })
		tick := eventbus.Event{Type: "tick"}
		synctest.Wait() // the processor sleeps, so that the batch wakes it
		n, err := b.PublishBatch(t.Context(), eventbus.DataQueue, []eventbus.Event{tick, tick, tick})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		flush(t, b)
		require.Equal(t, []string{"tick", "order", "tick", "order", "tick", "order"}, got.all())
	})
}

func TestAnEventOfABatchExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Minute})
		events := series(0, 3)
		events[1].Time = time.Now().Add(time.Hour)
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, events))
		time.Sleep(2 * time.Minute)
		g.open()
		flush(t, b)
		require.Equal(t, []int{-1, 1}, got.all())
		require.EqualValues(t, 2, orders(b).Expired)
	})
}

func TestABatchOfAQueueThatConflatesIsConflated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 3, ConflateBy: func(e eventbus.Event) string {
			return []string{"even", "odd"}[(e.Data.(int)+2)%2]
		}})
		require.Equal(t, batchResult{5, nil}, publishBatch(t.Context(), b, series(0, 5)))
		g.open()
		flush(t, b)
		require.Equal(t, []int{-1, 4, 3}, got.all())
		require.EqualValues(t, 3, orders(b).Conflated)
	})
}

func TestABatchThatIsWrongIsRefusedWhole(t *testing.T) {
	b := startedBus(t)
	n, err := b.PublishBatch(t.Context(), 7, series(0, 2))
	require.ErrorIs(t, err, eventbus.ErrUnknownQueue)
	require.Zero(t, n)
	r := publishBatch(t.Context(), b, append(series(0, 2), eventbus.Event{}))
	require.ErrorIs(t, r.err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, r.err, "event 2 of 3")
	require.Zero(t, r.accepted)
	var none context.Context
	r = publishBatch(none, b, series(0, 2))
	require.ErrorContains(t, r.err, "the context is nil")
	require.EqualValues(t, 5, orders(b).Rejected)
	require.Zero(t, orders(b).Accepted)
}

func TestABatchThatFindsRoomAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector empties pools")
	}
	b := newBus(t)
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil })
	events := series(0, 16)
	ctx := context.Background()
	require.Zero(t, testing.AllocsPerRun(many(500), func() {
		_, _ = b.PublishBatch(ctx, eventbus.OrderQueue, events)
		_, _ = b.RunUntilIdle(ctx)
	}))
}

// Where DropOldest is mixed with other rules, a batch takes the room that there
// is before it evicts anything, as single events do.
func TestABatchUnderMixedRulesTakesTheRoomThatThereIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4, Overflow: eventbus.DropOldest})
		mustStay := eventbus.NewTopic[int]("order", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.Block, 0))
		require.NoError(t, mustStay.Publish(t.Context(), b, 0))
		require.Equal(t, batchResult{6, nil}, publishBatch(t.Context(), b, series(1, 7)))
		s := orders(b)
		require.Equal(t, []any{4, 3, uint64(0)}, []any{s.Depth, s.Deferred, s.Evicted})
		require.Equal(t, batchResult{3, nil}, publishBatch(t.Context(), b, series(7, 10)))
		require.EqualValues(t, 2, orders(b).Evicted)
		g.open()
		flush(t, b)
		require.Equal(t, append(upTo(-1, 4), upTo(6, 10)...), got.all())
	})
}

// What finds no room in a queue with mixed rules waits beyond it, in a parcel,
// and gets old there like any other event.
func TestABatchThatWaitsBeyondItsQueueExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus(t, eventbus.WithQueue(eventbus.DataQueue,
			eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropOldest, MaxAge: time.Second}))
		var handled journal[int]
		b.SubscribeFunc("e", handled.handle)
		kept := eventbus.NewTopic[int]("e", eventbus.DataQueue, eventbus.WithOverflow(eventbus.Block, 0))
		for i := range 2 {
			require.NoError(t, kept.Publish(t.Context(), b, i))
		}
		_, err := b.PublishBatch(t.Context(), eventbus.DataQueue, []eventbus.Event{event("e", 2), event("e", 3)})
		require.NoError(t, err)
		time.Sleep(time.Second + 1)
		runUntilIdle(t, b)
		require.Empty(t, handled.all())
		require.EqualValues(t, 4, b.Stats().Queues[eventbus.DataQueue].Expired)
	})
}

// The first batch on a queue waits for publishers that may be about to send. It
// must not wait for another batch that is in the queue by then: on a bus that
// does not run, that stays.
func TestTheFirstBatchesOnAQueueDoNotWaitForEachOther(t *testing.T) {
	for range 1000 {
		b := newBus(t)
		begin := make(chan bool)
		var outcomes []<-chan error
		for i := range 4 {
			outcomes = append(outcomes, inBackground(func() error {
				<-begin
				_, err := b.PublishBatch(context.Background(), eventbus.DataQueue, []eventbus.Event{event("e", i), event("e", i)})
				return err
			}))
		}
		close(begin)
		for _, outcome := range outcomes {
			require.NoError(t, receive(t, outcome))
		}
	}
}

// A handler's wait that ends since Async has abandoned it is no different.
func TestABatchOfAnAbandonedHandlerIsAcceptedAsFarAsThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, got, g := busyWithFirst(t, eventbus.QueueConfig{Capacity: 4})
		publish(t, b, eventbus.OrderQueue, "order", 0)
		results := make(chan batchResult, 1)
		b.Subscribe("signal", eventbus.Async(eventbus.HandlerFunc(func(ctx context.Context, _ eventbus.Event) error {
			results <- publishBatch(context.WithoutCancel(ctx), b, series(1, 6))
			return nil
		}), time.Second))
		publish(t, b, eventbus.SignalQueue, "signal", 0)
		r := receive(t, results)
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Equal(t, 3, r.accepted)
		g.open()
		flush(t, b)
		require.Equal(t, upTo(-1, 4), got.all())
	})
}

// While the processor opens a batch, its events are in the channel or out of it.
func TestNoEventOfABatchIsSeenTwice(t *testing.T) {
	b := startedBus(t)
	var got atomic.Int64
	b.SubscribeFunc("order", func(context.Context, eventbus.Event) error { got.Add(1); return nil })
	most := 0
	for i := range int64(many(10_000)) {
		require.Equal(t, batchResult{20, nil}, publishBatch(context.Background(), b, series(0, 20)))
		for got.Load() < 20*(i+1) {
			most = max(most, orders(b).Depth)
			runtime.Gosched()
		}
	}
	require.LessOrEqual(t, most, 20)
	require.LessOrEqual(t, orders(b).HighWater, 20)
}
