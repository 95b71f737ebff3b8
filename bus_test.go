package eventbus_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

const tick eventbus.EventType = "tick"

func TestNewHasTheDocumentedQueues(t *testing.T) {
	b, err := eventbus.New()
	require.NoError(t, err)
	for q, want := range map[eventbus.Queue]eventbus.QueueConfig{
		eventbus.DataQueue:   {Capacity: 1000, Overflow: eventbus.DropNewest, Timeout: time.Second},
		eventbus.SignalQueue: {Capacity: 100, Overflow: eventbus.Block, Timeout: 5 * time.Second},
		eventbus.OrderQueue:  {Capacity: 50, Overflow: eventbus.Block, Timeout: 0},
	} {
		s := b.Stats().Queues[q]
		assert.Equal(t, want, eventbus.QueueConfig{Capacity: s.Capacity, Overflow: s.Overflow, Timeout: s.Timeout}, q)
	}
}

func TestNewGivesEachQueueItsOwnRule(t *testing.T) {
	for q, want := range map[eventbus.Queue]struct {
		err   error
		after time.Duration
	}{
		eventbus.DataQueue:   {eventbus.ErrDropped, time.Second},
		eventbus.SignalQueue: {eventbus.ErrQueueFull, 5 * time.Second},
		eventbus.OrderQueue:  {context.DeadlineExceeded, time.Hour},
	} {
		t.Run(q.String(), func(t *testing.T) {
			bustest.Bubble(t, func(t *testing.T) {
				b := newBus(t)
				publish(t, b, q, "tick", numbers(b.Stats().Queues[q].Capacity)...)
				began := time.Now()
				require.ErrorIs(t, b.Publish(bustest.Within(t, time.Hour), q, event("tick", -1)), want.err)
				require.Equal(t, want.after, time.Since(began))
			})
		})
	}
}

func TestWithQueueReplacesOneQueue(t *testing.T) {
	b := newBus(t, eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 7, Overflow: eventbus.DropOldest}))
	s := b.Stats()
	require.Equal(t, 7, s.Queues[eventbus.SignalQueue].Capacity)
	require.Equal(t, eventbus.DropOldest, s.Queues[eventbus.SignalQueue].Overflow)
	require.Equal(t, 1000, s.Queues[eventbus.DataQueue].Capacity)
}

func TestNewRefusesInvalidOptionsByName(t *testing.T) {
	queue := func(c eventbus.QueueConfig) eventbus.Option { return eventbus.WithQueue(eventbus.OrderQueue, c) }
	tests := map[string]struct {
		option eventbus.Option
		wrong  string
		right  string
		is     error
	}{
		"nil option":            {option: nil, wrong: "option 1 is nil"},
		"nil logger":            {option: eventbus.WithLogger(nil), wrong: "WithLogger: the logger is nil", right: "slog.DiscardHandler"},
		"unknown queue":         {option: eventbus.WithQueue(3, eventbus.QueueConfig{Capacity: 1}), wrong: "WithQueue: eventbus: unknown queue: Queue(3)", is: eventbus.ErrUnknownQueue},
		"zero queue":            {option: queue(eventbus.QueueConfig{}), wrong: "WithQueue: order queue: the capacity is 0", right: "want 1 to 16777216"},
		"negative capacity":     {option: queue(eventbus.QueueConfig{Capacity: -5}), wrong: "the capacity is -5", right: "want 1 to 16777216"},
		"huge capacity":         {option: queue(eventbus.QueueConfig{Capacity: 16_777_217}), wrong: "the capacity is 16777217", right: "want 1 to 16777216"},
		"unknown overflow":      {option: queue(eventbus.QueueConfig{Capacity: 1, Overflow: 3}), wrong: "the overflow rule is Overflow(3)", right: "want Block, DropNewest or DropOldest"},
		"negative timeout":      {option: queue(eventbus.QueueConfig{Capacity: 1, Timeout: -time.Second}), wrong: "the timeout is -1s", right: "want 0 or more"},
		"DropOldest that waits": {option: queue(eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest, Timeout: time.Second}), wrong: "the timeout is 1s", right: "want 0: DropOldest never waits"},
		"zero poll":             {option: eventbus.WithPollInterval(0), wrong: "WithPollInterval: the interval is 0s", right: "want more than 0"},
		"negative poll":         {option: eventbus.WithPollInterval(-time.Second), wrong: "WithPollInterval: the interval is -1s", right: "want more than 0"},
		"negative slow handler": {option: eventbus.WithSlowHandler(-time.Second), wrong: "WithSlowHandler: the limit is -1s", right: "want 0 or more"},
		"negative age":          {option: queue(eventbus.QueueConfig{Capacity: 1, MaxAge: -time.Second}), wrong: "the maximum age is -1s", right: "want 0 or more"},
		"negative slow publish": {option: eventbus.WithSlowPublish(-time.Second), wrong: "WithSlowPublish: the limit is -1s", right: "want 0 or more"},
		"negative spin":         {option: eventbus.WithSpin(-time.Second), wrong: "WithSpin: the duration is -1s", right: "want 0 or more"},
		"nil clock":             {option: eventbus.WithClock(nil), wrong: "WithClock: "},
		"nil middleware":        {option: eventbus.WithMiddleware(silent, nil), wrong: "WithMiddleware: middleware 1 is nil"},
		"nil error handler":     {option: eventbus.WithErrorHandler(nil), wrong: "WithErrorHandler: the function is nil"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := eventbus.New(eventbus.WithLogger(bustest.Discard), test.option)
			require.Nil(t, b)
			require.ErrorContains(t, err, "eventbus: New: ")
			require.ErrorContains(t, err, test.wrong)
			require.ErrorContains(t, err, test.right)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestNewTakesTheLimitsOfItsOptions(t *testing.T) {
	for name, option := range map[string]eventbus.Option{
		"capacity 1":      eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 1}),
		"poll of 1 ns":    eventbus.WithPollInterval(1),
		"no slow handler": eventbus.WithSlowHandler(0),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventbus.New(option)
			require.NoError(t, err)
		})
	}
}

func TestNewLogsToTheDefaultLoggerOfTheMoment(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		before := slog.Default()
		defer slog.SetDefault(before)
		var mine, later logbook
		slog.SetDefault(slog.New(&mine))
		b, err := eventbus.New()
		require.NoError(t, err)
		slog.SetDefault(slog.New(&later))
		start(t, b)
		shutdown(t, b)
		require.Len(t, mine.find("eventbus: processor started"), 3)
		require.Empty(t, later.above(slog.LevelDebug))
	})
}

func TestNewEventIsStampedWithTheTime(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		e := eventbus.NewEvent(tick, 42, "feed")
		require.Equal(t, eventbus.Event{Type: tick, Data: 42, Source: "feed", Time: time.Now()}, e)
	})
}

// The clock of the option stamps events, and they age by it. If it panics, the event
// is refused.
func TestWithClockServesStampsAndAges(t *testing.T) {
	var now atomic.Int64
	b := newBus(t, maxAge(eventbus.OrderQueue, 10, time.Second), eventbus.WithClock(func() time.Time { return time.Unix(now.Load(), 0) }))
	var got journal[time.Time]
	b.SubscribeFunc("order", func(_ context.Context, e eventbus.Event) error { got.add(e.Time); return nil })
	publish(t, b, eventbus.OrderQueue, "order", 0)
	now.Store(2)
	topic := eventbus.NewTopic[int]("order", eventbus.OrderQueue)
	require.NoError(t, topic.Publish(t.Context(), b, 1))
	runUntilIdle(t, b)
	require.Equal(t, []time.Time{time.Unix(2, 0)}, got.all())
	require.EqualValues(t, 1, orders(b).Expired)

	broken := newBus(t, maxAge(eventbus.OrderQueue, 10, time.Second), eventbus.WithClock(func() time.Time { panic("no clock") }))
	require.ErrorIs(t, broken.Publish(t.Context(), eventbus.OrderQueue, event("order", 0)), eventbus.ErrInvalidEvent)
}
