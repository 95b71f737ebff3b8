package eventbus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever its capacity, and however far the processor is when publishers go on,
// a queue takes an event if and only if it has room, gives out the oldest, and
// has a chunk for each event that it takes.
func TestAQueueOfChunksIsAQueue(t *testing.T) {
	b, err := New()
	require.NoError(t, err)
	for _, capacity := range []int{1, 2, 3, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 3*chunkSize + 1} {
		for _, overflow := range []Overflow{Block, DropOldest} {
			q := newQueue(b, DataQueue, QueueConfig{Capacity: capacity, Overflow: overflow})
			random := rand.New(rand.NewPCG(uint64(capacity), uint64(overflow)))
			m := chunkModel{t: t, queue: q}
			for range 300 {
				m.step(random.IntN(4), 1+random.IntN(2*capacity))
			}
			m.step(modelTake, capacity)
			require.Zero(t, q.depth())
		}
	}
}

// What a chunkModel may do.
const (
	modelAccept  = iota // until the queue is full
	modelReceive        // a chunk, which the processor does not open yet
	modelTake
	modelEvict
)

// A chunkModel drives a queue as publishers and a processor do, one step at a
// time, and knows what must be in it.
type chunkModel struct {
	t        *testing.T
	queue    *queue
	received *chunk
	waiting  []int // the numbers of the events
	number   int
}

func (m *chunkModel) step(what, times int) {
	q := m.queue
	for range times {
		switch what {
		case modelAccept:
			room := len(m.waiting) < q.cfg.Capacity
			require.Equal(m.t, room, q.accept(&Event{Type: "e", Data: m.number}, 0))
			if room {
				m.waiting = append(m.waiting, m.number)
				m.number++
			}
		case modelReceive:
			if q.chunk == nil && m.received == nil && len(q.ch) > 0 && !q.evicts {
				m.received = <-q.ch
			}
		case modelTake:
			m.take()
		case modelEvict:
			if q.evicts {
				e, ok := q.evictOldest()
				m.gone(e, ok)
			}
		}
		require.Equal(m.t, len(m.waiting), q.depth())
	}
}

func (m *chunkModel) take() {
	q := m.queue
	if m.received != nil {
		q.openChunk(m.received)
		m.received = nil
	}
	if q.chunk == nil && !q.openNext() {
		m.gone(Event{}, false)
		return
	}
	var e Event
	q.shift(&e)
	q.mu.Lock()
	q.taken++
	q.mu.Unlock()
	q.position.Store(uint64(q.mark() + 1<<markShift))
	m.gone(e, true)
}

func (m *chunkModel) gone(e Event, ok bool) {
	require.Equal(m.t, len(m.waiting) > 0, ok)
	if ok {
		require.Equal(m.t, m.waiting[0], e.Data)
		m.waiting = m.waiting[1:]
	}
}

func quietBus(t *testing.T, q Queue, cfg QueueConfig) *Bus {
	t.Helper()
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(q, cfg))
	require.NoError(t, err)
	return b
}

// While an event replaces another there is as much room as before and after.
// Who gets in line meanwhile and sees less waits for an event that is not there.
func TestAConflationTakesNoRoom(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 2, ConflateBy: func(e Event) string { return e.Source }})
	q := b.queues[OrderQueue]
	e := Event{Type: "order", Source: "key"}
	require.NoError(t, b.Publish(t.Context(), OrderQueue, e))
	conflated := once(func() error {
		for range 20_000 {
			if err := b.Publish(t.Context(), OrderQueue, e); err != nil {
				return err
			}
		}
		return nil
	})
	for looks := 0; looks < 1000 || len(conflated) == 0; looks++ {
		lineMu.Lock()
		room := q.room()
		lineMu.Unlock()
		require.Equal(t, 1, room)
	}
	require.NoError(t, <-conflated)
	require.Equal(t, 1, b.Stats().Queues[OrderQueue].HighWater)
}

// See TestALostWakeUpCostsOnePoll.
func TestThePollDoesNotRelyOnHalfAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := quietBus(t, OrderQueue, QueueConfig{Capacity: 1})
		q := b.queues[OrderQueue]
		require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
		published := once(func() error { return b.Publish(t.Context(), OrderQueue, Event{Type: "order"}) })
		synctest.Wait()
		q.halfAt.Add(1)
		require.NoError(t, b.Start(t.Context()))
		time.Sleep(2 * defaultPoll)
		require.Len(t, published, 1)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// While the queue has not drained to half, the processor does without lineMu,
// however many wait for room.
func TestTheProcessorTakesNoLockBeforeHalf(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	q := b.queues[OrderQueue]
	entered, release := make(chan struct{}), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	for range 10 {
		require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	}
	published := once(func() error { return b.Publish(t.Context(), OrderQueue, Event{Type: "order"}) })
	for q.state.Load()&lined == 0 {
		runtime.Gosched()
	}
	require.NoError(t, b.Start(t.Context()))
	<-entered
	lineMu.Lock()
	for range 3 {
		release <- struct{}{}
		select {
		case <-entered:
		case <-time.After(10 * time.Second):
			lineMu.Unlock()
			t.Fatal("the processor waits for lineMu")
		}
	}
	lineMu.Unlock()
	require.Empty(t, published)
	go func() {
		for range entered {
		}
	}()
	close(release)
	require.NoError(t, <-published)
	require.NoError(t, b.Shutdown(t.Context()))
	close(entered)
}

// The processor has seen that it may go on, and finds an event that was
// published after Stop had returned.
func TestAnEventThatIsFoundAfterStopIsNotTaken(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	q := b.queues[OrderQueue]
	p := q.proc
	p.attention.Store(0)
	q.mu.Lock()
	taken := make(chan bool)
	go func() { taken <- p.next() }()
	stack := make([]byte, 1<<20)
	for !strings.Contains(string(stack[:runtime.Stack(stack, true)]), "(*queue).openNext(") {
		runtime.Gosched()
	}
	p.signal(stopped)
	q.accepted++ // as accept does, which waits for mu
	q.pushLocked(&Event{Type: "order"})
	q.mu.Unlock()
	require.False(t, <-taken)
	require.Equal(t, 1, q.depth())
	require.True(t, q.hasEvents())
}

// What a handled event holds is let go of, whatever is behind it in its chunk.
func TestAHandledEventIsLetGoOf(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	gone := make(chan struct{})
	data := new([64]byte)
	runtime.AddCleanup(data, func(gone chan struct{}) { close(gone) }, gone)
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "last", Data: data}))
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	b.SubscribeFunc("last", func(context.Context, Event) error { return b.Pause(OrderQueue) })
	require.NoError(t, b.Start(t.Context()))
	require.Eventually(t, func() bool { return b.Stats().Queues[OrderQueue].Handled == 1 }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, b.Flush(t.Context()), ErrPaused)
	requireGone(t, gone)
	require.NoError(t, b.Resume(OrderQueue))
	require.NoError(t, b.Shutdown(t.Context()))
}

// What Shutdown has handed back is its caller's.
func TestWhatIsHandedBackIsLetGoOf(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	gone := make(chan struct{})
	data := new([64]byte)
	runtime.AddCleanup(data, func(gone chan struct{}) { close(gone) }, gone)
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "stop"}))
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order", Data: data}))
	b.SubscribeFunc("stop", func(context.Context, Event) error { b.Stop(); return nil })
	require.NoError(t, b.Start(t.Context()))
	require.ErrorIs(t, b.Flush(t.Context()), ErrNotRunning)
	left := new(ShutdownError)
	require.ErrorAs(t, b.Shutdown(t.Context()), &left)
	require.Len(t, left.Remaining[OrderQueue], 1)
	clear(left.Remaining)
	requireGone(t, gone)
	runtime.KeepAlive(b)
}

func requireGone(t *testing.T, gone <-chan struct{}) {
	t.Helper()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the event's data is kept alive")
}

// The open chunk, those in the channel and the line are handed back in order.
func TestShutdownHandsBackEveryChunk(t *testing.T) {
	for _, overflow := range []Overflow{Block, DropOldest} {
		b := quietBus(t, OrderQueue, QueueConfig{Capacity: 4 * chunkSize, Overflow: overflow})
		entered, release := make(chan struct{}), make(chan struct{})
		b.SubscribeFunc("order", func(_ context.Context, e Event) error {
			if e.Data == 5 {
				close(entered)
				<-release
			}
			return nil
		})
		want := []any{}
		for i := range 4 * chunkSize {
			require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order", Data: i}))
			if i > 5 {
				want = append(want, i)
			}
		}
		require.NoError(t, b.Start(t.Context()))
		<-entered
		ended, end := context.WithCancel(t.Context())
		end()
		left := new(ShutdownError)
		require.ErrorAs(t, b.Shutdown(ended), &left)
		got := []any{}
		for _, e := range left.Remaining[OrderQueue] {
			got = append(got, e.Data)
		}
		require.Equal(t, want, got)
		close(release)
		for b.isAlive(b.queues[OrderQueue].proc) {
			runtime.Gosched()
		}
		s := b.Stats().Queues[OrderQueue]
		require.EqualValues(t, 6, s.Handled)
		require.Equal(t, len(want), s.Depth)
	}
}

// A batch bars the fast path while it gets in event by event, and no longer.
func TestABatchThatIsInBarsNobody(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 2, Overflow: DropOldest})
	e := Event{Type: "order"}
	n, err := b.PublishBatch(t.Context(), OrderQueue, []Event{e, e, e})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Zero(t, b.queues[OrderQueue].state.Load())
}

// Detached events wait beside a queue that has room until it has drained to half,
// and are counted once.
func TestADetachedEventIsNotCountedInDepth(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	latest := NewTopic[int]("latest", OrderQueue, WithOverflow(DropOldest, 0))
	n := 0
	b.SubscribeFunc("order", func(context.Context, Event) error {
		if n++; n == 2 {
			return b.Pause(OrderQueue)
		}
		return nil
	})
	for range 10 {
		require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	}
	require.NoError(t, latest.Publish(t.Context(), b, 1))
	require.NoError(t, b.Start(t.Context()))
	for b.Stats().Queues[OrderQueue].Handled < 2 {
		runtime.Gosched()
	}
	require.ErrorIs(t, b.Flush(t.Context()), ErrPaused)
	s := b.Stats().Queues[OrderQueue]
	require.Equal(t, []int{8, 1}, []int{s.Depth, s.Deferred})
	require.NoError(t, b.Resume(OrderQueue))
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestWhatIsTakenLeavesItsRoom(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 3, Overflow: DropOldest})
	q := b.queues[OrderQueue]
	for range 3 {
		require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	}
	q.proc.attention.Store(0)
	require.True(t, q.proc.next())
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	require.Zero(t, b.Stats().Queues[OrderQueue].Evicted)
}

func TestNoChunkOfAQueueThatEvictsPassesTheDoor(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 3, Overflow: DropOldest})
	q := b.queues[OrderQueue]
	require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	require.Nil(t, <-q.door())
	require.True(t, q.hasEvents())
}

func TestAFullQueueHasBeenAsHighAsCanBe(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 10})
	entered, release := make(chan struct{}, 10), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	for range 5 {
		require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
	}
	require.NoError(t, b.Start(t.Context()))
	<-entered
	for range 6 {
		require.NoError(t, b.TryPublish(t.Context(), OrderQueue, Event{Type: "order"}))
	}
	require.ErrorIs(t, b.TryPublish(t.Context(), OrderQueue, Event{Type: "order"}), ErrQueueFull)
	go func() {
		for range entered {
		}
	}()
	close(release)
	require.NoError(t, b.Shutdown(t.Context()))
	close(entered)
	require.Equal(t, 10, b.Stats().Queues[OrderQueue].HighWater)
}

// A batch is as high as it is when it comes in.
func TestABatchRaisesTheHighWaterMark(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 50})
	entered, release := make(chan struct{}, 25), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	batch := func(n int) []Event {
		events := make([]Event, n)
		for i := range events {
			events[i].Type = "order"
		}
		return events
	}
	_, err := b.PublishBatch(t.Context(), OrderQueue, batch(5))
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	<-entered
	_, err = b.PublishBatch(t.Context(), OrderQueue, batch(20))
	require.NoError(t, err)
	close(release)
	require.NoError(t, b.Flush(t.Context()))
	require.Equal(t, 24, b.Stats().Queues[OrderQueue].HighWater)
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestWhoIsLetInFromTheLineRaisesTheHighWaterMark(t *testing.T) {
	q := quietBus(t, OrderQueue, QueueConfig{Capacity: 2}).queues[OrderQueue]
	lineMu.Lock()
	defer lineMu.Unlock()
	require.True(t, q.offer(Event{Type: "order"}))
	require.Equal(t, 1, q.highest())
	require.True(t, q.offer(Event{Type: "order"}))
	require.False(t, q.offer(Event{Type: "order"}))
	require.Equal(t, 2, q.highest())
}

// The mark is exact though publishers rarely look how full the queue is, and
// though the events came in while a chunk was open.
func TestTheHighWaterMarkIsExact(t *testing.T) {
	b := quietBus(t, OrderQueue, QueueConfig{Capacity: 100})
	entered, release := make(chan struct{}, 200), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	high := func() int { return b.Stats().Queues[OrderQueue].HighWater }
	publish := func(n int) {
		for range n {
			require.NoError(t, b.Publish(t.Context(), OrderQueue, Event{Type: "order"}))
		}
	}
	publish(chunkSize)
	require.Equal(t, chunkSize, high())
	require.NoError(t, b.Start(t.Context()))
	<-entered
	publish(18)
	require.Equal(t, chunkSize+17, high())
	for range 10 {
		release <- struct{}{}
		<-entered
	}
	publish(10)
	require.Equal(t, chunkSize+17, high())
	publish(1)
	require.Equal(t, chunkSize+18, high())
	close(release)
	require.NoError(t, b.Shutdown(t.Context()))
	require.Equal(t, chunkSize+18, high())
}
