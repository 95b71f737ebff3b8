package eventbusnats

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// An ExportOption changes an exporter. An invalid one is set-up misuse: [Topic.Export]
// panics with a message that says what was wrong.
type ExportOption func(*exportConfig) error

type exportConfig struct {
	window    int
	onError   func(error)
	subscribe []eventbus.SubscribeOption
}

// The window is as large as the data queue by default: a stall of the network fills the
// window first and the queue after it, so that the exporter doubles how long a stall may be.
const defaultWindow = 1000

// WithWindow sets how many events an exporter keeps that are not stored yet; without it
// 1000. Less than 1 panics in [Topic.Export].
func WithWindow(n int) ExportOption {
	return func(c *exportConfig) error {
		if n < 1 {
			return fmt.Errorf("WithWindow: the window is %d events, want 1 or more", n)
		}
		c.window = n
		return nil
	}
}

// OnExportError sets who is told what goes wrong: temporary failures, once for each kind
// and every ten seconds, and the [*ExportError] that ends the exporter, for which Close
// does not wait. It is called on the exporter's goroutine, which stores nothing meanwhile:
// it must not call Close of the exporter, of an importer or of the node, nor wait for one.
// Its panics are contained. Without it errors are logged to [log/slog.Default]. nil panics in [Topic.Export].
func OnExportError(f func(error)) ExportOption {
	return func(c *exportConfig) error {
		if f == nil {
			return errors.New("OnExportError: the function is nil")
		}
		c.onError = f
		return nil
	}
}

// WithSubscribeOptions adds options to the exporter's subscription, such as
// [eventbus.OnQueue], [eventbus.WhereData] or [eventbus.WithPriority]. Its name is
// "nats export" unless they say otherwise. With [eventbus.WithHandlerTimeout], a call that
// waits for room for too long fails, and its event is not stored.
func WithSubscribeOptions(opts ...eventbus.SubscribeOption) ExportOption {
	return func(c *exportConfig) error {
		c.subscribe = append(c.subscribe, opts...)
		return nil
	}
}

func (c *exportConfig) apply(bus *eventbus.Bus, opts []ExportOption) error {
	if bus == nil {
		return errors.New("the bus is nil")
	}
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	return nil
}

// Export stores the events of the topic's type that bus handles from now on, in the order
// in which it handles them, with their Time and Source. It subscribes to the type: its
// place among the handlers is that of a subscription.
//
// The handler encodes an event and puts it into a window; a goroutine stores what is in the
// window, many events with one answer of the server. So the processor does not wait for
// the server, until the window is full: then the handler blocks, also when its context
// ends, until there is room, and the bus's queue fills up and does what its rule says. A
// nil from the handler means that the event is in the window, not that it is stored.
//
// While failures are temporary, the exporter tries again, and nothing is lost. Each event
// is stored once within the window of [WithDuplicates]; one that is tried for longer than
// that may be stored twice. When a failure is
// permanent ([ErrFull], [ErrNoStream]), the exporter ends: the first event that could not be
// stored and those behind it are in an [*ExportError], which [OnExportError] and
// [Exporter.Close] tell, and each further event fails its handler call with it, which the
// bus reports. An event that cannot be encoded, or is too large, fails its own call alone.
//
// The error wraps [ErrClosed] if the node is closed: nothing was subscribed then. Export refuses a bus that an importer
// of the same node and topic publishes on. It panics if bus is nil or an option is invalid,
// and where [eventbus.Topic.Subscribe] does.
func (t *Topic[T]) Export(bus *eventbus.Bus, opts ...ExportOption) (*Exporter, error) {
	c := exportConfig{window: defaultWindow, onError: logError, subscribe: []eventbus.SubscribeOption{eventbus.WithName("nats export")}}
	if err := c.apply(bus, opts); err != nil {
		panic("eventbusnats: Export: " + err.Error())
	}
	x := newExporter(t.stream, bus, string(t.topic.Type()), c)
	// What the subscription accepts must be stored or handed back: the node is asked first.
	if err := t.stream.node.add(nil, x); err != nil {
		return nil, fmt.Errorf("eventbusnats: Export %q: %w", t.topic.Type(), err)
	}
	x.subscribe(func() *eventbus.Subscription {
		return t.topic.Subscribe(bus, func(ctx context.Context, data T) error {
			return x.accept(ctx, func(e eventbus.Event) (pending, error) {
				m, err := t.message(data, e.Source, e.Time)
				return pending{m, e}, err
			})
		}, c.subscribe...)
	})
	go x.run()
	return x, nil
}

// An ExportError tells why an exporter has ended, and what is not stored.
type ExportError struct {
	Type eventbus.EventType

	// Unstored holds the events that were accepted and are not stored, in order. If Err
	// is a context's, or a connection was lost at the end, the first ones may be stored
	// all the same.
	Unstored []eventbus.Event

	Err error
}

// Error names the type, how many events are not stored, and the cause.
func (e *ExportError) Error() string {
	return fmt.Sprintf("eventbusnats: the export of %q has ended, %d events are not stored: %v", e.Type, len(e.Unstored), e.Err)
}

// Unwrap returns Err.
func (e *ExportError) Unwrap() error { return e.Err }
