package chaos

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// A subject is one bus of a run, and its ledger.
type subject struct {
	ledger
	bus *eventbus.Bus

	closing   atomic.Bool  // Shutdown has been called, or is about to be
	closedAt  atomic.Int64 // at this time, in nanoseconds; 0 if it was not
	stepping  atomic.Bool  // so has RunUntilIdle
	driven    atomic.Bool  // and it may have driven the processors
	helping   atomic.Bool  // the machine steps the bus
	mishaps   atomic.Int64 // calls of the logger and the error handler that may fail
	noises    atomic.Int64 // calls of them that may call a bus
	numbers   [3]int       // of the publishes by the handlers of a queue, who write them
	strangers [3]int       // and of those by handlers with a context of their own

	startMu sync.Mutex         // held around Start
	session context.CancelFunc // guarded by startMu: ends the context of the last Start that succeeded

	subMu       sync.Mutex
	subscribers []*subscriber // in the order of subscription
	passing     []*subscriber // those who come and go
}

// open makes the bus number i.
func (m *machine) open(i int) {
	p := &m.plan.buses[i]
	b := &subject{ledger: ledger{m: m, index: i, plan: p, inBubble: !m.realTime}}
	options := []eventbus.Option{
		eventbus.WithPollInterval(p.poll), eventbus.WithSlowHandler(m.scaled(p.slow)),
		eventbus.WithLogger(slog.New(&troubledLogger{slog.DiscardHandler, b})),
		eventbus.WithErrorHandler(b.onError),
	}
	for q := range p.queues {
		options = append(options, eventbus.WithQueue(eventbus.Queue(q), p.queues[q].config(m.scaled)))
	}
	for n := range p.layers {
		options = append(options, eventbus.WithMiddleware(b.layer(n+1)))
	}
	if p.mode == single {
		options = append(options, eventbus.WithSingleThread())
	}
	if m.realTime || lawful {
		options = append(options, eventbus.WithSpin(p.spin))
	}
	if p.clocked {
		options = append(options, withClock(time.Now)...)
	}
	var err error
	b.bus, err = eventbus.New(options...)
	require.NoError(m.t, err)
	bustest.KillAtEnd(m.t, b.bus)
	m.subjects = append(m.subjects, b)
}

// subscribeFirst subscribes the ear, and those who are there all the time.
func (b *subject) subscribeFirst() {
	silent := []step{{}}
	if b.plan.ear {
		b.subscribe(shape{all: true}, silent)
	}
	for t, q := range b.plan.retained {
		if q >= 0 {
			b.subscribe(shape{topic: t, typed: true}, silent)
		}
	}
	for _, h := range b.plan.handlers {
		b.subscribe(h.shape, h.script)
	}
}

// flushed flushes the bus and reports whether it was at rest then.
func (b *subject) flushed() bool {
	ctx, cancel := context.WithTimeout(context.Background(), b.m.tick())
	defer cancel()
	err := b.bus.Flush(ctx)
	switch {
	case err == nil:
		return true
	case b.closing.Load(): // its handlers may still run, and publish to the other buses
		return !errors.Is(err, context.DeadlineExceeded)
	case !errors.Is(err, eventbus.ErrNotRunning) && !errors.Is(err, eventbus.ErrPaused) && !errors.Is(err, context.DeadlineExceeded):
		b.m.fail("at rest, Flush returned %v", err)
	}
	return false
}

func (b *subject) verifyRest(stats eventbus.Stats) {
	b.verify(stats, b.subscribers, nil)
	if b.inBubble {
		expect(&b.ledger, 0, stats.Abandoned, "Abandoned")
		b.verifySubscribers(stats.Handlers, b.subscribers)
	}
}

// verifyEnd compares the accounts after Shutdown.
func (b *subject) verifyEnd() {
	err := b.bus.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "late", Data: new(entry)})
	if !errors.Is(err, eventbus.ErrClosed) {
		b.violated("after Shutdown, Publish returned %v", err)
	}
	stats := b.bus.Stats()
	stats.Queues[eventbus.DataQueue].Rejected-- // the one above
	result := b.verifyResult()
	b.verify(stats, b.subscribers, result)
	b.verifyShutdown(result, b.subscribers)
	expect(&b.ledger, true, isClosed(stats), "Closed")
	expect(&b.ledger, 0, stats.Abandoned, "Abandoned")
	if !b.interrupted() {
		b.verifySubscribers(stats.Handlers, b.subscribers)
	}
}

// interrupted reports whether a handler has ended RunUntilIdle with its
// goroutine, and nobody went on with its event.
func (b *subject) interrupted() bool {
	for i := range b.queues {
		if b.queues[i].pending != nil {
			return true
		}
	}
	return false
}
