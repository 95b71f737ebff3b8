package eventbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

type fill struct{ qty int }

type trade struct {
	symbol string
	n      int
}

func symbolOf(t trade) string { return t.symbol }

// stuckOnTrade returns a running bus whose data queue is held at a gate, and a
// journal of the trades that come after that.
func stuckOnTrade(t *testing.T, c eventbus.QueueConfig) (*eventbus.Bus, *journal[trade], *gate) {
	t.Helper()
	b := startedBus(t, eventbus.WithQueue(eventbus.DataQueue, c))
	got := new(journal[trade])
	for _, typ := range []eventbus.EventType{"last", "bar", "other"} {
		b.SubscribeFunc(typ, got.handle)
	}
	return b, got, hold(t, b, eventbus.DataQueue)
}

func TestTopicTypedAndUntypedSidesWorkTogether(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		fills := eventbus.NewTopic[*fill]("fill", eventbus.OrderQueue)
		var typed journal[*fill]
		var untyped journal[eventbus.Event]
		s := fills.Subscribe(b, func(_ context.Context, f *fill) error { typed.add(f); return nil })
		b.SubscribeFunc("fill", func(_ context.Context, e eventbus.Event) error { untyped.add(e); return nil })
		one, two := &fill{1}, &fill{2}
		require.NoError(t, fills.Publish(t.Context(), b, one))
		bustest.Flush(t, b)
		publish(t, b, eventbus.DataQueue, "fill", two)
		bustest.Flush(t, b)
		require.Equal(t, []*fill{one, two}, typed.all())
		require.Equal(t, eventbus.Event{Type: "fill", Data: one, Time: time.Now()}, untyped.all()[0])
		require.Len(t, untyped.all(), 2)
		require.EqualValues(t, 1, b.Stats().Queues[eventbus.OrderQueue].Handled)
		require.Contains(t, b.Stats().Handlers[0].Name, "TestTopicTypedAndUntypedSidesWorkTogether")
		s.Unsubscribe()
		require.NoError(t, fills.Publish(t.Context(), b, one))
		bustest.Flush(t, b)
		require.Len(t, typed.all(), 2)
	})
}

func TestTopicTakesANilInterface(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		topic := eventbus.NewTopic[error]("outcome", eventbus.OrderQueue)
		var got journal[error]
		topic.Subscribe(b, func(_ context.Context, err error) error { got.add(err); return nil })
		require.NoError(t, topic.Publish(t.Context(), b, nil))
		require.NoError(t, topic.Publish(t.Context(), b, bustest.ErrHandler))
		bustest.Flush(t, b)
		require.Equal(t, []error{nil, bustest.ErrHandler}, got.all())
	})
}

func TestWithOverflowOverridesTheQueuesRule(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := newBus(t, append(blocking(1, bustest.EveryQueue...), noPoll)...)
		plain := eventbus.NewTopic[int]("tick", eventbus.OrderQueue)
		fast := eventbus.NewTopic[int]("tick", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.DropNewest, 0))
		slow := eventbus.NewTopic[int]("tick", eventbus.OrderQueue, eventbus.WithOverflow(eventbus.Block, time.Second))
		require.NoError(t, plain.Publish(t.Context(), b, 1))
		instantly(t, "Publish", func() { require.ErrorIs(t, fast.Publish(t.Context(), b, 2), eventbus.ErrDropped) })
		began := time.Now()
		require.ErrorIs(t, slow.Publish(t.Context(), b, 3), eventbus.ErrQueueFull)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, plain.Publish(bustest.Within(t, time.Minute), b, 4), context.DeadlineExceeded)
		require.Equal(t, time.Second+time.Minute, time.Since(began))
	})
}

func TestNewTopicRefusesBadInput(t *testing.T) {
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

func TestNewTopicRefusesAnInvalidRule(t *testing.T) {
	for want, make := range map[string]func(){
		"WithConflateBy: the function is nil": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy[trade](nil))
		},
		"WithConflateBy: the key is made of a int, the payload is a eventbus_test.trade: want NewTopic[T] and a function of that T": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(int) string { return "" }))
		},
		"WithMaxAge: the age is 0s, want more than 0": func() {
			eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithMaxAge(0))
		},
	} {
		require.PanicsWithValue(t, "eventbus: NewTopic last: "+want, make)
	}
}

func TestTopicPublishOfAPointerAllocatesNothing(t *testing.T) {
	b := newBus(t)
	topic := eventbus.NewTopic[*fill]("fill", eventbus.DataQueue)
	f, ctx := new(fill), context.Background()
	require.Zero(t, testing.AllocsPerRun(200, func() { _ = topic.Publish(ctx, b, f) }))
	require.Zero(t, testing.AllocsPerRun(200, func() { _ = topic.TryPublish(ctx, b, f) }))
	e := topic.Event(f)
	require.Zero(t, testing.AllocsPerRun(200, func() { _ = topic.PublishEvent(ctx, b, e) }))
}

func TestTopicEventHasTheTopicsTypeAndTheTime(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		topic := eventbus.NewTopic[int]("n", eventbus.SignalQueue)
		require.EqualValues(t, "n", topic.Type())
		require.Equal(t, eventbus.SignalQueue, topic.Queue())
		require.Equal(t, eventbus.Event{Type: "n", Data: 7, Time: time.Now()}, topic.Event(7))
		require.Empty(t, eventbus.Topic[int]{}.Type())
		require.Empty(t, eventbus.Topic[int]{}.Event(1).Type)
	})
}

// The topic's publishes but PublishEvent take the time from the bus's clock, once a batch.
func TestTopicStampsEventsWithTheBussClock(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		day, reads := time.Date(2020, 3, 16, 0, 0, 0, 0, time.UTC), 0
		b := startedBus(t, eventbus.WithClock(func() time.Time { reads++; return day.Add(time.Duration(reads)) }))
		topic := eventbus.NewTopic[int]("n", eventbus.DataQueue)
		var got journal[eventbus.Event]
		b.SubscribeFunc("n", func(_ context.Context, e eventbus.Event) error { got.add(e); return nil })
		ctx := context.Background()
		require.NoError(t, topic.Publish(ctx, b, 0))
		require.NoError(t, topic.TryPublish(ctx, b, 1))
		require.NoError(t, topic.PublishWait(ctx, b, 2))
		accepted, err := topic.PublishBatch(ctx, b, []int{3, 4})
		require.NoError(t, err)
		require.Equal(t, 2, accepted)
		require.NoError(t, topic.PublishEvent(ctx, b, eventbus.Event{Type: "n", Data: 5, Source: "desk"}))
		bustest.Flush(t, b)
		var times []time.Time
		for i, e := range got.all() {
			require.Equal(t, i, e.Data)
			times = append(times, e.Time)
		}
		require.Equal(t, []time.Time{day.Add(1), day.Add(2), day.Add(3), day.Add(4), day.Add(4), {}}, times)
		require.Equal(t, "desk", got.all()[5].Source)
	})
}

func TestTopicRefusesAllOfABatchIfTheClockPanics(t *testing.T) {
	b := newBus(t, eventbus.WithClock(func() time.Time { panic("no time") }))
	topic := eventbus.NewTopic[int]("n", eventbus.DataQueue)
	accepted, err := topic.PublishBatch(context.Background(), b, []int{1, 2, 3})
	require.Zero(t, accepted)
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorIs(t, topic.PublishWait(context.Background(), b, 4), eventbus.ErrInvalidEvent)
	require.EqualValues(t, 4, b.Stats().Queues[eventbus.DataQueue].Rejected)
}

func TestTopicPublishesNothingWhereTheBusWouldNot(t *testing.T) {
	topic, none := eventbus.NewTopic[int]("n", eventbus.DataQueue), eventbus.Topic[int]{}
	b := newBus(t)
	for way, publish := range topicWays(topic) {
		require.ErrorContains(t, publish(nil, b, 1), "the context is nil", way) //nolint:staticcheck
		require.ErrorIs(t, publish(bustest.Ended(), b, 1), context.Canceled, way)
	}
	for way, publish := range topicWays(none) {
		require.ErrorIs(t, publish(context.Background(), b, 1), eventbus.ErrInvalidEvent, way)
	}
	_ = b.Shutdown(bustest.Ended())
	for way, publish := range topicWays(topic) {
		require.ErrorIs(t, publish(context.Background(), b, 1), eventbus.ErrClosed, way)
	}
	require.Empty(t, topic.PublishEvent(context.Background(), newBus(t), topic.Event(1)))
}

// Inside its own handler a topic defers what it publishes, and does not wait for it.
func TestTopicInsideAHandlerIsTheBus(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, blocking(1, eventbus.OrderQueue)...)
		topic := eventbus.NewTopic[int]("n", eventbus.OrderQueue)
		var got journal[int]
		topic.Subscribe(b, func(ctx context.Context, n int) error {
			got.add(n)
			if n > 0 {
				return nil
			}
			require.ErrorIs(t, topic.PublishWait(ctx, b, 9), eventbus.ErrWouldDeadlock)
			accepted, err := topic.PublishBatch(ctx, b, []int{1, 2, 3})
			require.Equal(t, 3, accepted)
			return errors.Join(err, topic.PublishEvent(ctx, b, topic.Event(4)))
		})
		require.NoError(t, topic.PublishWait(t.Context(), b, 0))
		bustest.Flush(t, b)
		require.Equal(t, upTo(0, 5), got.all())
	})
}

func TestTopicPublishWaitReturnsTheErrorsOfItsHandlers(t *testing.T) {
	b := startedBus(t)
	topic := eventbus.NewTopic[int]("n", eventbus.DataQueue)
	require.ErrorIs(t, topic.PublishWait(t.Context(), b, 1), eventbus.ErrUnhandled)
	topic.Subscribe(b, func(context.Context, int) error { return bustest.ErrHandler })
	require.ErrorIs(t, topic.PublishWait(t.Context(), b, 1), bustest.ErrHandler)
}

func TestTopicPublishBatchAcceptsAPrefix(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 2})
		drops := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithOverflow(eventbus.DropNewest, time.Second))
		data := []trade{{"BTC", 0}, {"BTC", 1}, {"BTC", 2}}
		accepted, err := drops.PublishBatch(t.Context(), b, data)
		require.Equal(t, 2, accepted)
		require.ErrorIs(t, err, eventbus.ErrDropped)
		data[0].n = 9 // the slice is the caller's
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []trade{{"BTC", 0}, {"BTC", 1}}, got.all())
		shutdown(t, b)
		accepted, err = drops.PublishBatch(t.Context(), b, nil)
		require.Zero(t, accepted)
		require.NoError(t, err)
	})
}

func TestTopicPublishEventRefusesAnotherTypeOrPayload(t *testing.T) {
	fills := eventbus.NewTopic[fill]("fill", eventbus.OrderQueue)
	outcomes := eventbus.NewTopic[error]("outcome", eventbus.OrderQueue)
	ctx := context.Background()
	for name, c := range map[string]struct {
		publish func(b *eventbus.Bus) error
		is      error
		says    string
	}{
		"another type":    {func(b *eventbus.Bus) error { return fills.PublishEvent(ctx, b, event("order", fill{})) }, eventbus.ErrInvalidEvent, "its type is order, the topic's is fill"},
		"no type":         {func(b *eventbus.Bus) error { return fills.PublishEvent(ctx, b, event("", fill{})) }, eventbus.ErrInvalidEvent, "the topic's is fill"},
		"another payload": {func(b *eventbus.Bus) error { return fills.PublishEvent(ctx, b, event("fill", &fill{})) }, eventbus.ErrPayloadType, "carries a *eventbus_test.fill, the topic fill takes a eventbus_test.fill"},
		"no payload":      {func(b *eventbus.Bus) error { return fills.PublishEvent(ctx, b, event("fill", nil)) }, eventbus.ErrPayloadType, "carries a <nil>"},
		"not implemented": {func(b *eventbus.Bus) error { return outcomes.PublishEvent(ctx, b, event("outcome", 1)) }, eventbus.ErrPayloadType, "takes a error"},
		"an interface":    {func(b *eventbus.Bus) error { return outcomes.PublishEvent(ctx, b, event("outcome", nil)) }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			err := c.publish(b)
			require.ErrorIs(t, err, c.is)
			if c.is != nil {
				require.ErrorContains(t, err, c.says)
				require.EqualValues(t, 1, orders(b).Rejected)
			}
		})
	}
}

func TestWithConflateByConflatesTheTopicsEvents(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 5, Overflow: eventbus.DropNewest})
		last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		bar := eventbus.NewTopic[trade]("bar", eventbus.DataQueue)
		other := eventbus.NewTopic[trade]("other", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		ctx := context.Background()
		for n := range 2 {
			require.NoError(t, bar.Publish(ctx, b, trade{"BTC", 10 + n}))
			require.NoError(t, last.Publish(ctx, b, trade{"BTC", n}))
		}
		require.NoError(t, other.Publish(ctx, b, trade{"BTC", 20}))
		require.NoError(t, last.Publish(ctx, b, trade{"", 30}))
		require.ErrorIs(t, last.Publish(ctx, b, trade{"", 31}), eventbus.ErrDropped, "the empty key replaces none")
		require.NoError(t, last.Publish(ctx, b, trade{"BTC", 2}), "it replaces one, though the queue is full")
		s := b.Stats().Queues[eventbus.DataQueue]
		require.Equal(t, []int{5, 2, 1}, []int{s.Depth, int(s.Conflated), int(s.Dropped)})
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []trade{{"BTC", 10}, {"BTC", 2}, {"BTC", 11}, {"BTC", 20}, {"", 30}}, got.all())
	})
}

func TestWithConflateByOverridesTheQueues(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 9, ConflateBy: func(e eventbus.Event) string { return string(e.Type) }})
		last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(symbolOf))
		for n, symbol := range []string{"BTC", "ETH", "BTC"} {
			require.NoError(t, last.Publish(context.Background(), b, trade{symbol, n}))
			publish(t, b, eventbus.DataQueue, "bar", trade{symbol, n})
		}
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, []trade{{"BTC", 2}, {"BTC", 2}, {"ETH", 1}}, got.all())
	})
}

func TestWithMaxAgeIsTheTopicsLimit(t *testing.T) {
	for name, c := range map[string]struct {
		queue time.Duration
		want  []trade
	}{
		"where the queue's live on":       {0, []trade{{"BTC", 1}}},
		"where the queue's expire before": {time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b, got, g := stuckOnTrade(t, eventbus.QueueConfig{Capacity: 9, MaxAge: c.queue})
				last := eventbus.NewTopic[trade]("last", eventbus.DataQueue, eventbus.WithMaxAge(2*time.Second))
				require.NoError(t, last.Publish(context.Background(), b, trade{"BTC", 0}))
				publish(t, b, eventbus.DataQueue, "bar", trade{"BTC", 1})
				time.Sleep(time.Second)
				require.NoError(t, last.Publish(context.Background(), b, trade{"BTC", 2}))
				time.Sleep(time.Second + time.Millisecond)
				g.open()
				bustest.Flush(t, b)
				require.Equal(t, append(c.want, trade{"BTC", 2}), got.all())
				s := b.Stats().Queues[eventbus.DataQueue]
				require.EqualValues(t, 2-len(c.want), s.Expired)
				require.Equal(t, s.Accepted, s.Handled+s.Expired)
			})
		})
	}
}

func TestWithConflateByThatPanicsIsThePublishersError(t *testing.T) {
	b := startedBus(t)
	last := eventbus.NewTopic[*trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(t *trade) string { return t.symbol }))
	err := last.Publish(context.Background(), b, nil)
	require.ErrorIs(t, err, eventbus.ErrInvalidEvent)
	require.ErrorContains(t, err, "ConflateBy panicked")
	require.NoError(t, last.Publish(context.Background(), b, &trade{"BTC", 1}))
}

func TestWithConflateByAllocatesNothing(t *testing.T) {
	b := newBus(t)
	last := eventbus.NewTopic[*trade]("last", eventbus.DataQueue, eventbus.WithConflateBy(func(t *trade) string { return t.symbol }))
	ctx, data := context.Background(), &trade{"BTC", 1}
	require.Zero(t, testing.AllocsPerRun(500, func() { _ = last.Publish(ctx, b, data) }))
	require.Equal(t, 1, b.Stats().Queues[eventbus.DataQueue].Depth)
}
