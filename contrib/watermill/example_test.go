package eventbuswatermill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// A router checks signals and places orders. The desk takes them and shuts down once it
// has seen them.
func Example() {
	broker, err := eventbuswatermill.NewBroker(eventbuswatermill.Config{})
	if err != nil {
		log.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}
	router.AddMiddleware(eventbuswatermill.CarryContext)
	router.AddHandler("risk", "signals", broker.Subscriber("risk"), "orders", broker.Publisher(),
		func(signal *message.Message) ([]*message.Message, error) {
			order := message.NewMessage(signal.UUID, append([]byte("order: "), signal.Payload...))
			return []*message.Message{order}, nil
		})
	ctx := context.Background()
	orders, err := broker.Subscriber("desk").Subscribe(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := router.Run(ctx); err != nil {
			log.Print(err)
		}
	}()
	<-router.Running()

	publisher := broker.Publisher()
	for i, signal := range []string{"buy 100 AAPL", "sell 50 MSFT"} {
		if err := publisher.Publish("signals", message.NewMessage(fmt.Sprint(i), []byte(signal))); err != nil {
			log.Fatal(err)
		}
		order := <-orders
		fmt.Println(string(order.Payload))
		order.Ack()
	}
	if err := broker.Shutdown(ctx); err != nil {
		log.Fatal(err) // a *ShutdownError holds what was not acknowledged
	}
	if err := router.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order: buy 100 AAPL
	// order: sell 50 MSFT
}
