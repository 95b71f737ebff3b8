package eventbusnats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

const deadStream = "EVENTBUSDEAD_order=2Eplaced"

func letters(t *testing.T, topic *eventbusnats.Topic[order]) (list []eventbusnats.DeadLetter) {
	t.Helper()
	for l, err := range topic.DeadLetters(within(t, patience)) {
		require.NoError(t, err)
		list = append(list, l)
	}
	return list
}

// impatient are options with which an event soon becomes a dead letter.
func impatient(attempts int, told *recorder[error]) []eventbusnats.ImportOption {
	return []eventbusnats.ImportOption{eventbusnats.WithAttempts(attempts), eventbusnats.WithBackoff(time.Millisecond, time.Millisecond), eventbusnats.OnImportError(told.add)}
}

// An event whose handlers fail each time becomes a dead letter, with the reason, and the
// next event is handled.
func TestDeadLettersHoldWhatFailsEachTime(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	handled := handle(b)
	placed.Subscribe(b, func(_ context.Context, o order) error {
		if o.N == 1 {
			return errors.New("first line\r\nsecond line, größer")
		}
		return nil
	})
	told := newRecorder[error]()
	publish(t, topic, 0, 3)
	im := importTo(t, topic, b, impatient(4, told)...)
	require.Equal(t, []int{0, 1, 1, 1, 1, 2}, handled.awaitN(t, 6))
	list := letters(t, topic)
	require.Len(t, list, 1)
	l := list[0]
	want := eventbusnats.Message{ID: "o1", Stream: placedStream, Sequence: 2, Group: "broker", Attempt: 4}
	require.Equal(t, want, l.Message)
	require.Equal(t, "eventbus", l.Source)
	require.WithinDuration(t, time.Now(), l.Time, patience)
	require.WithinDuration(t, time.Now(), l.Stored, patience)
	require.JSONEq(t, `{"ID":"o1","N":1}`, string(l.Data))
	require.Contains(t, l.Reason, "first line; second line, größer")
	var d *eventbusnats.DeadLetterError
	require.ErrorAs(t, told.awaitN(t, 4)[3], &d)
	require.Equal(t, want, d.Message)
	closeImporter(t, im)
}

// What cannot be decoded is a dead letter at once, a codec that panics included.
func TestDeadLettersHoldWhatCannotBeDecoded(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	handled, told := handle(b), newRecorder[error]()
	_, err := tools(t, n).Publish(within(t, patience), "eventbus.order=2Eplaced", []byte("no JSON"))
	require.NoError(t, err)
	publish(t, topic, 1, 2)
	im := importTo(t, topic, b, impatient(4, told)...)
	require.Equal(t, []int{1}, handled.awaitN(t, 1))
	closeImporter(t, im)
	require.ErrorIs(t, told.awaitN(t, 1)[0], eventbusnats.ErrUndecodable)
	l := letters(t, topic)
	require.Len(t, l, 1)
	require.Equal(t, "no JSON", string(l[0].Data))
	require.Zero(t, l[0].Message.Attempt)
	require.Contains(t, l[0].Reason, "cannot be decoded")

	panicking := eventbusnats.JSON[order]()
	panicking.Decode = func([]byte) (order, error) { panic("no idea") }
	panics, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithCodec(panicking))
	require.NoError(t, err)
	_, err = panics.Import(within(t, patience), b, "other", impatient(4, told)...)
	require.NoError(t, err)
	told.awaitN(t, 3)
	l = letters(t, topic)
	require.Len(t, l, 3)
	require.Contains(t, l[2].Reason, "the codec panicked: no idea")
}

// An event that is too old when its turn comes is a dead letter at once.
func TestDeadLettersHoldWhatHasExpired(t *testing.T) {
	topic := openTopic(t, newNode(t))
	b := newBus(t, eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 10, MaxAge: time.Millisecond}))
	handle(b)
	told := newRecorder[error]()
	publish(t, topic, 0, 1)
	time.Sleep(2 * time.Millisecond) // now it is too old
	importTo(t, topic, b, impatient(4, told)...)
	require.ErrorIs(t, told.awaitN(t, 1)[0], eventbus.ErrExpired)
	l := letters(t, topic)
	require.Len(t, l, 1)
	require.Equal(t, 1, l[0].Message.Attempt)
}

// An event that nobody takes is a failure: an engine without its handlers must not use its
// orders up. With WithUnhandled it is done.
func TestDeadLettersHoldWhatNobodyTakes(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	taps := newRecorder[int]()
	b.SubscribeAll(eventbus.HandlerFunc(func(_ context.Context, e eventbus.Event) error { taps.add(e.Data.(order).N); return nil }))
	told := newRecorder[error]()
	publish(t, topic, 0, 1)
	closeImporter(t, importTo(t, topic, b, eventbusnats.WithUnhandled()))
	im := importTo(t, topic, b, append(impatient(2, told), eventbusnats.WithUnhandled())...)
	taps.awaitN(t, 1)
	closeImporter(t, im)
	require.Empty(t, letters(t, topic))

	publish(t, topic, 1, 2)
	importTo(t, topic, b, impatient(2, told)...)
	awaitError(t, told, eventbus.ErrUnhandled)
	require.Equal(t, []int{0, 1, 1}, taps.awaitN(t, 3))
	told.awaitN(t, 2)
	require.Len(t, letters(t, topic), 1)
}

// While a dead letter cannot be stored, its event is not acknowledged, and no later one is
// begun.
func TestDeadLettersAreStoredBeforeTheAcknowledgement(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	topic, b := openTopic(t, n, eventbusnats.WithMaxBytes(4096)), newBus(t)
	handled, told := newRecorder[int](), newRecorder[error]()
	placed.Subscribe(b, func(_ context.Context, o order) error {
		handled.add(o.N)
		if o.N == 0 {
			return errHandler
		}
		return nil
	})
	closeImporter(t, importTo(t, topic, b)) // it makes the streams
	for err := error(nil); err == nil; {
		_, err = tools(t, n).Publish(within(t, patience), "eventbusdead.order=2Eplaced", make([]byte, 100))
	}
	publish(t, topic, 0, 2)
	importTo(t, topic, b, impatient(1, told)...)
	require.ErrorContains(t, awaitError(t, told, eventbusnats.ErrFull), `the dead letter of event "o0" (sequence 1) is not stored yet`)
	list, _ := handled.all()
	require.Equal(t, []int{0}, list)
	c, err := tools(t, n).Consumer(within(t, patience), placedStream, "broker")
	require.NoError(t, err)
	require.Zero(t, c.CachedInfo().AckFloor.Stream, "it is not acknowledged")

	s, err := tools(t, n).Stream(within(t, patience), deadStream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(within(t, patience)))
	require.Equal(t, []int{0, 1}, handled.awaitN(t, 2))
	require.Equal(t, "o0", letters(t, topic)[0].Message.ID)
}

// Close during a burial that is tried again is no trouble: nothing of it is told.
func TestDeadLettersTellNothingOfClose(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 1)
	topic, b := openTopic(t, connectTo(t, urls)), newBus(t)
	failing, goOn := make(chan struct{}), make(chan struct{})
	placed.Subscribe(b, func(context.Context, order) error {
		close(failing)
		<-goOn
		return errHandler
	})
	told := newRecorder[error]()
	publish(t, topic, 0, 1)
	im := importTo(t, topic, b, impatient(1, told)...)
	receive(t, failing)
	servers[0].kill()
	close(goOn)
	told.await(t, "the burial fails", func(list []error) bool {
		return len(list) > 0 && strings.Contains(list[len(list)-1].Error(), "is not stored yet")
	})
	closeImporter(t, im)
	list, _ := told.all()
	for _, err := range list {
		require.NotErrorIs(t, err, eventbusnats.ErrClosed)
	}
}

// A stream of dead letters that was deleted is made anew.
func TestDeadLettersHaveTheirStreamAgain(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	placed.Subscribe(b, func(context.Context, order) error { return errHandler })
	told := newRecorder[error]()
	importTo(t, topic, b, impatient(1, told)...)
	require.NoError(t, tools(t, n).DeleteStream(within(t, patience), deadStream))
	publish(t, topic, 0, 1)
	var d *eventbusnats.DeadLetterError
	told.await(t, "the dead letter", func(list []error) bool { return len(list) > 0 && errors.As(list[len(list)-1], &d) })
	require.Len(t, letters(t, topic), 1)
}

// A crash between the burial and the acknowledgement buries the event again, and it is there
// once.
func TestDeadLettersAreStoredOnce(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	placed.Subscribe(b, func(context.Context, order) error { return errHandler })
	told := newRecorder[error]()
	publish(t, topic, 0, 1)
	for i := range 2 {
		im := importTo(t, topic, b, impatient(1, told)...)
		told.awaitN(t, i+1)
		closeImporter(t, im)
		_, err := tools(t, n).ResetConsumerToSequence(within(t, patience), placedStream, "broker", 1) // as if it had not been acknowledged
		require.NoError(t, err)
	}
	require.Len(t, letters(t, topic), 1)
}

// A message that leaves no room for the reason is buried without its data, which stays in
// its stream.
func TestDeadLettersOmitDataWithoutRoom(t *testing.T) {
	n := newNode(t)
	topic, b := openTopic(t, n), newBus(t)
	told := newRecorder[error]()
	large := []byte(strings.Repeat("x", 1<<20))
	_, err := tools(t, n).Publish(within(t, patience), "eventbus.order=2Eplaced", large)
	require.NoError(t, err)
	importTo(t, topic, b, impatient(1, told)...)
	told.awaitN(t, 1)
	l := letters(t, topic)
	require.Len(t, l, 1)
	require.Empty(t, l[0].Data)
	require.Equal(t, len(large), l[0].Omitted)
	require.EqualValues(t, 1, l[0].Message.Sequence)
}

// A message whose headers leave no room for those of the letter is buried without them.
func TestDeadLettersDropHeadersWithoutRoom(t *testing.T) {
	for name, h := range map[string]nats.Header{
		"foreign":    {"Trace": {strings.Repeat("x", 65_400)}},
		"id":         {"ce-id": {strings.Repeat("x", 65_400)}, "ce-time": {"2001-02-03T04:05:06Z"}},
		"time":       {"ce-time": {strings.Repeat("x", 65_400)}},
		"message id": {"Nats-Msg-Id": {strings.Repeat("x", 65_400)}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			topic, b := openTopic(t, n), newBus(t)
			told := newRecorder[error]()
			_, err := tools(t, n).PublishMsg(within(t, patience), &nats.Msg{Subject: "eventbus.order=2Eplaced", Header: h, Data: []byte("no JSON")})
			require.NoError(t, err)
			importTo(t, topic, b, impatient(1, told)...)
			var d *eventbusnats.DeadLetterError
			require.ErrorAs(t, told.awaitN(t, 1)[0], &d)
			l := letters(t, topic)
			require.Len(t, l, 1)
			require.EqualValues(t, 1, l[0].Message.Sequence)
			require.Equal(t, "no JSON", string(l[0].Data))
			require.Contains(t, l[0].Reason, "cannot be decoded")
			if name == "id" {
				require.Equal(t, strings.Repeat("x", 1024)+"…", l[0].Message.ID)
				require.Equal(t, 2001, l[0].Time.Year())
			}
		})
	}
}

func TestDeadLettersOfATopicThatNobodyImports(t *testing.T) {
	require.Empty(t, letters(t, openTopic(t, newNode(t))))
}
