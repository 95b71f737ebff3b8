package eventbusprometheus_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

// What a stepped bus has done is exported to the last event.
func TestCollectorExportsTheAccounts(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBus(t, eventbus.WithClock(func() time.Time { return now }),
		eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 3, Overflow: eventbus.DropOldest, MaxAge: time.Minute}),
		eventbus.WithQueue(eventbus.SignalQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.DropNewest}),
		eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 9, ConflateBy: func(eventbus.Event) string { return "one" }}))
	calls := 0
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error {
		if calls++; calls == 1 {
			panic("first")
		}
		return errors.New("no")
	}, eventbus.WithName("risk"), eventbus.DisableAfter(2))
	b.SubscribeAll(eventbus.HandlerFunc(nothing), eventbus.WithName("audit"))
	publish := func(q eventbus.Queue, n int) {
		for range n {
			_ = b.Publish(context.Background(), q, eventbus.Event{Type: tick})
		}
	}
	publish(eventbus.DataQueue, 5)   // two are evicted
	publish(eventbus.SignalQueue, 3) // one is dropped
	publish(eventbus.OrderQueue, 2)  // one is replaced
	_, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	publish(eventbus.DataQueue, 1)
	now = now.Add(time.Hour) // it is too old
	_, err = b.RunUntilIdle(context.Background())
	require.NoError(t, err)
	publish(eventbus.SignalQueue, 1)
	require.NoError(t, b.Pause(eventbus.SignalQueue))

	want, err := os.Open("testdata/accounts.prom")
	require.NoError(t, err)
	defer want.Close()
	require.NoError(t, testutil.GatherAndCompare(registry(t, collector(b)), want))
}

// With no constant labels two buses would have the same series.
func TestCollectorTellsTwoBusesApartByALabel(t *testing.T) {
	one, two := newBus(t), newBus(t)
	reg := registry(t, collector(one))
	require.ErrorAs(t, reg.Register(collector(two)), new(prometheus.AlreadyRegisteredError))

	reg = registry(t,
		eventbusprometheus.NewCollector(one, prometheus.Labels{"bus": "live"}),
		eventbusprometheus.NewCollector(two, prometheus.Labels{"bus": "paper"}))
	step(t, two, 3)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
		# HELP eventbus_events_handled_total Events whose handlers are done.
		# TYPE eventbus_events_handled_total counter
		eventbus_events_handled_total{bus="live",queue="data"} 0
		eventbus_events_handled_total{bus="live",queue="order"} 0
		eventbus_events_handled_total{bus="live",queue="signal"} 0
		eventbus_events_handled_total{bus="paper",queue="data"} 3
		eventbus_events_handled_total{bus="paper",queue="order"} 0
		eventbus_events_handled_total{bus="paper",queue="signal"} 0
	`), "eventbus_events_handled_total"))
}

// A label that the metrics have themselves is refused when the collector is registered.
func TestNewCollectorRefusesLabelsOfItsOwn(t *testing.T) {
	b := newBus(t)
	for _, name := range []string{"handler", "queue", "reason", "type", "no\xffname"} {
		c := eventbusprometheus.NewCollector(b, prometheus.Labels{name: "x"})
		require.Error(t, prometheus.NewRegistry().Register(c), name)
	}
	require.PanicsWithValue(t, "eventbusprometheus: NewCollector: the bus is nil", func() { eventbusprometheus.NewCollector(nil, nil) })
}

// Names and help texts are as Prometheus wants them, histograms included.
func TestCollectorIsLintClean(t *testing.T) {
	b := newBus(t, eventbus.WithLatencies(), eventbus.WithCauses())
	b.SubscribeFunc(tick, func(ctx context.Context, _ eventbus.Event) error {
		return b.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: "order"})
	})
	b.SubscribeFunc("order", nothing)
	step(t, b, 100)
	reg := registry(t, eventbusprometheus.NewCollector(b, prometheus.Labels{"bus": "live"}))
	for _, name := range []string{"eventbus_queue_wait_seconds", "eventbus_handler_duration_seconds", "eventbus_root_to_handler_seconds"} {
		require.NotEmpty(t, scrape(t, reg, name), name)
	}
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// A name that is no UTF-8 would make the whole scrape fail.
func TestCollectorExportsNamesThatAreNoUTF8(t *testing.T) {
	b := newBus(t)
	b.SubscribeFunc("tick\xff", nothing, eventbus.WithName("a\xfe\n\"b"))
	b.SubscribeFunc("tick\xfe", nothing, eventbus.WithName("a\xff\n\"b"))
	calls := scrape(t, registry(t, collector(b)), "eventbus_handler_calls_total")
	require.Len(t, calls, 1, "they have the same labels")
	require.Equal(t, "a\uFFFD\n\"b", calls[0].GetLabel()[0].GetValue())
	require.Equal(t, "tick\uFFFD", calls[0].GetLabel()[1].GetValue())
}

// Scrapes may come at any time, from several servers, inside handlers and after Shutdown,
// and no counter falls from one to the next.
func TestCollectorIsScrapedConcurrently(t *testing.T) {
	b := newBus(t, eventbus.WithLatencies())
	reg := registry(t, collector(b))
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { panic("boo") }, eventbus.WithName("risk"))
	b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { _, err := reg.Gather(); return err }, eventbus.WithName("self"))
	require.NoError(t, b.Start(context.Background()))
	stop, done := make(chan struct{}), make(chan error, 2)
	for range cap(done) {
		go func() { done <- neverFalls(reg, stop) }()
	}
	for range 300 {
		b.SubscribeFunc(tick, nothing, eventbus.WithName("short"), eventbus.Once())
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: tick}))
	}
	shutdown(b)
	close(stop)
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.EqualValues(t, 300, total(t, reg, "eventbus_events_handled_total"))
	require.EqualValues(t, 300, total(t, reg, "eventbus_handler_panics_total"))
}

// neverFalls scrapes until stop and returns an error if a counter of a queue, or of a
// handler that stays, falls.
func neverFalls(reg prometheus.Gatherer, stop <-chan struct{}) error {
	highest := map[string]float64{}
	for {
		families, err := reg.Gather()
		if err != nil {
			return err
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetType().String() != "COUNTER" || strings.Contains(m.String(), "short") {
					continue
				}
				key := f.GetName()
				for _, l := range m.GetLabel() {
					key += "," + l.GetValue()
				}
				if v := m.GetCounter().GetValue(); v < highest[key] {
					return errors.New(key + " fell")
				}
				highest[key] = m.GetCounter().GetValue()
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
