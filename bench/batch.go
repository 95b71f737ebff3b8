package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/eventbus-go/eventbus"
)

const (
	batchSize = 16
	batchBar  = 0.5 // an event of a batch may cost this many times as much as a single publish
)

// publishSingly publishes n events of the slice that publishBatches sends whole.
func publishSingly(ctx context.Context, b *eventbus.Bus, n int) error {
	events := newBatch()
	for n > 0 {
		for i := range events[:min(n, batchSize)] {
			if err := b.Publish(ctx, eventbus.DataQueue, events[i]); err != nil {
				return err
			}
		}
		n -= batchSize
	}
	return nil
}

func publishBatches(ctx context.Context, b *eventbus.Bus, n int) error {
	events := newBatch()
	for n > 0 {
		batch := events[:min(n, batchSize)]
		accepted, err := b.PublishBatch(ctx, eventbus.DataQueue, batch)
		if err != nil {
			return err
		}
		if accepted != len(batch) {
			return fmt.Errorf("a batch of %d events had %d accepted, without an error", len(batch), accepted)
		}
		n -= batchSize
	}
	return nil
}

// openBusBatches is openBus with batches.
func openBusBatches(hs []handler) (*carrier, error) {
	return busCarrier(subscribeAll(hs), publishBatches)
}

func newBatch() []eventbus.Event {
	events := make([]eventbus.Event, batchSize)
	for i := range events {
		events[i] = template
	}
	return events
}

// runPublishOnly returns a runner that times nothing but send: on a bus that does not run and has room for all it sends.
// Between fills, out of the time, RunUntilIdle empties the queue.
func runPublishOnly(send sender, also ...func(*eventbus.Bus)) runner {
	return func(events int) (sample, error) {
		b, err := newBus()
		if err != nil {
			return sample{}, err
		}
		ts := newTallies(1)
		for _, subscribe := range append(also, subscribeAll(handlers(ts))) {
			subscribe(b)
		}
		ctx := context.Background()
		if _, err := fill(ctx, b, ts, send, max(events/10, 1)); err != nil {
			return sample{}, err
		}
		runtime.GC()
		s, err := fill(ctx, b, ts, send, events)
		return s, errors.Join(err, b.Shutdown(ctx), balanced(b.Stats()))
	}
}

// fill fills and empties the queue until all events have been sent, in whole batches as long as there are so many.
func fill(ctx context.Context, b *eventbus.Bus, ts []tally, send sender, events int) (sample, error) {
	const most = dataCapacity / batchSize * batchSize
	expect(ts, events, false)
	var took time.Duration
	before := mallocs()
	for left := events; left > 0; left -= most {
		n := min(left, most)
		start := time.Now()
		if err := send(ctx, b, n); err != nil {
			return sample{}, err
		}
		took += time.Since(start)
		if _, err := b.RunUntilIdle(ctx); err != nil {
			return sample{}, err
		}
	}
	s := sample{
		ns:     float64(took.Nanoseconds()) / float64(events),
		allocs: float64(mallocs()-before) / float64(events),
	}
	lost, err := missing(ts)
	if err == nil && lost > 0 {
		err = fmt.Errorf("%d handler calls are missing", lost)
	}
	return s, err
}

// runEndToEnd is the case of one publisher and one handler with events sent by send.
func runEndToEnd(send sender, also ...func(*eventbus.Bus)) runner {
	return load{publishers: 1, handlers: 1}.run(func(hs []handler) (*carrier, error) {
		return busCarrier(func(b *eventbus.Bus) {
			for _, subscribe := range append(also, subscribeAll(hs)) {
				subscribe(b)
			}
		}, send)
	})
}

// batchCases compare single publishes with batches. Only what the publisher pays is judged: end to end, the processor's work
// is the same for both.
var batchCases = []struct {
	name   string
	run    func(send sender, also ...func(*eventbus.Bus)) runner // what else subscribes
	events int                                                   // a round
	bar    float64
}{
	{"the publisher alone", runPublishOnly, 500_000, batchBar},
	{"end to end, processor running", runEndToEnd, 1_000_000, 0},
}

const batchText = `### Batches

ns an event of PublishBatch with %d events beside single publishes of the same events. The publisher alone: on a bus that
does not run and whose queue has room, with only the publishes in the time. End to end: as in the case of 1 publisher and
1 handler, until the last event has been handled, where the slower of publisher and processor counts.

`

// reportBatch measures both in turn.
func reportBatch(cfg config, w io.Writer) error {
	var t table
	t.row("what", "single, ns", "batch, ns", "batch ÷ single", "middle half", "allocations an event", "bar", "verdict")
	for _, c := range batchCases {
		events := cfg.events(c.events)
		got, err := cfg.takeTurns("figures/batch/"+c.name,
			side{"single", events, c.run(publishSingly)}, side{"batch", events, c.run(publishBatches)})
		if err != nil {
			return err
		}
		single, batch := got[0], got[1]
		rs := ratios(batch, single)
		bar, verdict := "", ""
		if c.bar > 0 {
			bar, verdict = ratio(c.bar), Case{Bar: c.bar}.verdict(median(rs))
		}
		t.row(c.name, ns(median(pick(single, sample.nsPerEvent))), ns(median(pick(batch, sample.nsPerEvent))), ratio(median(rs)),
			middleHalf(rs), count(median(pick(batch, sample.allocsPerEvent))), bar, verdict)
	}
	fmt.Fprintf(w, batchText, batchSize)
	t.write(w)
	return nil
}
