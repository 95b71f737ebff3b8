package eventbuswatermill_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/components/requestreply"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/stretchr/testify/require"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

type (
	PlaceOrder struct{ N int }
	OrderSent  struct{ N int }
	BookTrade  struct{ N int }
	Booked     struct{ N int }
)

var marshaler = cqrs.JSONMarshaler{GenerateName: cqrs.StructName}

func commandBus(t *testing.T, b *eventbuswatermill.Broker) *cqrs.CommandBus {
	bus, err := cqrs.NewCommandBusWithConfig(b.Publisher(), cqrs.CommandBusConfig{
		GeneratePublishTopic: func(p cqrs.CommandBusGeneratePublishTopicParams) (string, error) { return p.CommandName, nil },
		Marshaler:            marshaler,
	})
	require.NoError(t, err)
	return bus
}

func addCommands(t *testing.T, b *eventbuswatermill.Broker, r *message.Router, handlers ...cqrs.CommandHandler) {
	p, err := cqrs.NewCommandProcessorWithConfig(r, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(p cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) { return p.CommandName, nil },
		SubscriberConstructor: func(p cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return b.Subscriber(p.HandlerName), nil
		},
		Marshaler: marshaler,
	})
	require.NoError(t, err)
	require.NoError(t, p.AddHandlers(handlers...))
}

// events returns a bus and a processor of events, which share one topic.
func events(t *testing.T, b *eventbuswatermill.Broker, r *message.Router) (*cqrs.EventBus, *cqrs.EventGroupProcessor) {
	bus, err := cqrs.NewEventBusWithConfig(b.Publisher(), cqrs.EventBusConfig{
		GeneratePublishTopic: func(cqrs.GenerateEventPublishTopicParams) (string, error) { return "events", nil },
		Marshaler:            marshaler,
	})
	require.NoError(t, err)
	p, err := cqrs.NewEventGroupProcessorWithConfig(r, cqrs.EventGroupProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.EventGroupProcessorGenerateSubscribeTopicParams) (string, error) { return "events", nil },
		SubscriberConstructor: func(p cqrs.EventGroupProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return b.Subscriber(p.EventGroupName), nil
		},
		AckOnUnknownEvent: true,
		Marshaler:         marshaler,
	})
	require.NoError(t, err)
	return bus, p
}

// Commands whose handlers publish events whose handlers send commands, through small
// queues: all arrive, in order, and nothing stands still.
func TestCQRS(t *testing.T) {
	const n = 200
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{Capacity: 4})
		r := newRouter(t)
		r.AddMiddleware(middleware.Recoverer)
		commands := commandBus(t, b)
		sent, processor := events(t, b, r)
		addCommands(t, b, r,
			cqrs.NewCommandHandler("place", func(ctx context.Context, c *PlaceOrder) error { return sent.Publish(ctx, &OrderSent{c.N}) }),
			cqrs.NewCommandHandler("book", func(ctx context.Context, c *BookTrade) error { return sent.Publish(ctx, &Booked{c.N}) }),
		)
		require.NoError(t, processor.AddHandlersGroup("clearing", cqrs.NewGroupEventHandler(func(ctx context.Context, e *OrderSent) error {
			return commands.Send(ctx, &BookTrade{e.N})
		})))
		var orders, booked []int
		require.NoError(t, processor.AddHandlersGroup("report",
			cqrs.NewGroupEventHandler(func(_ context.Context, e *OrderSent) error { orders = append(orders, e.N); return nil }),
			cqrs.NewGroupEventHandler(func(_ context.Context, e *Booked) error { booked = append(booked, e.N); return nil })))
		run(t, r)
		for i := range n {
			require.NoError(t, commands.Send(t.Context(), &PlaceOrder{i}))
		}
		require.NoError(t, b.Shutdown(t.Context())) // with all cascades
		require.Equal(t, numbers(0, n), orders)
		require.Equal(t, numbers(0, n), booked)
	})
}

// Request and reply, with a topic for each reply, which is gone after it.
func TestRequestReply(t *testing.T) {
	type result struct{ N int }
	b := newBroker(t, eventbuswatermill.Config{})
	r := newRouter(t)
	backend, err := requestreply.NewPubSubBackend(requestreply.PubSubBackendConfig{
		Publisher: b.Publisher(),
		SubscriberConstructor: func(requestreply.PubSubBackendSubscribeParams) (message.Subscriber, error) {
			return b.Subscriber(""), nil
		},
		GenerateSubscribeTopic: func(p requestreply.PubSubBackendSubscribeParams) (string, error) {
			return fmt.Sprint("reply ", p.OperationID), nil
		},
		GeneratePublishTopic: func(p requestreply.PubSubBackendPublishParams) (string, error) {
			return fmt.Sprint("reply ", p.OperationID), nil
		},
		AckCommandErrors: true,
	}, requestreply.BackendPubsubJSONMarshaler[result]{})
	require.NoError(t, err)
	addCommands(t, b, r, requestreply.NewCommandHandlerWithResult("double", backend, func(_ context.Context, c *PlaceOrder) (result, error) {
		if c.N == 13 {
			return result{}, errors.New("unlucky")
		}
		return result{2 * c.N}, nil
	}))
	run(t, r)
	commands := commandBus(t, b)
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		reply, err := requestreply.SendWithReply(ctx, commands, backend, &PlaceOrder{i})
		cancel()
		require.NoError(t, err)
		if i == 13 {
			require.ErrorContains(t, reply.Error, "unlucky")
			continue
		}
		require.NoError(t, reply.Error)
		require.Equal(t, 2*i, reply.HandlerResult.N)
	}
	require.Eventually(t, func() bool { return len(b.Stats().Groups) == 1 }, patience, time.Millisecond)
	require.Zero(t, b.Stats().Unrouted)
}
