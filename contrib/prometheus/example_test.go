package eventbusprometheus_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/eventbus-go/eventbus"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

// A server scrapes what the bus has done.
func ExampleNewCollector() {
	bus, err := eventbus.New(eventbus.WithLatencies(), eventbus.WithCauses())
	if err != nil {
		log.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(eventbusprometheus.NewCollector(bus, nil))
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{}) // for http.Handle("/metrics", metrics)

	ctx := context.Background()
	bus.SubscribeFunc("tick", func(context.Context, eventbus.Event) error { return nil }, eventbus.WithName("strategy"))
	for range 3 {
		_ = bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", nil, "feed"))
	}
	_, _ = bus.RunUntilIdle(ctx)

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "eventbus_handler_calls_total") || strings.HasPrefix(lines.Text(), `eventbus_events_handled_total{queue="data"}`) {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// eventbus_events_handled_total{queue="data"} 3
	// eventbus_handler_calls_total{handler="strategy",type="tick"} 3
}
