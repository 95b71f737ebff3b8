package eventbusnats_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// A child is this test binary in a process of its own, which is killed. It tells on its
// standard output, a line each:
//
//	S n.    order n is stored: Publish has returned, or the exporter's Flush has
//	H n q.  order n was handled, which has sequence q in the stream
//	E ...   what must not happen
//
// The point shows that a line is whole.
const (
	childVariable = "EVENTBUSNATS_CHILD" // what the child is to do
	dirVariable   = "EVENTBUSNATS_DIR"
	fromVariable  = "EVENTBUSNATS_FROM" // the first order to publish
)

// What children do.
const (
	childHolds     = "holds"     // has the directory
	childPublishes = "publishes" // imports, and publishes orders
	childExports   = "exports"   // imports, and exports the orders of another bus
	childImports   = "imports"   // imports
)

// runChild is the main function of a child. It returns only if something is wrong.
func runChild(does string) int {
	if err := child(does); err != nil {
		fmt.Println("E", err)
	}
	return 1
}

func child(does string) error {
	if does == childServes {
		return serve()
	}
	n, err := eventbusnats.Embedded(os.Getenv(dirVariable), eventbusnats.WithLogger(discard), eventbusnats.WithSyncInterval(seldom))
	if err != nil {
		return err
	}
	topic, err := eventbusnats.Open(context.Background(), n, placed, eventbusnats.WithID(orderID))
	if err != nil {
		return err
	}
	if does == childHolds {
		fmt.Println("S 0.")
		select {}
	}
	if err := childImport(topic); err != nil {
		return err
	}
	from, err := strconv.Atoi(os.Getenv(fromVariable))
	if err != nil {
		return err
	}
	switch does {
	case childPublishes:
		return childPublish(topic, from)
	case childExports:
		return childExport(topic, from)
	}
	select {}
}

// childImport imports on a bus whose handler fails now and then.
func childImport(topic *eventbusnats.Topic[order]) error {
	b, err := eventbus.New(eventbus.WithLogger(discard), eventbus.WithCarry(eventbusnats.Carry))
	if err != nil {
		return err
	}
	placed.Subscribe(b, func(ctx context.Context, o order) error {
		m, ok := eventbus.Carried[eventbusnats.Message](ctx)
		if !ok || m.ID != o.ID {
			fmt.Println("E", o, "carries", m)
		}
		if o.N%500 == 7 && m.Attempt == 1 {
			return fmt.Errorf("order %d fails the first time", o.N)
		}
		fmt.Printf("H %d %d.\n", o.N, m.Sequence)
		return nil
	})
	if err := b.Start(context.Background()); err != nil {
		return err
	}
	_, err = topic.Import(context.Background(), b, "broker", eventbusnats.WithAttempts(3), eventbusnats.WithBackoff(time.Millisecond, time.Millisecond),
		eventbusnats.OnImportError(func(error) {}))
	return err
}

func childPublish(topic *eventbusnats.Topic[order], from int) error {
	for n := from; ; n++ {
		if _, err := topic.Publish(context.Background(), newOrder(n)); err != nil {
			return err
		}
		fmt.Printf("S %d.\n", n)
	}
}

// childExport publishes orders on a bus of its own, which are exported, and tells of 100 of
// them when they are stored.
func childExport(topic *eventbusnats.Topic[order], from int) error {
	const together = 100
	ctx := context.Background()
	b, err := eventbus.New(eventbus.WithLogger(discard))
	if err != nil {
		return err
	}
	x, err := topic.Export(b)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	for n := from; ; n++ {
		if err := placed.Publish(ctx, b, newOrder(n)); err != nil {
			return err
		}
		if (n+1-from)%together != 0 {
			continue
		}
		if err := b.Flush(ctx); err != nil {
			return err
		}
		if err := x.Flush(ctx); err != nil {
			return err
		}
		for k := n + 1 - together; k <= n; k++ {
			fmt.Printf("S %d.\n", k)
		}
	}
}
