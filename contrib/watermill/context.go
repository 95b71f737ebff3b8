package eventbuswatermill

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
)

// A messageContext is the context of a message that is out. It is derived from that of
// the handler that waits for the Ack, so the bus takes a publish with it for the
// handler's. Its values are those of Subscribe's context.
type messageContext struct {
	context.Context // derived from the handler's
	broker          *Broker
	values          context.Context
}

type brokerKey struct{}

// Value asks the handler's context first: what a bus knows of a context must not come
// from a handler of another bus in which somebody has subscribed.
func (c *messageContext) Value(key any) any {
	if key == (brokerKey{}) {
		return c.broker
	}
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

// isDelivery reports whether ctx is that of a message that b has delivered.
func isDelivery(ctx context.Context, b *Broker) bool {
	return ctx.Value(brokerKey{}) == b
}

// CarryContext is a middleware for Watermill's router: what a handler returns to be
// published gets the context of the message that it was called with. Without it a
// router that publishes to a full topic, which only the same router can empty, waits
// for itself for ever. Add it ahead of other middleware.
//
// A context that the handler has set keeps its values, and its end if it has one. One
// that is derived from the message's is left as it is. Handlers that publish by
// themselves, as with the CQRS component, pass on the context they are given.
func CarryContext(h message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		produced, err := h(m)
		for _, p := range produced {
			if p != nil {
				p.SetContext(graft(p.Context(), m.Context()))
			}
		}
		return produced, err
	}
}

// graft returns own, completed by what the bus knows of the context of a message.
func graft(own, delivered context.Context) context.Context {
	switch {
	case own == context.Background():
		return delivered
	case own.Value(brokerKey{}) != nil:
		return own
	case own.Done() == nil:
		return &grafted{Context: delivered, own: own, delivered: delivered}
	}
	return &grafted{Context: own, own: own, delivered: delivered}
}

// A grafted context has the values of two, and the end of own, if that has one.
type grafted struct {
	context.Context // what says when it ends
	own, delivered  context.Context
}

// Value asks own first.
func (c *grafted) Value(key any) any {
	if v := c.own.Value(key); v != nil {
		return v
	}
	return c.delivered.Value(key)
}
