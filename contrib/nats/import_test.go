package eventbusnats_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Import publishes the stream's events in the order of the stream, and a known group goes
// on where it was.
func TestImportGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	topic, b := openTopic(t, n), newBus(t)
	handled := handle(b)
	publish(t, topic, 0, 500)
	im := importTo(t, topic, b)
	publish(t, topic, 500, 1000)
	require.Equal(t, numbers(0, 1000), handled.awaitN(t, 1000))
	closeImporter(t, im)
	require.NoError(t, im.Err())
	require.NoError(t, n.Close(within(t, patience)))

	topic = openTopic(t, newNodeAt(t, dir))
	publish(t, topic, 1000, 1010)
	again := newBus(t)
	handled = handle(again)
	importTo(t, topic, again)
	require.Equal(t, numbers(1000, 1010), handled.awaitN(t, 10))
	_ = eventbusnats.ErrClosed
}
