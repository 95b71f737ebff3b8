// Package eventbusprometheus exports the accounts and latencies of a bus of
// [github.com/eventbus-go/eventbus] to Prometheus.
//
//	bus, err := eventbus.New(eventbus.WithLatencies(), eventbus.WithCauses())
//	reg.MustRegister(eventbusprometheus.NewCollector(bus, nil))
//
// A scrape reads Bus.Stats and Bus.Latencies. Nothing happens between scrapes, so the bus
// costs what it costs without a collector.
//
// Histograms are native (schema 3, buckets that grow by 9 %) and classic (bounds that grow
// fourfold from 1 µs to 16 s): a server that asks for native ones gets both, all others get
// the classic ones. They hold samples, see [eventbus.Latencies]: their quantiles and
// averages say how long things take, their counts do not say how often things happen.
package eventbusprometheus

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eventbus-go/eventbus"
)

// A Collector is a prometheus.Collector for one bus. Its methods may be called
// concurrently, inside handlers, and after Shutdown, when it goes on to export the last
// accounts. It starts no goroutine and needs no end.
type Collector struct {
	bus   *eventbus.Bus
	descs *descs

	mu     sync.Mutex // one scrape reads at a time, so that none tells less than the one before
	ledger ledger
}

// NewCollector returns a collector for bus. Each metric has the given constant labels: two
// buses in one registry need a label that tells them apart, and the dashboard looks for
// "bus". A label whose name is invalid, or is handler, queue, reason or type, makes Register
// return an error. NewCollector panics if bus is nil.
func NewCollector(bus *eventbus.Bus, labels prometheus.Labels) *Collector {
	if bus == nil {
		panic("eventbusprometheus: NewCollector: the bus is nil")
	}
	return &Collector{bus: bus, descs: newDescs(labels)}
}

// Describe sends the descriptions of all metrics. It implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs.all {
		ch <- d
	}
}

// Collect sends the metrics as they are now. It implements prometheus.Collector. It waits
// for no handler.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stats, latencies, handlers := c.read()
	out := sink{ch}
	c.collectBus(out, stats)
	for _, q := range stats.Queues {
		c.collectQueue(out, q)
		out.histogram(c.descs.wait, latencies.Wait[q.Queue], q.Queue.String())
	}
	for key, total := range handlers {
		c.collectHandler(out, key, total)
	}
}

// read takes the accounts. It takes the latencies first: then a subscription that is
// missing in them and present in the accounts has only just begun.
func (c *Collector) read() (eventbus.Stats, eventbus.Latencies, map[handlerKey]account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	latencies := c.bus.Latencies()
	stats := c.bus.Stats()
	return stats, latencies, c.ledger.update(stats.Handlers, latencies.Handlers)
}

func (c *Collector) collectBus(out sink, s eventbus.Stats) {
	out.flag(c.descs.running, s.Running)
	out.flag(c.descs.closed, s.Closed)
	out.gauge(c.descs.abandoned, float64(s.Abandoned))
}

func (c *Collector) collectQueue(out sink, q eventbus.QueueStats) {
	d, name := c.descs, q.Queue.String()
	out.gauge(d.depth, float64(q.Depth), name)
	out.gauge(d.capacity, float64(q.Capacity), name)
	out.gauge(d.highest, float64(q.HighWater), name)
	out.gauge(d.deferred, float64(q.Deferred), name)
	out.flag(d.paused, q.Paused, name)
	out.flag(d.busy, q.Calling != eventbus.Calling{}, name)
	out.gauge(d.oldest, q.Oldest.Seconds(), name)
	out.gauge(d.waiting, float64(q.Waiting), name)
	out.gauge(d.longestWait, q.LongestWait.Seconds(), name)

	out.counter(d.accepted, q.Accepted, name)
	out.counter(d.handled, q.Handled, name)
	out.counter(d.unhandled, q.Unhandled, name)
	out.counter(d.refused, q.Dropped, name, "dropped")
	out.counter(d.refused, q.Rejected, name, "rejected")
	out.counter(d.discarded, q.Evicted, name, "evicted")
	out.counter(d.discarded, q.Conflated, name, "conflated")
	out.counter(d.discarded, q.Expired, name, "expired")
	out.counter(d.discarded, q.Withdrawn, name, "withdrawn")
	out.counter(d.queueFailures, q.Failed, name)
	out.counter(d.queuePanics, q.Panicked, name)
}

func (c *Collector) collectHandler(out sink, key handlerKey, a account) {
	d := c.descs
	out.counter(d.calls, a.calls, key.name, key.eventType)
	out.counter(d.failures, a.failed, key.name, key.eventType)
	out.counter(d.panics, a.panicked, key.name, key.eventType)
	out.gauge(d.disabled, float64(a.disabled), key.name, key.eventType)
	out.histogram(d.took, a.took, key.name, key.eventType)
	out.histogram(d.fromRoot, a.fromRoot, key.name, key.eventType)
}

// A sink makes metrics of values and sends them.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) flag(d *prometheus.Desc, is bool, labels ...string) {
	v := 0.0
	if is {
		v = 1
	}
	s.gauge(d, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v uint64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// histogram sends h if it has counted anything: without WithLatencies none has.
func (s sink) histogram(d *prometheus.Desc, h eventbus.Histogram, labels ...string) {
	if h.Count() > 0 {
		s.ch <- newHistogram(d, h, labels)
	}
}

// valid returns s as a label's value, which must be UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
