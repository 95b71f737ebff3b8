package inspect_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// The page is mounted beside what else the program serves. What it shows comes as lines of
// JSON, which others may read, too.
func Example() {
	var failures inspect.Failures
	bus, err := eventbus.New(eventbus.WithErrorHandler(failures.Record), eventbus.WithLatencies(), eventbus.WithCauses())
	if err != nil {
		log.Fatal(err)
	}
	page := inspect.New(bus, inspect.WithFailures(&failures))
	mux := http.NewServeMux()
	mux.Handle("/debug/eventbus/", page) // put in front of it what keeps strangers out

	server := httptest.NewServer(mux) // in a program: an http.Server, with RegisterOnShutdown(page.Close)
	defer server.Close()
	defer page.Close()
	_ = bus.Publish(context.Background(), eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, nil, "risk"))

	answer, err := http.Get(server.URL + "/debug/eventbus/stream")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	line, _ := bufio.NewReader(answer.Body).ReadString('\n')
	var frame struct {
		Queues []struct {
			Name            string
			Depth, Capacity int
		}
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &frame); err != nil {
		log.Fatal(err)
	}
	for _, q := range frame.Queues {
		fmt.Printf("%s: %d of %d\n", q.Name, q.Depth, q.Capacity)
	}
	// Output:
	// data: 0 of 1000
	// signal: 0 of 100
	// order: 1 of 50
}
