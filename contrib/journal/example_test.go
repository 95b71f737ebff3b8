package journal_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

type (
	quote struct{ Bid float64 }
	buy   struct{ ID string }
)

var (
	quotes = eventbus.NewTopic[quote]("quote", eventbus.DataQueue)
	buys   = eventbus.NewTopic[buy]("buy", eventbus.OrderQueue)
	bought = eventbus.NewTopic[buy]("bought", eventbus.OrderQueue)
)

// strategy buys below 100.
func strategy(bus *eventbus.Bus, send func(buy), use ...eventbus.SubscribeOption) {
	n := 0
	quotes.Subscribe(bus, func(ctx context.Context, q quote) error {
		if n++; q.Bid >= 100 {
			return nil
		}
		return buys.Publish(ctx, bus, buy{fmt.Sprintf("B%d", n)})
	})
	buys.Subscribe(bus, func(_ context.Context, b buy) error { send(b); return nil }, use...)
}

// A day is recorded. No order is sent that the file does not hold. Afterwards it is asked
// which orders nobody has answered, and the day is replayed into the same handlers.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "day.journal")
	ctx := context.Background()

	j, err := journal.Open(path, journal.WithTopic(quotes), journal.WithTopic(buys), journal.WithTopic(bought))
	if err != nil {
		log.Fatal(err)
	}
	bus, err := eventbus.New(eventbus.WithCauses(), eventbus.WithSingleThread())
	if err != nil {
		log.Fatal(err)
	}
	j.Record(bus)
	strategy(bus, func(b buy) { fmt.Println("sent", b.ID) }, eventbus.Use(j.Before(buys.Type())))
	if err := bus.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, bid := range []float64{101, 99, 98} {
		if err := quotes.PublishWait(ctx, bus, quote{bid}); err != nil {
			log.Fatal(err)
		}
	}
	if err := bought.Publish(ctx, bus, buy{"B2"}); err != nil { // the exchange answers one
		log.Fatal(err)
	}
	if err := bus.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}

	id := func(b buy) string { return b.ID }
	open, err := journal.Pending(path, journal.By(buys, id), journal.By(bought, id))
	if err != nil {
		log.Fatal(err)
	}
	for _, intent := range open {
		fmt.Println("ask the exchange about", intent.ID)
	}

	clock := journal.NewClock()
	again, err := eventbus.New(eventbus.WithCauses(), eventbus.WithSingleThread(), eventbus.WithClock(clock.Now))
	if err != nil {
		log.Fatal(err)
	}
	strategy(again, func(b buy) { fmt.Println("would send", b.ID) })
	done, err := journal.Replay(ctx, again, path, journal.WithReplayClock(clock), journal.WithTopic(quotes), journal.WithTopic(bought))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Published, "events from outside,", done.Diverged, "handled in another order")
	// Output:
	// sent B2
	// sent B3
	// ask the exchange about B3
	// would send B2
	// would send B3
	// 4 events from outside, 0 handled in another order
}
