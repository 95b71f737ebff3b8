//go:build unix

package eventbus_test

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A program that drains on a signal starts the bus with a context that the
// signal does not end.
func ExampleBus_Shutdown_signal() {
	bus, err := eventbus.New()
	if err != nil {
		log.Fatal(err)
	}
	interrupted, restore := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer restore()
	if err := bus.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM) // what the operator does
	<-interrupted.Done()
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(bus.Shutdown(limit))
	// Output: <nil>
}
