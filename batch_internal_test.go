package eventbus

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// See TestAChunkTakenAfterStopWaitsForTheNextStart.
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
