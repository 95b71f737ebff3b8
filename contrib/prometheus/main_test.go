package eventbusprometheus_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tick eventbus.EventType = "tick"

// newBus returns a bus that logs nothing and ends with the test.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	b, err := eventbus.New(append(opts, eventbus.WithLogger(slog.New(slog.DiscardHandler)))...)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(b) })
	return b
}

func shutdown(b *eventbus.Bus) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.Shutdown(ctx)
}

// registry returns a registry that checks what collectors send.
func registry(t testing.TB, cs ...prometheus.Collector) *prometheus.Registry {
	reg := prometheus.NewPedanticRegistry()
	for _, c := range cs {
		require.NoError(t, reg.Register(c))
	}
	return reg
}

func collector(b *eventbus.Bus) prometheus.Collector { return eventbusprometheus.NewCollector(b, nil) }

// step publishes n ticks to the data queue and handles them.
func step(t testing.TB, b *eventbus.Bus, n int) {
	for range n {
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.NewEvent(tick, nil, "feed")))
		_, err := b.RunUntilIdle(context.Background())
		require.NoError(t, err)
	}
}

func nothing(context.Context, eventbus.Event) error { return nil }

// scrape returns the metrics of a name.
func scrape(t testing.TB, reg prometheus.Gatherer, name string) []*dto.Metric {
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

// total returns the sum of the counters of a name.
func total(t testing.TB, reg prometheus.Gatherer, name string) (sum float64) {
	for _, m := range scrape(t, reg, name) {
		sum += m.GetCounter().GetValue()
	}
	return sum
}
