package eventbus

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A bench is a queue of a bus whose processors do not run: the test begins its
// events itself, and says who publishes.
type bench struct {
	*testing.T
	bus *Bus
	q   *queue
}

func newBench(t *testing.T, capacity int, more ...Option) *bench {
	b, err := New(append([]Option{WithLogger(slog.New(slog.DiscardHandler)),
		WithQueue(OrderQueue, QueueConfig{Capacity: capacity})}, more...)...)
	require.NoError(t, err)
	admissionMu.Lock()
	defer admissionMu.Unlock()
	for _, q := range b.queues {
		q.setIdleLocked(nil) // the test drains it
	}
	return &bench{t, b, b.queues[OrderQueue]}
}

// node returns a drainer that is at its first event.
func (b *bench) node() *drainer { return &drainer{bus: b.bus, site: func() uint64 { return 1 }} }

// of returns a publication of events with these data, by a handler that d stands for,
// or from outside if d is nil.
func (b *bench) of(d *drainer, data ...any) *publication {
	pub := &publication{ctx: context.Background(), rule: &b.q.rule}
	if d != nil {
		pub.by = []*drainer{d}
		pub.publisher = publisher{standing: mayWait, ofBus: true}
	}
	for _, v := range data {
		pub.entries = append(pub.entries, entry{Event: Event{Type: "event", Data: v}})
	}
	return pub
}

// try publishes pub and returns its place in line, or why it was refused.
func (b *bench) try(pub *publication) (*lineWait, error) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	return b.q.carryOutLocked(pub)
}

// accept publishes pub, which is accepted.
func (b *bench) accept(pub *publication) {
	b.Helper()
	w, err := b.try(pub)
	require.NoError(b, err)
	require.Nil(b, w, "it waits")
}

// wait publishes pub, which has to wait.
func (b *bench) wait(pub *publication) *lineWait {
	b.Helper()
	w, err := b.try(pub)
	require.NoError(b, err)
	require.NotNil(b, w, "it does not wait")
	return w
}

// postpone publishes an event of a handler that must not wait.
func (b *bench) postpone(data any) {
	b.Helper()
	pub := b.of(b.node(), data)
	pub.publisher.standing = mustNotWait
	b.accept(pub)
}

// fill accepts events until the queue is full.
func (b *bench) fill() {
	b.Helper()
	for b.q.buffer.Room() > 0 {
		b.accept(b.of(nil, "fills it"))
	}
}

// begin begins an event and returns its data. What comes free goes to the line.
func (b *bench) begin() any {
	b.Helper()
	var e entry
	require.True(b, b.q.buffer.Begin(&e), "the queue is empty")
	b.q.buffer.End()
	b.q.admit()
	return e.Data
}

// drain begins all events and returns the data of those that did not fill the queue.
func (b *bench) drain() (data []any) {
	for b.q.buffer.Ready() {
		if v := b.begin(); v != "fills it" {
			data = append(data, v)
		}
	}
	return data
}

// locked calls f under admissionMu.
func locked(f func()) {
	admissionMu.Lock()
	defer admissionMu.Unlock()
	f()
}

// outcome returns what w has been told, and requires that it has left the line.
func (b *bench) outcome(w *lineWait) error {
	b.Helper()
	select {
	case err := <-w.done:
		require.False(b, w.inLine)
		return err
	default:
		require.FailNow(b, "it still waits")
		return nil
	}
}

// Deferred events and waiting handlers are let in in the order in which they came,
// and publishers from outside after them.
func TestPublishLetsInWhoWaitsInOrder(t *testing.T) {
	b := newBench(t, 2)
	b.fill()
	outside := b.wait(b.of(nil, "outside 1"))
	b.wait(b.of(nil, "outside 2"))
	first := b.wait(b.of(b.node(), "handler 1"))
	b.postpone("deferred 1")
	b.wait(b.of(b.node(), "handler 2"))
	b.postpone("deferred 2")
	b.begin()
	require.NoError(t, b.outcome(first), "a deferred event is in the first list, so the next free slot is given away")
	require.Equal(t, []any{"handler 1", "deferred 1", "handler 2", "deferred 2", "outside 1", "outside 2"}, b.drain())
	require.NoError(t, b.outcome(outside))
	require.Zero(t, b.q.buffer.Gate.Load(), "nobody is in line")
}

// Who finds room while somebody is in line for it waits behind them; a handler waits
// for the first list alone.
func TestPublishOvertakesNobodyInLine(t *testing.T) {
	b := newBench(t, 4)
	b.fill()
	b.wait(b.of(nil, "outside"))
	b.begin() // one slot, which is kept until the queue has drained to half
	require.True(t, b.wait(b.of(nil, "later")).inLine)
	b.accept(b.of(b.node(), "handler"))
	require.Equal(t, []any{"handler", "outside", "later"}, b.drain())
}

// The queue lets in who waits once it has drained to half.
func TestPublishWaitsUntilTheQueueHasDrainedToHalf(t *testing.T) {
	b := newBench(t, 5)
	b.fill()
	w := b.wait(b.of(nil, "waits"))
	b.begin()
	b.begin()
	require.True(t, w.inLine)
	b.begin()
	require.NoError(t, b.outcome(w))
}

// After the hand-over each free slot goes at once to the head of the line, for as many
// as were in it by then.
func TestPublishIsHandedOverOnceOneHasWaited(t *testing.T) {
	b := newBench(t, 6)
	b.fill()
	first, second := b.wait(b.of(nil, 1)), b.wait(b.of(b.node(), 2))
	b.begin()
	require.True(t, first.inLine)
	require.True(t, second.inLine)
	b.q.handOver()
	require.NoError(t, b.outcome(second), "the free slot is for the handler")
	third := b.wait(b.of(nil, 3))
	b.begin()
	require.NoError(t, b.outcome(first))
	b.begin()
	require.True(t, third.inLine, "it came after the hand-over")
	require.Equal(t, []any{2, 1, 3}, b.drain())
}

// A free slot that is kept for later goes to who gives up waiting.
func TestPublishTakesAFreeSlotWhenItsTimeIsUp(t *testing.T) {
	b := newBench(t, 4)
	b.fill()
	w, late := b.wait(b.of(nil, "in time")), b.wait(b.of(nil, "too late"))
	b.begin()
	require.NoError(t, b.q.leave(w, ErrQueueFull))
	require.ErrorIs(t, b.q.leave(late, ErrQueueFull), ErrQueueFull)
	require.Equal(t, []any{"in time"}, b.drain())
}

// A batch waits in one place: what there is room for is accepted, and nothing from
// outside comes in between.
func TestPublishBatchWaitsInOnePlace(t *testing.T) {
	b := newBench(t, 2)
	b.accept(b.of(nil, "before"))
	w := b.wait(b.of(nil, 1, 2, 3, 4))
	require.Equal(t, 1, w.pub.accepted)
	b.wait(b.of(nil, "later"))
	require.Equal(t, []any{"before", 1, 2, 3, 4, "later"}, b.drain())
	require.NoError(t, b.outcome(w))
}

// When Shutdown begins, handlers of the bus go on waiting, and all others are refused.
func TestShutdownLetsHandlersOfItsBusWait(t *testing.T) {
	b := newBench(t, 1)
	b.fill()
	own, foreign := b.wait(b.of(b.node(), "own")), b.of(b.node(), "foreign")
	foreign.publisher.ofBus = false
	other, outside := b.wait(foreign), b.wait(b.of(nil, "outside"))
	locked(func() { b.q.closeLocked(closing) })
	require.True(t, own.inLine)
	require.ErrorIs(t, b.outcome(other), ErrClosed)
	require.ErrorIs(t, b.outcome(outside), ErrClosed)
	require.Zero(t, b.q.admission.refused, "no handler of the bus")
	_, err := b.try(b.of(nil, "new"))
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []any{"own"}, b.drain())
}

// When it gives up, all are refused, and those of its handlers are counted.
func TestShutdownThatGivesUpRefusesAll(t *testing.T) {
	b := newBench(t, 2)
	b.accept(b.of(nil, "before"))
	w := b.wait(b.of(b.node(), 1, 2, 3)) // one is accepted
	locked(func() { b.q.closeLocked(closing | closed) })
	require.ErrorIs(t, b.outcome(w), ErrClosed)
	require.Equal(t, 2, b.q.admission.refused)
	_, err := b.try(b.of(b.node(), "new"))
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, 3, b.q.admission.refused)
	locked(func() { b.q.admitLocked(true) }) // what is left is Shutdown's
	require.Equal(t, []any{"before", 1}, b.drain())
}

// Where nobody drains, what handlers wait with gets the room there is, in order, and
// the rest is deferred in its place.
func TestStopDefersWhatHandlersWaitWith(t *testing.T) {
	b := newBench(t, 4)
	b.fill()
	first := b.wait(b.of(b.node(), 1, 2, 3))
	b.postpone("deferred")
	last, outside := b.wait(b.of(b.node(), 4)), b.wait(b.of(nil, "outside"))
	b.begin()
	require.Equal(t, 1, first.pub.accepted, "a deferred event is in the first list")
	locked(func() { b.q.setIdleLocked(ErrNotRunning) })
	require.NoError(t, b.outcome(first))
	require.NoError(t, b.outcome(last))
	require.True(t, outside.inLine)
	n, bound := b.q.buffer.Deferred()
	require.Equal(t, []int{4, 4}, []int{n, bound})
	require.Equal(t, []any{1, 2, 3, "deferred", 4, "outside"}, b.drain())
}

// A queue defers its capacity twice and 3 events, what it takes from handlers that wait
// included. A batch is accepted as far as that.
func TestStopRefusesWhatIsBeyondTheBound(t *testing.T) {
	b := newBench(t, 1)
	b.fill()
	for n := range 3 {
		b.postpone(n)
	}
	batch, late := b.wait(b.of(b.node(), 3, 4, "too many")), b.wait(b.of(b.node(), "too late"))
	locked(func() { b.q.setIdleLocked(ErrPaused) })
	err := b.outcome(batch)
	require.ErrorIs(t, err, ErrQueueFull)
	require.ErrorContains(t, err, "deferred")
	require.Equal(t, 2, batch.pub.accepted)
	require.ErrorIs(t, b.outcome(late), ErrQueueFull)
	pub := b.of(b.node(), "refused")
	pub.publisher.standing = mustNotWait
	_, err = b.try(pub)
	require.ErrorIs(t, err, ErrQueueFull)
	require.Equal(t, []any{0, 1, 2, 3, 4}, b.drain())
}

// An event that waits with a key is replaced by what a handler waits with, though
// there is no room.
func TestStopReplacesByKey(t *testing.T) {
	key := func(e Event) string { return e.Source }
	b := newBench(t, 1, WithQueue(OrderQueue, QueueConfig{Capacity: 1, ConflateBy: key}))
	labelled := func(d *drainer, data ...any) *publication {
		pub := b.of(d, data...)
		for i := range pub.entries {
			pub.entries[i].Source = "key"
			require.NoError(t, b.q.label(&pub.entries[i], nil, nil, nil))
		}
		return pub
	}
	b.fill()
	w := b.wait(labelled(b.node(), 1, 2))
	locked(func() { b.q.setIdleLocked(ErrPaused) })
	require.NoError(t, b.outcome(w))
	n, _ := b.q.buffer.Deferred()
	require.Equal(t, 1, n)
	b.begin()
	var e entry
	require.True(t, b.q.buffer.Begin(&e))
	require.Equal(t, 2, e.event().Data)
}

// A handler waits until its event is handled; when nobody drains the queue any more,
// it is told so and the event is withdrawn, wherever that is.
func TestPublishWaitIsWithdrawnWhereNobodyDrains(t *testing.T) {
	b := newBench(t, 2)
	await := func(data any) (*publication, *completion) {
		pub, c := b.of(b.node(), data), newCompletion()
		pub.entries[0].needMeta().completion = c
		pub.completion, pub.publisher.awaits = c, true
		return pub, c
	}
	accepted, done := await("accepted")
	b.accept(accepted)
	begun, running := await("begun")
	b.accept(begun)
	require.True(t, running.begin())
	pub, _ := await("waits")
	w := b.wait(pub)
	b.postpone("deferred")
	require.Len(t, b.q.admission.awaited, 3)
	locked(func() { b.q.setIdleLocked(ErrPaused) })
	require.ErrorIs(t, b.outcome(w), ErrPaused)
	require.ErrorIs(t, <-done.done, ErrPaused)
	require.Empty(t, running.done)
	require.EqualValues(t, 1, b.q.buffer.Counts().Withdrawn)
	again, _ := await("again")
	_, err := b.try(again)
	require.ErrorIs(t, err, ErrPaused, "from the beginning")
	b.q.endAwait(accepted.by, done)
	require.Len(t, b.q.admission.awaited, 2)
}

// A late joiner enters if there is room and nobody is ahead, else the first list,
// where it counts towards no bound; one that leaves takes nobody's place.
func TestWithLastTakesNobodysPlace(t *testing.T) {
	b := newBench(t, 1)
	join := func() *joiner {
		j := &joiner{sub: &Subscription{bus: b.bus, eventType: "event"}, queue: b.q}
		require.True(t, b.q.admitJoiner(j))
		return j
	}
	gone := b.q.withdrawJoiner
	first := join()
	require.Zero(t, b.q.buffer.Room())
	gone(first)
	require.Equal(t, 1, b.q.buffer.Room())
	b.fill()
	var others []*joiner
	for range 10 {
		others = append(others, join())
	}
	n, bound := b.q.buffer.Deferred()
	require.Equal(t, []int{10, 0}, []int{n, bound})
	for range b.q.spillLimit() {
		b.postpone("deferred")
	}
	for _, s := range others {
		gone(s)
	}
	require.Len(t, b.drain(), b.q.spillLimit(), "the events, since what has left is swept out")
	require.EqualValues(t, 11, b.q.buffer.Counts().Withdrawn)
	gone(first)
	require.EqualValues(t, 11, b.q.buffer.Counts().Withdrawn, "it has left once")
	locked(func() { b.q.closeLocked(closing) })
	join()
	locked(func() { b.q.closeLocked(closed) })
	require.False(t, b.q.admitJoiner(first))
}

// A wait that leaves the line for its context's end takes the context's error.
func TestPublishLeavesTheLineWhenItsContextEnds(t *testing.T) {
	b := newBench(t, 1)
	b.fill()
	ctx, cancel := context.WithCancel(t.Context())
	pub := b.of(nil, "waits")
	pub.ctx = ctx
	w := b.wait(pub)
	cancel()
	require.ErrorIs(t, b.q.await(w), context.Canceled)
	require.Empty(t, b.drain())
}

// A processor that RunUntilIdle drives begins nothing more once it was told to stop,
// though it has served the request: Shutdown hands back what is queued.
func TestRunUntilIdleBeginsNothingAfterItWasToldToStop(t *testing.T) {
	b := newBench(t, 4).bus
	called := false
	b.SubscribeFunc("event", func(context.Context, Event) error { called = true; return nil })
	require.NoError(t, b.Publish(context.Background(), OrderQueue, Event{Type: "event"}))
	require.NoError(t, b.beginStepping(context.Background(), caller{}))
	p := b.queues[OrderQueue].proc
	p.request(reqStop | reqKill) // as Shutdown does, one processor after the other
	require.False(t, p.step())
	require.False(t, p.step(), "again, since another processor had something to do")
	require.False(t, called)
	b.endStepping()
	require.Error(t, b.Shutdown(context.Background()))
}

// Flush ends though a late joiner that leaves is counted as withdrawn only after the
// processor has begun it.
func TestFlushEndsThoughAJoinerLeavesWhileItIsBegun(t *testing.T) {
	b, err := New()
	require.NoError(t, err)
	kept := NewTopic[int]("kept", DataQueue, Retain())
	require.NoError(t, kept.Publish(t.Context(), b, 1))
	s := kept.Subscribe(b, func(context.Context, int) error { return nil }, WithLast())
	require.True(t, b.table.unsubscribe(s), "it is on its way")
	require.NoError(t, b.Start(context.Background()))
	for b.queues[DataQueue].buffer.Site().Begun() < 2 || b.queues[DataQueue].buffer.Site().Busy() {
		runtime.Gosched()
	}
	flushed := make(chan error, 1)
	go func() { flushed <- b.Flush(context.Background()) }()
	for b.observers.n.Load() == 0 {
		runtime.Gosched()
	}
	time.Sleep(10 * time.Millisecond) // it waits by then; if not, the test passes for nothing
	b.withdrawJoiner(s.joins)
	select {
	case err := <-flushed:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "Flush still waits")
	}
	require.NoError(t, b.Shutdown(context.Background()))
}

// Who leaves when the outcome is known gets that.
func TestPublishWaitTakesTheOutcomeThatCameFirst(t *testing.T) {
	c := newCompletion()
	require.True(t, c.begin())
	require.ErrorContains(t, c.leave(context.Canceled), "its handlers are not done")
	c.complete(nil)
	require.NoError(t, c.leave(context.Canceled))
}
