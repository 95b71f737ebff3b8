package eventbus

import "context"

// logFailure logs a handler's failure, unless the handler has failed too often
// in this second, and that it was disabled for it.
func (b *Bus) logFailure(ctx context.Context, s *Subscription, h *HandlerError, disabled bool) {
	if disabled {
		defer b.logger.ErrorContext(ctx, "eventbus: handler disabled, it failed too often in a row",
			"handler", s.name, "queue", h.Queue, "type", h.Event.Type, "failures", s.gate.limit)
	}
	ok, withheld := s.errors.take(1)
	if !ok {
		b.withheld.Store(true)
		return
	}
	args := []any{"handler", h.Handler, "queue", h.Queue, "type", h.Event.Type, "error", h.Err}
	if h.Panicked {
		args = append(args, "stack", string(h.Stack))
	}
	b.logger.ErrorContext(ctx, "eventbus: handler failed", withCount(args, withheld)...)
}

// logDrops logs that n events were lost, on the publisher's goroutine.
func (q *queue) logDrops(what string, n uint64) {
	ok, withheld := q.drops.take(n)
	if !ok {
		q.bus.withheld.Store(true)
		return
	}
	defer func() { _ = recover() }() // the logger's
	args := []any{"queue", q.id, "capacity", q.cfg.Capacity, "events", n}
	q.bus.logger.Warn("eventbus: queue is full, "+what, withCount(args, withheld)...)
}

// logExpired logs that an event has expired, on the processor.
func (q *queue) logExpired(ctx context.Context, h *HandlerError) {
	ok, withheld := q.expiries.take(1)
	if !ok {
		q.bus.withheld.Store(true)
		return
	}
	args := []any{"queue", q.id, "type", h.Event.Type, "error", h.Err, "events", uint64(1)}
	q.bus.logger.WarnContext(ctx, "eventbus: event was too old to be handled", withCount(args, withheld)...)
}

func withCount(args []any, withheld uint64) []any {
	if withheld > 0 {
		args = append(args, "not_logged_before", withheld)
	}
	return args
}

// flushLogs logs how many records were withheld. It runs on a processor.
func (b *Bus) flushLogs(force bool) {
	if !b.withheld.Swap(false) {
		return
	}
	again := false
	for _, q := range b.queues {
		if n := q.drops.flush(force); n > 0 {
			b.logger.Warn("eventbus: queue was full, more events were lost", "queue", q.id, "events", n)
		}
		if n := q.expiries.flush(force); n > 0 {
			b.logger.Warn("eventbus: more events were too old to be handled", "queue", q.id, "events", n)
		}
		again = again || q.drops.holds() || q.expiries.holds()
	}
	for _, s := range b.subscriptions() {
		if n := s.errors.flush(force); n > 0 {
			b.logger.Error("eventbus: handler failed more often", "handler", s.name, "type", s.eventType, "failures", n)
		}
		again = again || s.errors.holds()
	}
	if again {
		b.withheld.Store(true)
	}
}
