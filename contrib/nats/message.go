package eventbusnats

import (
	"context"
	"fmt"
)

// A Message is what handlers can know of an imported event beside the event: which one it
// is, so that a repeat is recognised, and how often it was tried. On a bus with
//
//	eventbus.New(eventbus.WithCarry(eventbusnats.Carry))
//
// they read it with [eventbus.Carried]:
//
//	m, ok := eventbus.Carried[eventbusnats.Message](ctx)
type Message struct {
	ID     string // the message id; "" if somebody else stored the event without one
	Stream string // its stream

	// Sequence is its place in the stream, from 1 on. Another event can have the same one
	// only if the stream is made anew, or if its server loses the end in a power cut.
	Sequence uint64

	Group string // whose importer published the event on this bus

	// Attempt is 1 at the first try of this importer. It begins anew with each importer,
	// since nothing of it is stored.
	Attempt int
}

// String names the event by its id and sequence.
func (m Message) String() string { return fmt.Sprintf("event %q (sequence %d)", m.ID, m.Sequence) }

type messageKey struct{}

// Carry is for [eventbus.WithCarry]: it takes the [Message] of an imported event to the
// handlers. What handlers publish carries none.
func Carry(ctx context.Context) (Message, bool) {
	m, ok := ctx.Value(messageKey{}).(Message)
	return m, ok
}

func withMessage(ctx context.Context, m Message) context.Context {
	return context.WithValue(ctx, messageKey{}, m)
}
