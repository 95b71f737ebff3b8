package guide

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

var filled = eventbus.NewTopic[string](eventbus.OrderFilled, eventbus.OrderQueue)

// newTrader makes a bus whose strategy buys at every close. send is who gets the orders.
func newTrader(send func(context.Context, string) error, opts ...eventbus.SubscribeOption) *eventbus.Bus {
	bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)),
		eventbus.WithCauses(),       // tell what came from outside
		eventbus.WithSingleThread()) // so that there is one order of events
	if err != nil {
		log.Fatal(err)
	}
	orders := 0
	candleClosed.Subscribe(bus, func(ctx context.Context, c Candle) error {
		orders++ // no two orders are the same text
		return order.Publish(ctx, bus, fmt.Sprintf("%d BUY %s", orders, c.Symbol))
	})
	order.Subscribe(bus, send, opts...)
	return bus
}

func Example_step12LeavingTheProcess() {
	dir, err := os.MkdirTemp("", "guide")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "day.journal")
	record(path)
	restart(path)
	// Output:
	// sent: 1 BUY BTC
	// sent: 2 BUY ETH
	// ask the exchange about 2 BUY ETH
	// placed again: 1 BUY BTC
	// placed again: 2 BUY ETH
	// from outside: 3 in another order than recorded: 0
}

func record(path string) {
	day, err := journal.Open(path, journal.WithTopic(candleClosed), journal.WithTopic(order), journal.WithTopic(filled))
	if err != nil {
		log.Fatal(err)
	}
	send := func(_ context.Context, o string) error {
		fmt.Println("sent:", o)
		return nil
	}
	bus := newTrader(send, eventbus.Use(day.Before())) // on the disk, or it is not sent
	day.Record(bus)                                    // everything else is written within 100 ms
	start(bus)
	publish(bus, Candle{"BTC", 10})
	publish(bus, Candle{"ETH", 5})
	if err := filled.Publish(context.Background(), bus, "1 BUY BTC"); err != nil { // the exchange tells
		log.Fatal(err)
	}
	shutdown(bus) // as if it had been killed here: the end of the second order is not told
	if err := day.Close(); err != nil {
		log.Fatal(err)
	}
}

func restart(path string) {
	id := func(order string) string { return order } // it begins with a number
	open, err := journal.Pending(path, journal.By(order, id), journal.By(filled, id))
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range open { // it may have been sent, or not
		fmt.Println("ask the exchange about", o.Data)
	}
	sendNothing := func(_ context.Context, o string) error {
		fmt.Println("placed again:", o)
		return nil
	}
	bus := newTrader(sendNothing) // not started: Replay steps it
	replayed, err := journal.Replay(context.Background(), bus, path, journal.WithTopic(candleClosed), journal.WithTopic(filled))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from outside:", replayed.Published, "in another order than recorded:", replayed.Diverged)
}
