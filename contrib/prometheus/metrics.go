package eventbusprometheus

import "github.com/prometheus/client_golang/prometheus"

// descs are the descriptions of the metrics.
//
// Failures and panics are metrics of their own, and not one with a reason: the bus counts
// them one after the other, so a difference of the two could fall, and a counter that falls
// looks like a restart.
type descs struct {
	all []*prometheus.Desc

	running, closed, abandoned *prometheus.Desc

	depth, capacity, highest, deferred, paused, busy *prometheus.Desc
	oldest, waiting, longestWait                     *prometheus.Desc
	accepted, handled, unhandled, refused, discarded *prometheus.Desc
	queueFailures, queuePanics, wait                 *prometheus.Desc

	calls, failures, panics, disabled, took, fromRoot *prometheus.Desc
}

func newDescs(labels prometheus.Labels) *descs {
	d := &descs{}
	d.describeBus(labels)
	d.describeQueues(labels)
	d.describeHandlers(labels)
	return d
}

func (d *descs) add(labels prometheus.Labels, name, help string, variable ...string) *prometheus.Desc {
	desc := prometheus.NewDesc("eventbus_"+name, help, variable, labels)
	d.all = append(d.all, desc)
	return desc
}

func (d *descs) describeBus(l prometheus.Labels) {
	d.running = d.add(l, "running", "Whether the bus is started.")
	d.closed = d.add(l, "closed", "Whether Shutdown has begun.")
	d.abandoned = d.add(l, "handler_calls_abandoned", "Calls that were given up on and still run.")
}

func (d *descs) describeQueues(l prometheus.Labels) {
	d.depth = d.add(l, "queue_depth", "Events that wait in the queue.", "queue")
	d.capacity = d.add(l, "queue_capacity", "Events that fit into the queue.", "queue")
	d.highest = d.add(l, "queue_depth_highest", "The highest depth since the bus was made.", "queue")
	d.deferred = d.add(l, "queue_deferred", "Events accepted beyond the capacity, from handlers that must not wait.", "queue")
	d.paused = d.add(l, "queue_paused", "Whether the queue is paused.", "queue")
	d.busy = d.add(l, "queue_busy", "Whether the queue's processor is at a handler.", "queue")
	d.oldest = d.add(l, "queue_oldest_seconds", "How long the oldest event in the queue has waited at least.", "queue")
	d.waiting = d.add(l, "queue_waiting_publishes", "Publishes that wait for room in the queue.", "queue")
	d.longestWait = d.add(l, "queue_longest_publish_wait_seconds", "How long the publish has waited that has waited longest.", "queue")
	d.wait = d.add(l, "queue_wait_seconds", "How long sampled events waited in the queue.", "queue")

	d.accepted = d.add(l, "events_accepted_total", "Events that a publish has accepted.", "queue")
	d.handled = d.add(l, "events_handled_total", "Events whose handlers are done.", "queue")
	d.unhandled = d.add(l, "events_unhandled_total", "Handled events that had no handler.", "queue")
	d.refused = d.add(l, "events_refused_total", "Events that a publish has not accepted, by reason.", "queue", "reason")
	d.discarded = d.add(l, "events_discarded_total", "Accepted events that no handler got, by reason.", "queue", "reason")
	d.queueFailures = d.add(l, "queue_failures_total", "Handler calls for events of the queue that failed in any way.", "queue")
	d.queuePanics = d.add(l, "queue_panics_total", "Handler calls for events of the queue that panicked.", "queue")
}

func (d *descs) describeHandlers(l prometheus.Labels) {
	d.calls = d.add(l, "handler_calls_total", "Calls of the handler.", "handler", "type")
	d.failures = d.add(l, "handler_failures_total", "Calls of the handler that failed in any way.", "handler", "type")
	d.panics = d.add(l, "handler_panics_total", "Calls of the handler that panicked.", "handler", "type")
	d.disabled = d.add(l, "handler_disabled", "Subscriptions of the handler that were taken out for their failures.", "handler", "type")
	d.took = d.add(l, "handler_duration_seconds", "How long sampled calls of the handler took.", "handler", "type")
	d.fromRoot = d.add(l, "root_to_handler_seconds", "How long after the time of the event that began the chain of causes the handler was called.", "handler", "type")
}
