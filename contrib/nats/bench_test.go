package eventbusnats_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

var syncs = []struct {
	name string
	opts []eventbusnats.EmbeddedOption
}{
	{"sync=100ms", []eventbusnats.EmbeddedOption{eventbusnats.WithSyncInterval(100 * time.Millisecond)}},
	{"sync=always", []eventbusnats.EmbeddedOption{eventbusnats.WithSyncAlways()}},
}

// reportQuantiles reports the median and the 99th percentile of what n iterations took.
func reportQuantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

// BenchmarkPublish is one event from one publisher, stored, beside what JetStream's own
// client takes for the same bytes to the same server.
func BenchmarkPublish(b *testing.B) {
	for _, s := range syncs {
		n := newNode(b, s.opts...)
		topic := openTopic(b, n, eventbusnats.WithMaxBytes(16<<30))
		js := tools(b, n)
		data, err := eventbusnats.JSON[order]().Encode(newOrder(1))
		require.NoError(b, err)
		next := 0 // so that no id is a duplicate
		for name, publish := range map[string]func() error{
			"Topic": func() error { _, err := topic.Publish(context.Background(), newOrder(next)); return err },
			"jetstream": func() error {
				_, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: "eventbus.order=2Eplaced", Data: data}, jetstream.WithMsgID(newOrder(next).ID))
				return err
			},
		} {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				took := make([]time.Duration, b.N)
				for i := range b.N {
					next++
					begun := time.Now()
					if err := publish(); err != nil {
						b.Fatal(err)
					}
					took[i] = time.Since(begun)
				}
				reportQuantiles(b, took)
			})
		}
	}
}

// BenchmarkExport is one event of a bus at full speed until it is stored.
func BenchmarkExport(b *testing.B) {
	for _, s := range syncs {
		for _, window := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/window=%d", s.name, window), func(b *testing.B) {
				topic, bus := openTopic(b, newNode(b, s.opts...), eventbusnats.WithMaxBytes(16<<30)), newBus(b)
				x := export(b, topic, bus, eventbusnats.WithWindow(window))
				b.ReportAllocs()
				b.ResetTimer()
				for n := range b.N {
					if err := placed.Publish(context.Background(), bus, newOrder(n)); err != nil {
						b.Fatal(err)
					}
				}
				require.NoError(b, bus.Flush(context.Background()))
				require.NoError(b, x.Flush(context.Background()))
			})
		}
	}
}

// BenchmarkExportHandler is what an exporter costs the processor, while its window has room.
func BenchmarkExportHandler(b *testing.B) {
	topic, bus := openTopic(b, newNode(b), eventbusnats.WithMaxBytes(16<<30)), newBus(b)
	x := export(b, topic, bus, eventbusnats.WithWindow(1<<20))
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		if err := placed.Publish(context.Background(), bus, newOrder(n)); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, bus.Flush(context.Background()))
	b.StopTimer()
	require.NoError(b, x.Flush(context.Background()))
}

// BenchmarkImport is one stored event of many until its handler is done.
func BenchmarkImport(b *testing.B) {
	topic, from, to := openTopic(b, newNode(b), eventbusnats.WithMaxBytes(16<<30)), newBus(b), newBus(b)
	x := export(b, topic, from)
	for n := range b.N {
		require.NoError(b, placed.Publish(context.Background(), from, newOrder(n)))
	}
	require.NoError(b, from.Flush(context.Background()))
	require.NoError(b, x.Flush(context.Background()))
	all := make(chan struct{})
	placed.Subscribe(to, func(_ context.Context, o order) error {
		if o.N == b.N-1 {
			close(all)
		}
		return nil
	})
	b.ReportAllocs()
	b.ResetTimer()
	importTo(b, topic, to)
	<-all
}

// BenchmarkPublishToHandler is one event from Publish through the stream to a handler, one
// at a time.
func BenchmarkPublishToHandler(b *testing.B) {
	topic, bus := openTopic(b, newNode(b), eventbusnats.WithMaxBytes(16<<30)), newBus(b)
	handled := make(chan struct{}, 1)
	placed.Subscribe(bus, func(context.Context, order) error { handled <- struct{}{}; return nil })
	importTo(b, topic, bus)
	took := make([]time.Duration, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		begun := time.Now()
		_, err := topic.Publish(context.Background(), newOrder(n))
		require.NoError(b, err)
		<-handled
		took[n] = time.Since(begun)
	}
	reportQuantiles(b, took)
}
