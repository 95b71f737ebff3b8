package eventbus

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// select may choose a chunk that was sent after the signal to stop. That is too
// rare to provoke from outside.
func TestAChunkTakenAfterStopWaitsForTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		var seen []int
		b.SubscribeFunc("tick", func(_ context.Context, e Event) error {
			seen = append(seen, e.Data.(int))
			return nil
		})
		stopLate := func() {
			require.NoError(t, b.Start(context.Background()))
			synctest.Wait()
			b.processors[DataQueue].attention.Or(stopped)
			require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "tick", Data: len(seen)}))
			synctest.Wait()
			b.Stop()
			require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "tick", Data: len(seen) + 1}))
		}
		stopLate()
		require.Empty(t, seen)
		q := b.Stats().Queues[DataQueue]
		require.Equal(t, []int{2, 0}, []int{q.Depth, q.Deferred})
		require.NoError(t, b.Start(context.Background()))
		require.NoError(t, b.Flush(context.Background()))
		require.Equal(t, []int{0, 1}, seen)
		b.Stop()
		synctest.Wait()

		stopLate()
		synctest.Wait()
		var left *ShutdownError
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.ErrorIs(t, left, ErrNotRunning)
		require.Len(t, left.Remaining[DataQueue], 2)
		require.Equal(t, 2, left.Remaining[DataQueue][0].Data)
		require.Equal(t, 3, left.Remaining[DataQueue][1].Data)
	})
}

// An event of the open chunk still waits: a later one with its key replaces it.
func TestAnEventOfTheOpenChunkIsConflated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(WithLogger(slog.New(slog.DiscardHandler)),
			WithQueue(DataQueue, QueueConfig{Capacity: 2, ConflateBy: func(e Event) string { return e.Source }}))
		require.NoError(t, err)
		var seen []any
		b.SubscribeFunc("tick", func(_ context.Context, e Event) error {
			seen = append(seen, e.Data)
			return nil
		})
		require.NoError(t, b.Start(context.Background()))
		synctest.Wait()
		b.processors[DataQueue].attention.Or(stopped)
		for i := range 3 {
			require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "tick", Source: "A", Data: i}))
			synctest.Wait()
		}
		b.Stop()
		q := b.Stats().Queues[DataQueue]
		require.Equal(t, []int{1, 0, 2}, []int{q.Depth, q.Deferred, int(q.Conflated)})
		require.NoError(t, b.Start(context.Background()))
		require.NoError(t, b.Shutdown(context.Background()))
		require.Equal(t, []any{2}, seen)
	})
}

// Once Pause has returned, the processor is at no event, or busy with one that
// it had begun, and begins no other.
func TestAProcessorBeginsNothingOncePauseHasReturned(t *testing.T) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	b.SubscribeFunc("e", func(context.Context, Event) error { return nil })
	require.NoError(t, b.Start(context.Background()))
	q := b.queues[DataQueue]
	for range 20_000 {
		for range 3 {
			_ = b.TryPublish(context.Background(), DataQueue, Event{Type: "e"})
		}
		require.NoError(t, b.Pause(DataQueue))
		before := q.mark()
		for range 20 {
			require.Equal(t, before.begun(), q.mark().begun())
		}
		require.NoError(t, b.Resume(DataQueue))
	}
	require.NoError(t, b.Shutdown(context.Background()))
}

// select chooses any of the queues that have an event. One that comes first goes
// first all the same, and what was chosen keeps its place.
func TestAChunkTakenBeforeAnOrderWaits(t *testing.T) {
	b, err := New(WithLogger(slog.New(slog.DiscardHandler)), WithSingleThread())
	require.NoError(t, err)
	var seen []any
	note := func(_ context.Context, e Event) error { seen = append(seen, e.Data); return nil }
	b.SubscribeFunc("e", note)
	p := b.processors[0]
	p.ctx = context.WithValue(context.Background(), processorKey{}, p)
	p.attention.And(^replan) // as attend does
	p.pick()
	require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "e", Data: "tick 1"}))
	require.NoError(t, b.Publish(context.Background(), DataQueue, Event{Type: "e", Data: "tick 2"}))
	require.NoError(t, b.Publish(context.Background(), OrderQueue, Event{Type: "e", Data: "order"}))
	p.take(b.queues[DataQueue], <-b.queues[DataQueue].ch)
	require.Empty(t, seen)

	_, evicted := b.queues[OrderQueue].evictOldest() // after the processor has looked
	require.True(t, evicted)
	p.idle(nil)
	require.Empty(t, seen, "it begins nothing of a chunk past which an order may come")

	require.NoError(t, b.Publish(context.Background(), OrderQueue, Event{Type: "e", Data: "later order"}))
	_, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	require.Equal(t, []any{"later order", "tick 1", "tick 2"}, seen)
}
