package eventbusnats_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Orders are stored before anybody acts on them. The broker's handler fails once and is
// called again: it sees from the Message that it is a repeat.
func Example() {
	type Order struct {
		ID  string
		Buy int
	}
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	node, err := eventbusnats.Embedded(dir) // or Connect(ctx, "nats://a,nats://b,nats://c")
	if err != nil {
		log.Fatal(err)
	}
	topic := eventbus.NewTopic[Order]("order.placed", eventbus.OrderQueue)
	orders, err := eventbusnats.Open(ctx, node, topic, eventbusnats.WithID(func(o Order) string { return o.ID }))
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range []Order{{"o1", 100}, {"o2", 50}, {"o1", 100}} {
		stored, err := orders.Publish(ctx, o)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(o.ID, "is stored at", stored.Sequence, "duplicate:", stored.Duplicate)
	}

	bus, err := eventbus.New(eventbus.WithCarry(eventbusnats.Carry), eventbus.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	topic.Subscribe(bus, func(ctx context.Context, o Order) error {
		m, _ := eventbus.Carried[eventbusnats.Message](ctx)
		fmt.Println("buy", o.Buy, "for", m.ID, "attempt", m.Attempt)
		if o.ID == "o1" && m.Attempt == 1 {
			return errors.New("the broker is away")
		}
		if o.ID == "o2" {
			close(done)
		}
		return nil
	})
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	importer, err := orders.Import(ctx, bus, "broker", eventbusnats.OnImportError(func(error) {}))
	if err != nil {
		log.Fatal(err)
	}
	<-done
	if err := importer.Close(ctx); err != nil { // acknowledges o2 first
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	if err := node.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// o1 is stored at 1 duplicate: false
	// o2 is stored at 2 duplicate: false
	// o1 is stored at 1 duplicate: true
	// buy 100 for o1 attempt 1
	// buy 100 for o1 attempt 2
	// buy 50 for o2 attempt 1
}
