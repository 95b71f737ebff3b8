package eventbuswatermill_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

type contextKey string

// The context of a message has the values of Subscribe's context, is a handler's for the
// bus, and ends with the Ack or Nack, not with Subscribe's.
func TestMessageContext(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey("of"), "Subscribe"))
	messages, err := b.Subscriber("group").Subscribe(ctx, "topic")
	require.NoError(t, err)
	publish(t, b.Publisher(), "topic", 0, 1)
	m := receive(t, messages)
	require.Equal(t, "Subscribe", m.Context().Value(contextKey("of")))
	require.Nil(t, m.Context().Value(contextKey("of nobody")))
	delivery, ok := eventbus.DeliveryFrom(m.Context())
	require.True(t, ok)
	require.Equal(t, "topic/group", delivery.Handler)
	require.NoError(t, m.Context().Err())
	derived, stop := context.WithCancel(m.Context())
	defer stop()
	m.Ack()
	await(t, derived.Done())
	cancel()
	awaitClosed(t, messages)
}

// What a handler subscribes with is not taken for the handler that a message is out for.
func TestMessageContextOfSubscribeInsideHandler(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	outer := subscribe(t, b.Subscriber("outer"), "outer")
	publish(t, b.Publisher(), "outer", 0, 1)
	m := receive(t, outer)
	inner, err := b.Subscriber("inner").Subscribe(m.Context(), "inner")
	require.NoError(t, err)
	publish(t, b.Publisher(), "inner", 0, 1)
	delivery, ok := eventbus.DeliveryFrom(receive(t, inner).Context())
	require.True(t, ok)
	require.Equal(t, "inner/inner", delivery.Handler)
}

// CarryContext completes the context of what a handler returns by that of its message.
func TestCarryContext(t *testing.T) {
	b := newBroker(t, eventbuswatermill.Config{})
	messages, err := b.Subscriber("group").Subscribe(context.WithValue(t.Context(), contextKey("of"), "Subscribe"), "topic")
	require.NoError(t, err)
	publish(t, b.Publisher(), "topic", 0, 1)
	m := receive(t, messages)

	background := context.Background()
	values := context.WithValue(background, contextKey("own"), "kept")
	shadow := context.WithValue(background, contextKey("of"), "own")
	limited, cancel := context.WithTimeout(values, time.Hour)
	defer cancel()
	deadline, _ := limited.Deadline()
	var ends []func()
	derived := context.WithValue(m.Context(), contextKey("own"), "kept")
	for name, c := range map[string]struct {
		ctx      context.Context
		own, of  any
		deadline time.Time
		ended    bool // with the Ack
		handler  bool // that the bus knows
	}{
		"none":                  {background, nil, "Subscribe", time.Time{}, true, true},
		"values":                {values, "kept", "Subscribe", time.Time{}, true, true},
		"its value comes first": {shadow, nil, "own", time.Time{}, true, true},
		"deadline":              {limited, "kept", "Subscribe", deadline, false, true},
		"derived":               {derived, "kept", "Subscribe", time.Time{}, true, true},
		"cut off":               {context.WithoutCancel(m.Context()), nil, "Subscribe", time.Time{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			produced, err := eventbuswatermill.CarryContext(func(*message.Message) ([]*message.Message, error) {
				return []*message.Message{newMessage(c.ctx, 1), nil}, eventbus.ErrClosed
			})(m)
			require.ErrorIs(t, err, eventbus.ErrClosed)
			require.Len(t, produced, 2)
			ctx := produced[0].Context()
			require.Equal(t, c.own, ctx.Value(contextKey("own")))
			require.Equal(t, c.of, ctx.Value(contextKey("of")))
			got, _ := ctx.Deadline()
			require.Equal(t, c.deadline, got)
			_, ok := eventbus.DeliveryFrom(ctx)
			require.Equal(t, c.handler, ok)
			require.NoError(t, ctx.Err())
			ends = append(ends, func() { require.Equal(t, c.ended, ctx.Err() != nil, name) })
		})
	}
	m.Ack()
	await(t, m.Context().Done())
	for _, check := range ends {
		check()
	}
}
