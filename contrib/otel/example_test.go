package eventbusotel_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	prombridge "go.opentelemetry.io/contrib/bridges/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/eventbus-go/eventbus"
	eventbusotel "github.com/eventbus-go/eventbus/contrib/otel"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

// One of a thousand ticks is traced, with all that follows from it.
func ExampleTrace() {
	spans := tracetest.NewInMemoryExporter() // a program has otlptracegrpc.New(ctx)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	bus, err := eventbus.New(eventbusotel.Trace(eventbusotel.WithTracerProvider(provider), eventbusotel.WithRoots(1000))...)
	if err != nil {
		log.Fatal(err)
	}
	bus.SubscribeFunc("tick", func(ctx context.Context, _ eventbus.Event) error {
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", nil, "strategy"))
	})
	bus.SubscribeFunc("order", func(context.Context, eventbus.Event) error { return nil })

	ctx := context.Background()
	for range 10 {
		_ = bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", nil, "feed"))
		_, _ = bus.RunUntilIdle(ctx)
	}
	names := map[string]string{}
	for _, s := range spans.GetSpans() {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	for _, s := range spans.GetSpans() {
		fmt.Printf("%s, parent: %q\n", s.Name, names[s.Parent.SpanID().String()])
	}
	// Output:
	// publish tick, parent: ""
	// process tick, parent: "publish tick"
	// process order, parent: "process tick"
}

// OpenTelemetry exports what contrib/prometheus collects; the histograms keep their buckets.
func Example_metrics() {
	bus, err := eventbus.New(eventbus.WithLatencies())
	if err != nil {
		log.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(eventbusprometheus.NewCollector(bus, nil))
	producer := prombridge.NewMetricProducer(prombridge.WithGatherer(reg))
	reader := sdkmetric.NewManualReader(sdkmetric.WithProducer(producer)) // a program has NewPeriodicReader(exporter, …)
	_ = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	ctx := context.Background()
	for range 100 {
		_ = bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", nil, "feed"))
		_, _ = bus.RunUntilIdle(ctx)
	}
	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &metrics); err != nil {
		log.Fatal(err)
	}
	for _, m := range metrics.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.ExponentialHistogram[float64]:
			fmt.Println(m.Name, "scale", d.DataPoints[0].Scale, "count", d.DataPoints[0].Count)
		case metricdata.Sum[float64]:
			if m.Name == "eventbus_events_handled_total" {
				fmt.Println(m.Name, d.DataPoints[0].Value)
			}
		}
	}
	// Output:
	// eventbus_events_handled_total 100
	// eventbus_queue_wait_seconds scale 3 count 50
}
