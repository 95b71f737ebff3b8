package eventbusnats_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

var errHandler = errors.New("the broker is away")

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
}

// Groups are independent: each gets all events.
func TestImportServesEachGroup(t *testing.T) {
	topic := openTopic(t, newNode(t))
	publish(t, topic, 0, 20)
	for _, group := range []string{"broker", "broker.b", "*"} {
		b := newBus(t)
		handled := handle(b)
		_, err := topic.Import(within(t, patience), b, group)
		require.NoError(t, err)
		require.Equal(t, numbers(0, 20), handled.awaitN(t, 20))
	}
}

// An imported event has the Time and Source that it had, and carries its Message.
func TestImportKeepsTimeAndSource(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	from := newBus(t)
	_, err := topic.Export(from)
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	require.NoError(t, placed.PublishEvent(t.Context(), from, eventbus.Event{Type: placed.Type(), Data: newOrder(7), Source: "my strategy/50%", Time: at}))
	got := newRecorder[eventbus.Event]()
	b.SubscribeFunc(placed.Type(), func(ctx context.Context, e eventbus.Event) error {
		m, ok := eventbus.Carried[eventbusnats.Message](ctx)
		if want := (eventbusnats.Message{ID: "o7", Stream: placedStream, Sequence: 1, Group: "broker", Attempt: 1}); !ok || m != want {
			t.Errorf("it carries %v, want %v", m, want)
		}
		got.add(e)
		return nil
	})
	importTo(t, topic, b)
	e := got.awaitN(t, 1)[0]
	require.True(t, at.Equal(e.Time), "%v", e.Time)
	e.Time = at
	require.Equal(t, eventbus.Event{Type: placed.Type(), Data: newOrder(7), Source: "my strategy/50%", Time: at}, e)
}

// What others store is imported too: without headers an event has the time when it was
// stored, and no id.
func TestImportTakesForeignMessages(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	got := newRecorder[eventbus.Event]()
	b.SubscribeFunc(placed.Type(), func(_ context.Context, e eventbus.Event) error { got.add(e); return nil })
	_, err := tools(t, n).Publish(within(t, patience), "eventbus.order=2Eplaced", []byte(`{"ID":"x","N":3}`))
	require.NoError(t, err)
	importTo(t, topic, b)
	e := got.awaitN(t, 1)[0]
	require.Equal(t, order{"x", 3}, e.Data)
	require.WithinDuration(t, time.Now(), e.Time, patience)
}

// A failing event is tried again in place: all its handlers are called again, with the same
// id and the next attempt, and no later event overtakes it.
func TestImportRetriesInPlace(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	type call struct{ n, attempt int }
	calls := newRecorder[call]()
	handled := handle(b)
	placed.Subscribe(b, func(ctx context.Context, o order) error {
		m, _ := eventbus.Carried[eventbusnats.Message](ctx)
		calls.add(call{o.N, m.Attempt})
		if o.N == 1 && m.Attempt < 3 {
			return errHandler
		}
		return nil
	})
	told := newRecorder[error]()
	publish(t, topic, 0, 3)
	importTo(t, topic, b, eventbusnats.WithAttempts(3), eventbusnats.WithBackoff(time.Millisecond, 2*time.Millisecond), eventbusnats.OnImportError(told.add))
	require.Equal(t, []call{{0, 1}, {1, 1}, {1, 2}, {1, 3}, {2, 1}}, calls.awaitN(t, 5))
	require.Equal(t, []int{0, 1, 1, 1, 2}, handled.awaitN(t, 5), "the handler that had succeeded is called again")
	list := told.awaitN(t, 2)
	require.Len(t, list, 2)
	require.ErrorIs(t, list[1], errHandler)
	require.ErrorContains(t, list[1], `event "o1" (sequence 2), attempt 2 of 3 failed`)
	require.Empty(t, letters(t, topic))
}

// A second importer of a group is refused, on the same node and on another one, until the
// first one is closed.
func TestImportRefusesASecondImporter(t *testing.T) {
	_, urls := startServers(t, 1)
	topic := openTopic(t, connectTo(t, urls))
	other := openTopic(t, connectTo(t, urls))
	im := importTo(t, topic, newBus(t))
	for _, second := range []*eventbusnats.Topic[order]{topic, other} {
		_, err := second.Import(within(t, patience), newBus(t), "broker")
		require.ErrorIs(t, err, eventbusnats.ErrGroupInUse)
		require.ErrorContains(t, err, "in process ")
		_, err = second.Import(within(t, patience), newBus(t), "another group of "+second.Stream())
		if second == topic {
			require.NoError(t, err)
		}
	}
	closeImporter(t, im)
	importTo(t, other, newBus(t))
}

// While handlers run for longer than the server waits, it is told so, and does not send the
// event again.
func TestImportGivesSignsWhileHandlersRun(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	handled := newRecorder[int]()
	placed.Subscribe(b, func(_ context.Context, o order) error {
		time.Sleep(2500 * time.Millisecond) // two and a half times what the server waits
		handled.add(o.N)
		return nil
	})
	publish(t, topic, 0, 1)
	im := importTo(t, topic, b, eventbusnats.WithAckWait(time.Second))
	handled.awaitN(t, 1)
	closeImporter(t, im)
	c, err := tools(t, n).Consumer(within(t, patience), placedStream, "broker")
	require.NoError(t, err)
	require.EqualValues(t, 1, c.CachedInfo().Delivered.Consumer, "deliveries")
	require.Zero(t, c.CachedInfo().NumRedelivered)
	require.Zero(t, c.CachedInfo().NumAckPending, "it is acknowledged by the end of Close")
}

// An importer makes a consumer that was deleted anew where it was, and tells of it.
func TestImportGoesOnWithoutItsConsumer(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	handled, told := handle(b), newRecorder[error]()
	importTo(t, topic, b, eventbusnats.OnImportError(told.add))
	for i := range 3 {
		publish(t, topic, 10*i, 10*i+10)
		require.Equal(t, numbers(0, 10*i+10), handled.awaitN(t, 10*i+10), "each once, in order")
		require.NoError(t, tools(t, n).DeleteConsumer(within(t, patience), placedStream, "broker"))
		told.awaitN(t, i+1)
	}
	require.ErrorContains(t, told.awaitN(t, 1)[0], `eventbusnats: the import of "order.placed" for group "broker"`)
}

// An importer goes on with a stream that was deleted and made anew, whose sequences begin
// with 1 again.
func TestImportGoesOnWithANewStream(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	handled, told := handle(b), newRecorder[error]()
	importTo(t, topic, b, eventbusnats.OnImportError(told.add))
	publish(t, topic, 0, 10)
	handled.awaitN(t, 10)
	require.NoError(t, tools(t, n).DeleteStream(within(t, patience), placedStream))
	awaitError(t, told, eventbusnats.ErrNoStream)
	publish(t, openTopic(t, n), 10, 15)
	require.Equal(t, numbers(0, 15), handled.awaitN(t, 15))
}

// A server that is killed and comes back is connected to again. Nothing is lost, and what
// comes again is what was not acknowledged.
func TestImportSurvivesItsServer(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	topic, b := openTopic(t, connectTo(t, urls)), newBus(t)
	handled, told := handle(b), newRecorder[error]()
	importTo(t, topic, b, eventbusnats.OnImportError(told.add))
	for i := range 2 {
		publish(t, topic, 100*i, 100*i+100)
		handled.awaitN(t, 100*i+100)
		servers[0].kill()
		told.awaitN(t, i+1)
		servers[0].start(t)
	}
	publish(t, topic, 200, 210)
	require.Equal(t, numbers(0, 210), handled.awaitN(t, 210))
}

// A power cut takes the end of a stream with it, and the server gives the same sequences to
// what comes after: that is handled, and not taken for what was.
func TestImportHandlesWhatReplacesALostEnd(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	topic, b := openTopic(t, connectTo(t, urls)), newBus(t)
	handled := handle(b)
	importTo(t, topic, b)
	publish(t, topic, 0, 5)
	handled.awaitN(t, 5)
	server := servers[0]
	server.kill()
	before := t.TempDir()
	require.NoError(t, os.CopyFS(before, os.DirFS(server.dir)))
	server.start(t)
	publish(t, topic, 5, 10)
	handled.await(t, "9 is handled", func(list []int) bool { return slices.Contains(list, 9) })
	server.kill()
	require.NoError(t, os.RemoveAll(server.dir))
	require.NoError(t, os.CopyFS(server.dir, os.DirFS(before))) // 5 to 9 are lost
	server.start(t)
	publish(t, topic, 10, 15)
	list := handled.await(t, "14 is handled", func(list []int) bool { return slices.Contains(list, 14) })
	require.Subset(t, list, numbers(10, 15))
}

// Events that were deleted before they were handled are told.
func TestImportTellsWhatItMissed(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	handled, told := newRecorder[int](), newRecorder[error]()
	begun, goOn := make(chan struct{}), make(chan struct{})
	placed.Subscribe(b, func(_ context.Context, o order) error {
		if o.N == 0 {
			close(begun)
			<-goOn
		}
		handled.add(o.N)
		return nil
	})
	publish(t, topic, 0, 1)
	importTo(t, topic, b, eventbusnats.OnImportError(told.add))
	receive(t, begun)
	require.NoError(t, b.Pause(eventbus.OrderQueue)) // so that nothing more is handed over
	publish(t, topic, 1, 2+512)                      // more than is sent ahead
	s, err := tools(t, n).Stream(within(t, patience), placedStream)
	require.NoError(t, err)
	for seq := uint64(513); seq <= 514; seq++ {
		require.NoError(t, s.DeleteMsg(within(t, patience), seq))
	}
	close(goOn)
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	publish(t, topic, 514, 516)
	require.Equal(t, append(numbers(0, 512), 514, 515), handled.awaitN(t, 514))
	require.ErrorContains(t, awaitError(t, told, eventbusnats.ErrMissed), "513 to 514")
}

// A group that others made in another way, and options that differ, are refused.
func TestImportRefusesWhatDiffers(t *testing.T) {
	n := newNode(t)
	topic := openTopic(t, n)
	closeImporter(t, importTo(t, topic, newBus(t)))
	_, err := topic.Import(within(t, patience), newBus(t), "broker", eventbusnats.WithAckWait(time.Minute))
	require.ErrorIs(t, err, eventbusnats.ErrDiffers)
	require.ErrorContains(t, err, "consumer broker: AckWait is 30s, want 1m0s")

	_, err = tools(t, n).CreateConsumer(within(t, patience), placedStream, jetstream.ConsumerConfig{Durable: "new", DeliverPolicy: jetstream.DeliverNewPolicy, MaxDeliver: 3})
	require.NoError(t, err)
	_, err = topic.Import(within(t, patience), newBus(t), "new")
	require.ErrorContains(t, err, "MaxDeliver is 3, want -1")
	require.ErrorContains(t, err, "DeliverPolicy is new, want all")
}

// A bus that exports a topic cannot import it: each event would go round in circles.
func TestImportRefusesACircle(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	x, err := topic.Export(b)
	require.NoError(t, err)
	_, err = topic.Import(within(t, patience), b, "broker")
	require.ErrorContains(t, err, "round in circles")
	require.NoError(t, x.Close(within(t, patience)))
	im := importTo(t, topic, b)
	_, err = topic.Export(b)
	require.ErrorContains(t, err, "round in circles")
	closeImporter(t, im)
	_, err = topic.Export(b)
	require.NoError(t, err)
}

func TestImportPanicsOnMisuse(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	for want, opt := range map[string]eventbusnats.ImportOption{
		"an option is nil":                         nil,
		"WithAttempts: 0 attempts, want 1 or more": eventbusnats.WithAttempts(0),
		"WithBackoff: from 2s to 1s, want the first more than 0 and the last no less": eventbusnats.WithBackoff(2*time.Second, time.Second),
		"WithAckWait: 1ms, want 1s or more":                                           eventbusnats.WithAckWait(time.Millisecond),
		"OnImportError: the function is nil":                                          eventbusnats.OnImportError(nil),
	} {
		require.PanicsWithValue(t, "eventbusnats: Import: "+want, func() { _, _ = topic.Import(t.Context(), b, "broker", opt) })
	}
	require.PanicsWithValue(t, "eventbusnats: Import: the bus is nil", func() { _, _ = topic.Import(t.Context(), nil, "broker") })
	require.PanicsWithValue(t, "eventbusnats: Import: the group is empty", func() { _, _ = topic.Import(t.Context(), b, "") })
}
