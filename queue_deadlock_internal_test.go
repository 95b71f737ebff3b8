package eventbus

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// mustNotWait asks the graph whether the handler of by may wait on q.
func (b *bench) mustNotWait(q *queue, by ...*drainer) (err error) {
	locked(func() { err = q.mustNotWaitLocked(by) })
	return err
}

// at returns the drainer of the queue's processor, and a function that moves it to the
// next event.
func at(q *queue) (d *drainer, move func()) {
	d, n := &q.proc.drainer, uint64(1)
	d.site = func() uint64 { return n }
	return d, func() { n++ }
}

// A handler that waits for its own queue, or around a cycle, would wait for itself.
func TestPublishInAHandlerFindsTheCycle(t *testing.T) {
	b := newBench(t, 1)
	data, signals, orders := b.bus.queues[DataQueue], b.bus.queues[SignalQueue], b.bus.queues[OrderQueue]
	d, _ := at(data)
	s, _ := at(signals)
	o, _ := at(orders)
	require.ErrorIs(t, b.mustNotWait(data, d), ErrWouldDeadlock, "its own")
	require.NoError(t, b.mustNotWait(orders, d))
	b.fill()
	b.wait(b.of(d, "data to orders"))
	locked(func() { o.edge = &edge{on: signals, site: o.site(), pub: b.of(o)} })
	require.ErrorIs(t, b.mustNotWait(data, s), ErrWouldDeadlock, "signals to data to orders to signals")
	require.NoError(t, b.mustNotWait(data, b.node()), "one outside the cycle may wait")
	require.ErrorIs(t, b.mustNotWait(signals, b.node(), s), ErrWouldDeadlock, "a part of a handler counts as that handler")
}

// An edge counts only while the processor is at the event at which the wait began: a
// goroutine that outlives its handler holds up nobody.
func TestPublishInAHandlerCountsNoWaitOfAnEarlierEvent(t *testing.T) {
	b := newBench(t, 1)
	data := b.bus.queues[DataQueue]
	d, move := at(data)
	b.fill()
	w := b.wait(b.of(d, "waits"))
	require.ErrorIs(t, b.mustNotWait(b.q, d), ErrWouldDeadlock, "a second goroutine of a handler that waits")
	require.ErrorIs(t, b.mustNotWait(data, &b.q.proc.drainer), ErrWouldDeadlock, "orders to data to orders")
	move()
	require.NoError(t, b.mustNotWait(b.q, d))
	require.NoError(t, b.mustNotWait(data, &b.q.proc.drainer))
	later := b.wait(b.of(d, "waits at the next event"))
	require.NoError(t, b.q.leave(w, nil))
	require.NotNil(t, d.edge, "the edge is the later one's")
	require.NoError(t, b.q.leave(later, nil))
	require.Nil(t, d.edge)
}

// A handler waits no more once its event is handled, though it has not yet woken.
func TestPublishWaitCountsNoWaitThatIsOver(t *testing.T) {
	b := newBench(t, 2)
	d, _ := at(b.bus.queues[DataQueue])
	pub, c := b.of(d, "event"), newCompletion()
	pub.completion, pub.publisher.awaits = c, true
	pub.entries[0].needMeta().completion = c
	b.accept(pub)
	require.ErrorIs(t, b.mustNotWait(b.bus.queues[DataQueue], &b.q.proc.drainer), ErrWouldDeadlock, "it waits until the event is handled")
	require.True(t, c.begin())
	c.complete(nil)
	require.NoError(t, b.mustNotWait(b.bus.queues[DataQueue], &b.q.proc.drainer))
}

// With PublishWait a handler waits for room, and then until the event is handled: the
// edge stays, and nobody hastens what has its room.
func TestPublishWaitKeepsItsEdgeOnceThereIsRoom(t *testing.T) {
	b := newBench(t, 1)
	d, _ := at(b.bus.queues[DataQueue])
	b.fill()
	pub, c := b.of(d, "event"), newCompletion()
	pub.completion, pub.publisher.awaits = c, true
	pub.entries[0].needMeta().completion = c
	w := b.wait(pub)
	b.begin()
	require.NoError(t, b.outcome(w))
	require.Nil(t, d.edge.wait)
	require.ErrorIs(t, b.mustNotWait(b.bus.queues[DataQueue], &b.q.proc.drainer), ErrWouldDeadlock)
	b.q.endAwait(pub.by, c)
	require.NoError(t, b.mustNotWait(b.bus.queues[DataQueue], &b.q.proc.drainer))
}

// When a cycle is found, a wait on it takes a slot that is free and was kept until the
// queue had drained to half: that breaks the cycle.
func TestPublishInAHandlerIsHastenedWhereACycleCloses(t *testing.T) {
	b := newBench(t, 4)
	data := b.bus.queues[DataQueue]
	d, _ := at(data)
	b.fill()
	w := b.wait(b.of(d, "waits"))
	b.begin()
	require.True(t, w.inLine)
	require.NoError(t, b.mustNotWait(data, &b.q.proc.drainer), "orders to data, whose handler waits no more")
	require.NoError(t, b.outcome(w))
	require.Nil(t, d.edge)
}

// It moves up past waiting handlers, and gets the next free slot.
func TestPublishInAHandlerMovesUpWhereACycleCloses(t *testing.T) {
	b := newBench(t, 4)
	data := b.bus.queues[DataQueue]
	d, _ := at(data)
	b.fill()
	ahead := b.wait(b.of(b.node(), "ahead"))
	w := b.wait(b.of(d, "on the cycle"))
	require.ErrorIs(t, b.mustNotWait(data, &b.q.proc.drainer), ErrWouldDeadlock)
	b.begin()
	require.NoError(t, b.outcome(w))
	require.Equal(t, 1, ahead.passed)
	b.begin()
	require.NoError(t, b.outcome(ahead), "the others get each free slot, too")
	require.Equal(t, []any{"on the cycle", "ahead"}, b.drain())
}

// It never moves up past a deferred event.
func TestPublishInAHandlerNeverOvertakesADeferredEvent(t *testing.T) {
	b := newBench(t, 4)
	b.fill()
	b.wait(b.of(b.node(), 1))
	b.postpone("deferred")
	b.wait(b.of(b.node(), 2))
	b.wait(b.of(b.node(), 3))
	w := b.wait(b.of(b.node(), 4))
	locked(func() { b.q.moveUpLocked(w) })
	require.Equal(t, []any{1, "deferred", 4, 2, 3}, b.drain())
}

// Nor past one that as many as the capacity have passed: it waits no longer.
func TestPublishInAHandlerIsPassedAtMostAsOftenAsTheCapacity(t *testing.T) {
	b := newBench(t, 2)
	b.fill()
	patient := b.wait(b.of(b.node(), "patient"))
	var passed []any
	for n := range 5 {
		w := b.wait(b.of(b.node(), n))
		locked(func() { b.q.moveUpLocked(w) })
	}
	require.Equal(t, 2, patient.passed)
	for _, v := range b.drain() {
		if v == "patient" {
			break
		}
		passed = append(passed, v)
	}
	require.Len(t, passed, 2)
}

// Tickets belong to places: what is deferred later stays behind all of them.
func TestPublishInAHandlerExchangesItsTicket(t *testing.T) {
	b := newBench(t, 3)
	b.fill()
	b.wait(b.of(b.node(), 1))
	w := b.wait(b.of(b.node(), 2))
	locked(func() { b.q.moveUpLocked(w) })
	b.postpone("deferred")
	locked(func() { b.q.setIdleLocked(ErrNotRunning) })
	require.Equal(t, []any{2, 1, "deferred"}, b.drain())
}

// Where RunUntilIdle drives the bus, nobody else drains its queues.
func TestPublishInAHandlerThatIsSteppedMustNotWait(t *testing.T) {
	b := newBench(t, 1)
	d := &b.bus.queues[DataQueue].proc.drainer
	b.bus.stepping.Store(true)
	require.ErrorIs(t, b.mustNotWait(b.q, d), ErrWouldDeadlock)
	b.bus.stepping.Store(false)
	require.NoError(t, b.mustNotWait(b.q, d))
	locked(func() { b.q.admission.idle = ErrPaused })
	require.ErrorIs(t, b.mustNotWait(b.q, d), ErrPaused, "or nobody drains it at all")
}

// The wait of a call that Async has given up on ends at once, unless there is room for
// it by then.
func TestAsyncEndsTheWaitOfAnAbandonedCall(t *testing.T) {
	b := newBench(t, 4)
	d, kept := b.node(), b.node()
	b.fill()
	abandon := func(data any) *lineWait {
		call, pub := new(asyncCall), b.of(d, data)
		pub.caller = caller{call: call}
		w := b.wait(pub)
		call.state.Store(callAbandoned)
		return w
	}
	lucky := abandon("lucky")
	b.wait(b.of(kept, "awaited"))
	b.begin()
	endAbandoned([]*drainer{d, kept, b.node()})
	require.NoError(t, b.outcome(lucky), "a slot was free")
	require.NotNil(t, kept.edge)
	late := abandon("late")
	endAbandoned([]*drainer{d})
	require.ErrorIs(t, b.outcome(late), context.DeadlineExceeded)
	require.Nil(t, d.edge)
	locked(func() { d.edge = &edge{on: b.q, site: 1, pub: late.pub} })
	endAbandoned([]*drainer{d}) // of PublishWait, which waits until its event is handled
	require.Nil(t, d.edge)
}

// No cycle can be closed in the graph; if one is, that is said.
func TestPublishInAHandlerPanicsIfHandlersWaitInACycle(t *testing.T) {
	b := newBench(t, 1)
	data := b.bus.queues[DataQueue]
	d, _ := at(data)
	o, _ := at(b.q)
	d.edge = &edge{on: b.q, site: d.site(), pub: b.of(d)}
	o.edge = &edge{on: data, site: o.site(), pub: b.of(o)}
	require.PanicsWithValue(t, "eventbus: BUG: handlers wait in a cycle", func() { _ = b.mustNotWait(data, b.node()) })
}

// A bus that is stepped inside a handler is a part of that handler: its waits give both an
// edge, and take both back.
func TestPublishInAHandlerOfABusThatIsSteppedGivesBothAnEdge(t *testing.T) {
	b := newBench(t, 1)
	data := b.bus.queues[DataQueue]
	outer, _ := at(data)
	inner := b.node()
	b.fill()
	pub := b.of(inner, "waits")
	pub.by = []*drainer{inner, outer}
	w := b.wait(pub)
	require.NotSame(t, inner.edge, outer.edge)
	require.Equal(t, *inner.edge, *outer.edge)
	require.ErrorIs(t, b.mustNotWait(data, &b.q.proc.drainer), ErrWouldDeadlock, "orders to data to orders")
	b.begin()
	require.NoError(t, b.outcome(w))
	require.Nil(t, inner.edge)
	require.Nil(t, outer.edge)
}
