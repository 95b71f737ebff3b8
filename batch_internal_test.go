package eventbus

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Of two first batches one may be at its handlers while the other publisher
// still looks whether the fast path is empty.
func TestTheFirstBatchesOfAQueueDoNotWaitForEachOther(t *testing.T) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	entered, release := make(chan struct{}, 3), make(chan struct{})
	b.SubscribeFunc("order", func(context.Context, Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	require.NoError(t, b.Start(context.Background()))
	e := Event{Type: "order"}
	_, err = b.PublishBatch(context.Background(), OrderQueue, []Event{e, e, e})
	require.NoError(t, err)
	<-entered
	select {
	case <-once(func() error { b.queues[OrderQueue].beginBatching(); return nil }):
	case <-time.After(10 * time.Second):
		t.Error("it waits for the handlers")
	}
	close(release)
	require.NoError(t, b.Shutdown(context.Background()))
}

// Who is in the fast path when the first batch comes is let out before any batch
// is accepted, that of a second publisher as well.
func TestNoBatchIsAcceptedWhileSomebodyIsInTheFastPath(t *testing.T) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(OrderQueue, QueueConfig{Capacity: 10, Overflow: DropOldest}))
	require.NoError(t, err)
	q := b.queues[OrderQueue]
	batch := []Event{{Type: "batch"}, {Type: "batch"}}
	publish := func() error {
		_, err := b.PublishBatch(context.Background(), OrderQueue, batch)
		return err
	}
	q.accepted.Add(1) // as a publisher does that is about to send
	first := once(publish)
	for q.state.Load()&batching == 0 {
		runtime.Gosched()
	}
	second := once(publish)
	for range 1000 {
		runtime.Gosched()
	}
	require.Empty(t, q.ch)
	q.ch <- Event{Type: "single"}
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.EqualValues(t, "single", (<-q.ch).Type)
}

// A publish that is counted before it looks whether it may use the channel, and
// may not, takes no room from those who wait in line.
func TestACountThatIsTakenBackTakesNoRoom(t *testing.T) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithQueue(OrderQueue, QueueConfig{Capacity: 1}))
	require.NoError(t, err)
	q := b.queues[OrderQueue]
	q.beginBatching()
	q.accepted.Add(1) // the publish begins
	lineMu.Lock()
	w := q.joinLocked(nil, Event{Type: "order"})
	q.admitLocked(false)
	lineMu.Unlock()
	require.False(t, w.inLine)
	require.NoError(t, <-w.done)
	q.takeBack()
}

// See TestAnEventTakenAfterStopIsHeldForTheNextStart.
func TestABatchTakenAfterStopIsOpenedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		require.NoError(t, b.Start(context.Background()))
		synctest.Wait()
		b.processors[OrderQueue].attention.Or(stopped)
		e := Event{Type: "order", Data: "event"}
		_, err = b.PublishBatch(context.Background(), OrderQueue, []Event{e, e, e})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 3, b.Stats().Queues[OrderQueue].Depth)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		var left *ShutdownError
		require.ErrorAs(t, b.Shutdown(ctx), &left)
		require.Equal(t, []Event{e, e, e}, left.Remaining[OrderQueue])
	})
}
