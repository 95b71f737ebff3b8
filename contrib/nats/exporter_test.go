package eventbusnats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

func export(t testing.TB, topic *eventbusnats.Topic[order], b *eventbus.Bus, opts ...eventbusnats.ExportOption) *eventbusnats.Exporter {
	t.Helper()
	quiet := eventbusnats.OnExportError(func(error) {})
	x, err := topic.Export(b, append([]eventbusnats.ExportOption{quiet}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = x.Close(within(t, time.Second)) })
	return x
}

func publishOn(t testing.TB, b *eventbus.Bus, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		require.NoError(t, placed.Publish(within(t, patience), b, newOrder(n)))
	}
}

func flush(t testing.TB, b *eventbus.Bus, x *eventbusnats.Exporter) {
	t.Helper()
	require.NoError(t, b.Flush(within(t, patience)))
	require.NoError(t, x.Flush(within(t, patience)))
}

// storedNumbers returns the numbers of the orders in the stream, in its order.
func storedNumbers(t testing.TB, n *eventbusnats.Node, topic *eventbusnats.Topic[order]) (ns []int) {
	t.Helper()
	codec := eventbusnats.JSON[order]()
	for _, m := range inStream(t, n, topic.Stream()) {
		o, err := codec.Decode(m.Data())
		require.NoError(t, err)
		ns = append(ns, o.N)
	}
	return ns
}

// What a bus handles is stored in that order, each once, whatever the window.
func TestExportStoresInOrder(t *testing.T) {
	for _, window := range []int{1, 2, 1000} {
		n := newNode(t)
		topic, b := openTopic(t, n), newBus(t)
		x := export(t, topic, b, eventbusnats.WithWindow(window))
		publishOn(t, b, 0, 700)
		flush(t, b, x)
		require.Equal(t, numbers(0, 700), storedNumbers(t, n, topic))
		require.NoError(t, x.Err())
	}
}

// An id that is in the stream, or twice in a batch, is stored once, and the others around it
// in order.
func TestExportStoresAnIDOnce(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	publish(t, topic, 5, 6)
	x := export(t, topic, b)
	require.NoError(t, b.Pause(eventbus.OrderQueue)) // so that they become one batch
	publishOn(t, b, 0, 10)
	publishOn(t, b, 0, 3)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	flush(t, b, x)
	require.Equal(t, []int{5, 0, 1, 2, 3, 4, 6, 7, 8, 9}, storedNumbers(t, n, topic))
}

// An event that cannot be a message fails its own handler call alone.
func TestExportFailsAnEventAlone(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b)
	publishOn(t, b, 0, 1)
	require.ErrorIs(t, placed.PublishWait(within(t, patience), b, order{ID: strings.Repeat("x", 1<<20)}), eventbusnats.ErrTooLarge)
	require.ErrorIs(t, placed.PublishWait(within(t, patience), b, order{}), eventbusnats.ErrInvalidData)
	publishOn(t, b, 1, 2)
	flush(t, b, x)
	require.Equal(t, numbers(0, 2), storedNumbers(t, n, topic))
}

// A permanent failure ends the exporter: what is stored is a prefix, what is not is handed
// over, and each later event fails its call.
func TestExportEndsWithAFullStore(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n, eventbusnats.WithMaxBytes(8192)), newBus(t)
	told := newRecorder[error]()
	x := export(t, topic, b, eventbusnats.OnExportError(told.add))
	require.NoError(t, b.Pause(eventbus.OrderQueue))
	publishOn(t, b, 0, 50)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	require.ErrorIs(t, awaitError(t, told, eventbusnats.ErrFull), eventbusnats.ErrFull)
	require.NoError(t, b.Flush(within(t, patience)))
	require.ErrorIs(t, placed.PublishWait(within(t, patience), b, newOrder(50)), eventbusnats.ErrFull)

	var e *eventbusnats.ExportError
	require.ErrorAs(t, x.Close(within(t, patience)), &e)
	require.ErrorIs(t, e, eventbusnats.ErrFull)
	require.Equal(t, placed.Type(), e.Type)
	require.Equal(t, x.Err(), x.Flush(within(t, patience)))
	all := storedNumbers(t, n, topic)
	require.NotEmpty(t, all)
	for _, left := range e.Unstored {
		all = append(all, left.Data.(order).N)
	}
	failed := int(b.Stats().Queues[eventbus.OrderQueue].Failed) // those that came after the end
	require.Equal(t, numbers(0, 50+1-failed), all)
	require.ErrorIs(t, placed.PublishWait(within(t, patience), b, newOrder(51)), eventbus.ErrUnhandled, "closed, it is no handler any more")
}

// While the window is full, the handler blocks, and the queue behind it fills up; once there
// is room again, all is stored.
func TestExportBlocksWhenTheWindowIsFull(t *testing.T) {
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic, b := openTopic(t, n), newBus(t)
	told := newRecorder[error]()
	x := export(t, topic, b, eventbusnats.WithWindow(5), eventbusnats.OnExportError(told.add))
	servers[0].kill()
	publishOn(t, b, 0, 20)
	told.awaitN(t, 1)
	awaitStats(t, b, func(q eventbus.QueueStats) bool { return q.Depth == 14 }) // 5 in the window, 1 at the handler
	require.ErrorIs(t, x.Flush(within(t, 50*time.Millisecond)), context.DeadlineExceeded)
	servers[0].start(t)
	flush(t, b, x)
	require.Equal(t, numbers(0, 20), storedNumbers(t, n, topic))
	require.NoError(t, x.Err())
}

func awaitStats(t *testing.T, b *eventbus.Bus, is func(eventbus.QueueStats) bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(b.Stats().Queues[eventbus.OrderQueue]); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%v", b.Stats())
	}
}

// A server that is killed again and again, with windows in flight, gets each event once and
// in order.
func TestExportSurvivesItsServer(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b)
	var next atomic.Int32
	ctx, stop := context.WithCancel(context.Background())
	done := inBackground(func() error {
		for ctx.Err() == nil {
			if placed.Publish(ctx, b, newOrder(int(next.Load()))) == nil {
				next.Add(1)
			}
		}
		return nil
	})
	for range max(2, *kills/5) {
		at := next.Load() + 300
		for deadline := time.Now().Add(patience); next.Load() < at; time.Sleep(time.Millisecond) {
			require.True(t, time.Now().Before(deadline), "nothing is exported")
		}
		servers[0].kill()
		servers[0].start(t)
	}
	stop()
	receive(t, done)
	flush(t, b, x)
	require.Equal(t, numbers(0, int(next.Load())), storedNumbers(t, n, topic))
}

// Close, of the exporter or its node, in the middle of a window waits until all of it is
// stored.
func TestExporterCloseDrainsTheWindow(t *testing.T) {
	for _, closes := range []string{"exporter", "node"} {
		t.Run(closes, func(t *testing.T) {
			dir := t.TempDir()
			n := newNodeAt(t, dir)
			topic, b := openTopic(t, n), newBus(t)
			x := export(t, topic, b)
			publishOn(t, b, 0, 900)
			require.NoError(t, b.Flush(within(t, patience))) // all are in the window, or stored
			if closes == "exporter" {
				require.NoError(t, x.Close(within(t, patience)))
				require.NoError(t, x.Close(ended()), "again")
			}
			require.NoError(t, n.Close(within(t, patience)))
			require.NoError(t, x.Err())
			n = newNodeAt(t, dir)
			require.Equal(t, numbers(0, 900), storedNumbers(t, n, openTopic(t, n)))
		})
	}
}

// When the context ends first, Close answers what is in flight: each event is stored or
// handed over, and what is stored is a prefix.
func TestExporterCloseHandsOverTheWindow(t *testing.T) {
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b, eventbusnats.WithWindow(300)) // more than a batch
	publishOn(t, b, 0, 10)
	flush(t, b, x)
	servers[0].kill()
	publishOn(t, b, 10, 320)
	awaitStats(t, b, func(q eventbus.QueueStats) bool { return q.Depth == 9 }) // 300 in the window, 1 at the handler, which blocks
	begun := time.Now()
	err := n.Close(within(t, 200*time.Millisecond))
	require.Less(t, time.Since(begun), 5*time.Second)
	var e *eventbusnats.ExportError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "300 events are not stored")
	require.Len(t, e.Unstored, 300)
	for i, left := range e.Unstored {
		require.Equal(t, 10+i, left.Data.(order).N)
	}
	require.Equal(t, err, n.Close(within(t, patience)), "again")
	require.NoError(t, b.Flush(within(t, patience)), "the handler does not block any more")
	require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Failed, "the one at the handler")
}

// Options of the subscription choose what is exported, and name it.
func TestExportTakesSubscribeOptions(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b, eventbusnats.WithSubscribeOptions(eventbus.WhereData(func(o order) bool { return o.N%2 == 0 })))
	require.Equal(t, "nats export", b.Stats().Handlers[0].Name)
	publishOn(t, b, 0, 5)
	flush(t, b, x)
	require.Equal(t, []int{0, 2, 4}, storedNumbers(t, n, topic))
}

// An Export that is refused has accepted nothing, and one that panics leaves nothing behind
// that Close would wait for.
func TestExportSubscribesNothingWhenRefused(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	im := importTo(t, topic, b)
	stop := make(chan struct{})
	published := inBackground(func() (err error) {
		for !isClosed(stop) && err == nil {
			if err = placed.PublishWait(t.Context(), b, newOrder(0)); errors.Is(err, eventbus.ErrUnhandled) {
				err = nil
				continue
			}
			err = fmt.Errorf("a handler took it: %v", err)
		}
		return err
	})
	for range 200 {
		_, err := topic.Export(b)
		require.ErrorContains(t, err, "circles")
	}
	close(stop)
	require.NoError(t, receive(t, published))
	closeImporter(t, im)

	require.Panics(t, func() { _, _ = topic.Export(b, eventbusnats.WithSubscribeOptions(eventbus.WithHandlerTimeout(-1))) })
	require.NoError(t, n.Close(within(t, patience)))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A call that the bus gives up, with WithHandlerTimeout, was reported as failed: its event is
// not stored later, out of order.
func TestExportForgetsACallThatIsGivenUp(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b, eventbusnats.WithWindow(1), eventbusnats.WithSubscribeOptions(eventbus.WithHandlerTimeout(20*time.Millisecond)))
	servers[0].kill()
	require.NoError(t, placed.PublishWait(within(t, patience), b, newOrder(0)))
	for i := range 10 {
		require.ErrorIs(t, placed.PublishWait(within(t, patience), b, newOrder(1+i)), eventbus.ErrHandlerTimeout)
	}
	servers[0].start(t)
	flush(t, b, x)
	for n := 11; n < 20; n++ {
		for placed.PublishWait(within(t, patience), b, newOrder(n)) != nil {
			require.NoError(t, x.Err()) // the server takes longer than the handler's time
		}
	}
	flush(t, b, x)
	require.Equal(t, append([]int{0}, numbers(11, 20)...), storedNumbers(t, n, topic))
}

func TestExportPanicsOnMisuse(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	for want, opt := range map[string]eventbusnats.ExportOption{
		"an option is nil": nil,
		"WithWindow: the window is 0 events, want 1 or more": eventbusnats.WithWindow(0),
		"OnExportError: the function is nil":                 eventbusnats.OnExportError(nil),
	} {
		require.PanicsWithValue(t, "eventbusnats: Export: "+want, func() { _, _ = topic.Export(b, opt) })
	}
	require.PanicsWithValue(t, "eventbusnats: Export: the bus is nil", func() { _, _ = topic.Export(nil) })
}

// The panic of an error handler does not end the process.
func TestExportContainsItsErrorHandler(t *testing.T) {
	topic, b := openTopic(t, newNode(t), eventbusnats.WithMaxBytes(100)), newBus(t)
	x := export(t, topic, b, eventbusnats.OnExportError(func(error) { panic(errors.New("the error handler fails")) }))
	publishOn(t, b, 0, 1)
	require.NoError(t, b.Flush(within(t, patience)))
	require.ErrorIs(t, x.Close(within(t, patience)), eventbusnats.ErrFull)
}

// Close in the error handler, which is not allowed, ends: with what has ended the exporter, or
// with its context.
func TestExporterCloseEndsInItsErrorHandler(t *testing.T) {
	topic, b := openTopic(t, newNode(t), eventbusnats.WithMaxBytes(100)), newBus(t)
	closed := make(chan error, 1)
	var x *eventbusnats.Exporter
	x = export(t, topic, b, eventbusnats.OnExportError(func(error) { closed <- x.Close(context.Background()) }))
	publishOn(t, b, 0, 1)
	require.ErrorIs(t, receive(t, closed), eventbusnats.ErrFull)
}

// An error handler that does not return keeps Close no longer than its context, give or take
// the time for what is cut off.
func TestExporterCloseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	n := connectTo(t, urls)
	topic, b := openTopic(t, n), newBus(t)
	told, goOn := make(chan struct{}, 1), make(chan struct{})
	x := export(t, topic, b, eventbusnats.OnExportError(func(error) { told <- struct{}{}; <-goOn }))
	servers[0].kill()
	publishOn(t, b, 0, 1)
	receive(t, told)
	err := receive(t, inBackground(func() error { return x.Close(within(t, 10*time.Millisecond)) }))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "its error handler does not return")
	close(goOn)
	<-told // the last one
	var e *eventbusnats.ExportError
	require.ErrorAs(t, x.Close(within(t, patience)), &e)
	require.Len(t, e.Unstored, 1)
}

// Where an event alone takes long, what waits in the window is stored together: an exporter
// spends one answer, and one sync, on many events.
func TestExportStoresManyTogether(t *testing.T) {
	n := newNode(t, eventbusnats.WithSyncAlways())
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b)
	batches := map[string]int{}
	for from := 0; len(batches) < 2; from += 600 {
		require.Less(t, from, 60_000, "no two batches")
		publishOn(t, b, from, from+600)
		flush(t, b, x)
		for _, m := range inStream(t, n, topic.Stream())[from:] {
			if id := m.Headers().Get("Nats-Batch-Id"); id != "" {
				batches[id]++
			}
		}
	}
	for _, together := range batches {
		require.Greater(t, together, 1)
	}
}
