package eventbusprometheus_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// What a scrape costs, from the request to the text of its answer: of buses with few and
// many handlers, with and without latencies. "stats" is the part that the bus does.
func BenchmarkScrape(b *testing.B) {
	for _, handlers := range []int{3, 50} {
		for _, latencies := range []bool{false, true} {
			bus := busOf(b, handlers, latencies)
			name := fmt.Sprintf("handlers=%d/latencies=%t", handlers, latencies)
			b.Run(name+"/stats", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bus.Latencies()
					bus.Stats()
				}
			})
			b.Run(name+"/scrape", func(b *testing.B) {
				reg := prometheus.NewRegistry()
				reg.MustRegister(collector(bus))
				metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})
				request := httptest.NewRequest("GET", "/metrics", nil)
				answer := httptest.NewRecorder()
				metrics.ServeHTTP(answer, request)
				b.ReportAllocs()
				for b.Loop() {
					metrics.ServeHTTP(nowhere{http.Header{}}, request)
				}
				b.ReportMetric(float64(series(answer.Body.String())), "series")
			})
		}
	}
}

// busOf returns a bus that has handled enough for all histograms.
func busOf(b *testing.B, handlers int, latencies bool) *eventbus.Bus {
	var opts []eventbus.Option
	if latencies {
		opts = append(opts, eventbus.WithLatencies(), eventbus.WithCauses())
	}
	bus := newBus(b, opts...)
	bus.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", nil, "test"))
	}, eventbus.WithName("strategy"))
	for i := range handlers - 1 {
		bus.SubscribeFunc("order", nothing, eventbus.WithName(fmt.Sprint("handler", i)))
	}
	step(b, bus, 200)
	require.Equal(b, latencies, bus.Latencies().Wait[eventbus.DataQueue].Count() > 0)
	return bus
}

// series returns how many lines of text are no comment.
func series(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(p []byte) (int, error) { return io.Discard.Write(p) }
