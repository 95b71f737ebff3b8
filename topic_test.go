package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	gosrc "go/scanner"
	"testing"
	text "text/scanner"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

type fill struct{ qty int }

// reporting returns a bus option that sends every reported failure to the journal.
func reporting(j *journal[*eventbus.HandlerError]) eventbus.Option {
	return eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { j.add(err) })
}

func TestTypedAndUntypedSidesOfATopicWorkTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		fills := eventbus.NewTopic[*fill]("fill", eventbus.OrderQueue)
		var typed journal[*fill]
		var untyped journal[eventbus.Event]
		s := fills.Subscribe(b, func(_ context.Context, f *fill) error { typed.add(f); return nil })
		b.SubscribeFunc("fill", func(_ context.Context, e eventbus.Event) error { untyped.add(e); return nil })
		one, two := &fill{1}, &fill{2}
		require.NoError(t, fills.Publish(t.Context(), b, one))
		flush(t, b)
		publish(t, b, eventbus.DataQueue, "fill", two)
		flush(t, b)
		require.Equal(t, []*fill{one, two}, typed.all())
		require.Equal(t, eventbus.Event{Type: "fill", Data: one, Time: time.Now()}, untyped.all()[0])
		require.Len(t, untyped.all(), 2)
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Handled)
		require.Contains(t, b.Stats().Handlers[0].Name, "TestTypedAndUntypedSidesOfATopicWorkTogether")
		s.Unsubscribe()
		require.NoError(t, fills.Publish(t.Context(), b, one))
		flush(t, b)
		require.Len(t, typed.all(), 2)
	})
}

func TestAWrongPayloadFailsTheTopicsHandlerAndNamesBothTypes(t *testing.T) {
	for name, c := range map[string]struct {
		subscribe func(b *eventbus.Bus, calls *int)
		data      any
		want      []string
	}{
		"value for pointer": {countFills[*fill], fill{1}, []string{"eventbus_test.fill,", "*eventbus_test.fill"}},
		"no payload":        {countFills[*fill], nil, []string{"<nil>", "*eventbus_test.fill"}},
		"same short name":   {countFills[*text.Scanner], new(gosrc.Scanner), []string{"*go/scanner.Scanner", "*text/scanner.Scanner"}},
		"not implemented":   {countFills[error], 7, []string{"int", "error"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var reports journal[*eventbus.HandlerError]
				b := startedBus(t, reporting(&reports))
				calls := 0
				c.subscribe(b, &calls)
				publish(t, b, eventbus.OrderQueue, "fill", c.data)
				flush(t, b)
				require.Zero(t, calls)
				require.Len(t, reports.all(), 1)
				require.ErrorIs(t, reports.all()[0], eventbus.ErrPayloadType)
				for _, want := range c.want {
					require.ErrorContains(t, reports.all()[0], want)
				}
				require.EqualValues(t, 1, b.Stats().Handlers[0].Failed)
			})
		})
	}
}

func countFills[T any](b *eventbus.Bus, calls *int) {
	eventbus.NewTopic[T]("fill", eventbus.OrderQueue).Subscribe(b, func(context.Context, T) error { *calls++; return nil })
}

func TestANilInterfaceIsAPayload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		topic := eventbus.NewTopic[error]("outcome", eventbus.OrderQueue)
		var got journal[error]
		topic.Subscribe(b, func(_ context.Context, err error) error { got.add(err); return nil })
		require.NoError(t, topic.Publish(t.Context(), b, nil))
		require.NoError(t, topic.Publish(t.Context(), b, errHandler))
		flush(t, b)
		require.Equal(t, []error{nil, errHandler}, got.all())
	})
}

func TestATopicsOverflowRuleOverridesItsQueues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBus(t, append(blocking(1, everyQueue...), noPoll)...)
		plain := eventbus.NewTopic[int]("tick", eventbus.OrderQueue)
		fast := eventbus.NewTopic[int]("tick", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.DropNewest, 0))
		slow := eventbus.NewTopic[int]("tick", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.Block, time.Second))
		require.NoError(t, plain.Publish(t.Context(), b, 1))
		instantly(t, "Publish", func() { require.ErrorIs(t, fast.Publish(t.Context(), b, 2), eventbus.ErrDropped) })
		began := time.Now()
		require.ErrorIs(t, slow.Publish(t.Context(), b, 3), eventbus.ErrQueueFull)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, plain.Publish(within(t, time.Minute), b, 4), context.DeadlineExceeded)
		require.Equal(t, time.Second+time.Minute, time.Since(began))
	})
}

func TestATopicRefusesBadInput(t *testing.T) {
	bad := errors.New("bad option")
	for want, f := range map[string]func(){
		"NewTopic: the event type is empty":                         func() { eventbus.NewTopic[int]("", 0) },
		"NewTopic x: .*unknown queue: Queue\\(9\\)":                 func() { eventbus.NewTopic[int]("x", 9) },
		"NewTopic x: an option is nil":                              func() { eventbus.NewTopic[int]("x", 0, nil) },
		"NewTopic x: WithOverflow: .*Overflow\\(9\\)":               func() { eventbus.NewTopic[int]("x", 0, eventbus.WithOverflow(9, 0)) },
		"NewTopic x: WithOverflow: the timeout is -1ns":             func() { eventbus.NewTopic[int]("x", 0, eventbus.WithOverflow(eventbus.Block, -1)) },
		"NewTopic x: WithOverflow: the timeout is 1ns, want 0: Dro": func() { eventbus.NewTopic[int]("x", 0, eventbus.WithOverflow(eventbus.DropOldest, 1)) },
		"Subscribe to x: the handler is nil":                        func() { eventbus.NewTopic[int]("x", 0).Subscribe(newBus(t), nil) },
		"Subscribe: the event type is empty": func() {
			eventbus.Topic[int]{}.Subscribe(newBus(t), func(context.Context, int) error { return bad })
		},
	} {
		require.Regexp(t, "^eventbus: "+want, panicOf(f), want)
	}
	require.ErrorIs(t, eventbus.Topic[int]{}.Publish(t.Context(), newBus(t), 1), eventbus.ErrInvalidEvent)
}

// panicOf returns what f panics with, as text.
func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

func TestPublishingAPointerOnATopicAllocatesNothing(t *testing.T) {
	b := newBus(t)
	topic := eventbus.NewTopic[*fill]("fill", eventbus.DataQueue)
	f, ctx := new(fill), context.Background()
	require.Zero(t, testing.AllocsPerRun(500, func() { _ = topic.Publish(ctx, b, f) }))
}
