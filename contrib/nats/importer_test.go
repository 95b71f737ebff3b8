package eventbusnats_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Close waits for the handlers at hand, acknowledges their event and begins no other one.
func TestImporterCloseWaitsForTheEventAtHand(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	begun, goOn := make(chan struct{}, 3), make(chan struct{})
	handled := newRecorder[int]()
	placed.Subscribe(b, func(_ context.Context, o order) error {
		begun <- struct{}{}
		<-goOn
		handled.add(o.N)
		return nil
	})
	publish(t, topic, 0, 3)
	im := importTo(t, topic, b)
	receive(t, begun)
	closed := inBackground(func() error { return im.Close(within(t, patience)) })
	select {
	case err := <-closed:
		require.FailNow(t, "it does not wait", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	require.NoError(t, receive(t, closed))
	receive(t, im.Done())
	list, _ := handled.all()
	require.Equal(t, []int{0}, list)
	require.NoError(t, im.Close(ended()), "it is closed")

	importTo(t, topic, b)
	require.Equal(t, numbers(0, 3), handled.awaitN(t, 3), "0 was acknowledged")
}

// When its context ends first, Close returns, and the event at hand comes again.
func TestImporterCloseGivesUp(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(goOn) })
	placed.Subscribe(b, func(context.Context, order) error {
		begun <- struct{}{}
		<-goOn
		return nil
	})
	publish(t, topic, 0, 1)
	im := importTo(t, topic, b)
	receive(t, begun)
	err := im.Close(within(t, 50*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "the event at hand is not done")
	receive(t, im.Done())

	other := newBus(t)
	handled := handle(other)
	importTo(t, topic, other)
	require.Equal(t, []int{0}, handled.awaitN(t, 1))
}

// Close ends the wait before the next attempt.
func TestImporterCloseEndsABackoff(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	placed.Subscribe(b, func(context.Context, order) error { return errHandler })
	told := newRecorder[error]()
	publish(t, topic, 0, 1)
	im := importTo(t, topic, b, eventbusnats.WithBackoff(time.Hour, time.Hour), eventbusnats.OnImportError(told.add))
	awaitError(t, told, errHandler)
	closeImporter(t, im)
	require.Empty(t, letters(t, topic))
}

// An importer ends by itself when its bus is shut down, tells why, and has not acknowledged
// what no handler has done.
func TestImporterEndsWithItsBus(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	handled := handle(b)
	told := newRecorder[error]()
	publish(t, topic, 0, 3)
	im := importTo(t, topic, b, eventbusnats.OnImportError(told.add))
	handled.awaitN(t, 3)
	require.NoError(t, b.Shutdown(within(t, patience)))
	publish(t, topic, 3, 5)
	receive(t, im.Done())
	require.ErrorIs(t, im.Err(), eventbus.ErrClosed)
	awaitError(t, told, eventbus.ErrClosed)

	next := newBus(t)
	handled = handle(next)
	importTo(t, topic, next)
	require.Equal(t, []int{3, 4}, handled.awaitN(t, 2))
}

// A bus that does not run, or is paused, or full, makes the importer wait; it counts no
// attempts.
func TestImporterWaitsForItsBus(t *testing.T) {
	topic := openTopic(t, newNode(t))
	b, err := eventbus.New(eventbus.WithLogger(discard), eventbus.WithCarry(eventbusnats.Carry),
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropNewest}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Shutdown(within(t, time.Second)) })
	attempts := newRecorder[int]()
	placed.Subscribe(b, func(ctx context.Context, _ order) error {
		m, _ := eventbus.Carried[eventbusnats.Message](ctx)
		attempts.add(m.Attempt)
		return nil
	})
	full := eventbus.NewEvent("full", nil, "")
	require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, full))
	told := newRecorder[error]()
	publish(t, topic, 0, 2)
	importTo(t, topic, b, eventbusnats.WithAttempts(1), eventbusnats.WithBackoff(time.Millisecond, time.Millisecond), eventbusnats.OnImportError(told.add))
	awaitError(t, told, eventbus.ErrDropped)
	_, err = b.RunUntilIdle(t.Context()) // from now on it is stepped
	require.NoError(t, err)
	awaitError(t, told, eventbus.ErrNotRunning)
	require.NoError(t, b.Start(context.Background()))
	require.Equal(t, []int{1, 1}, attempts.awaitN(t, 2))
	require.Empty(t, letters(t, topic))
}

// Close of the importer or of its node in the error handler, which is not allowed, ends with
// its context.
func TestImporterCloseEndsWithItsContext(t *testing.T) {
	for _, closes := range []string{"importer", "node"} {
		t.Run(closes, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			topic, b := openTopic(t, n), newBus(t)
			placed.Subscribe(b, func(context.Context, order) error { return errHandler })
			publish(t, topic, 0, 1)
			closed, made := make(chan error, 1), make(chan *eventbusnats.Importer, 1)
			made <- importTo(t, topic, b, eventbusnats.OnImportError(func(error) {
				im := <-made
				if closes == "node" {
					closed <- n.Close(within(t, 10*time.Millisecond))
				} else {
					closed <- im.Close(within(t, 10*time.Millisecond))
				}
				made <- im
			}))
			require.ErrorIs(t, receive(t, closed), context.DeadlineExceeded)
		})
	}
}

// The panic of an error handler ends nothing.
func TestImporterContainsItsErrorHandler(t *testing.T) {
	topic, b := openTopic(t, newNode(t)), newBus(t)
	var calls atomic.Int32
	handled := newRecorder[int]()
	placed.Subscribe(b, func(_ context.Context, o order) error {
		if calls.Add(1) == 1 {
			return errHandler
		}
		handled.add(o.N)
		return nil
	})
	publish(t, topic, 0, 2)
	importTo(t, topic, b, eventbusnats.WithBackoff(time.Millisecond, time.Millisecond), eventbusnats.OnImportError(func(error) { panic("the error handler fails") }))
	require.Equal(t, numbers(0, 2), handled.awaitN(t, 2))
}
