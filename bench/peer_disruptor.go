package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/smartystreets-prototypes/go-disruptor"

	"github.com/eventbus-go/eventbus"
)

var (
	disruptorSingly  = disruptorPeer("go-disruptor", 1)
	disruptorBatches = disruptorPeer(fmt.Sprintf("go-disruptor, batches of %d", batchSize), batchSize)
)

func disruptorPeer(name string, batch int) peer {
	return peer{
		name: name, module: "github.com/smartystreets-prototypes/go-disruptor", events: 1_000_000, publishers: 1,
		open:      func(hs []handler) (*carrier, error) { return openDisruptor(hs, int64(batch)) },
		use:       fmt.Sprintf("`Reserve(%d)` and `Commit` on a ring of 65,536 events, as in its README; a consumer for each handler, with its wait strategy; its writer is for one goroutine, so there is no figure for four", batch),
		order:     "of its one writer; a goroutine for each handler",
		bound:     "65,536; full: the writer spins",
		isolation: "none: a panic ends the program",
		cycle:     "not allowed: the writer is for one goroutine",
		source:    "`Reserve` in default_writer.go, `Read` in default_reader.go",
	}
}

const (
	ringSize = 64 << 10
	ringMask = ringSize - 1
)

// A ringReader calls a handler for what was committed.
type ringReader struct {
	ring   []eventbus.Event
	handle handler
}

func (r *ringReader) Consume(lower, upper int64) {
	ctx := context.Background()
	for at := lower; at <= upper; at++ {
		_ = r.handle(ctx, r.ring[at&ringMask])
	}
}

func openDisruptor(hs []handler, batch int64) (*carrier, error) {
	ring := make([]eventbus.Event, ringSize)
	readers := make([]disruptor.Consumer, len(hs))
	for i, h := range hs {
		readers[i] = &ringReader{ring, h}
	}
	d := disruptor.New(disruptor.WithCapacity(ringSize), disruptor.WithConsumerGroup(readers...))
	var wg sync.WaitGroup
	wg.Go(d.Read)
	return &carrier{
		publish: func(n int) error {
			e := template
			for left := int64(n); left > 0; left -= batch {
				some := min(batch, left)
				upper := d.Reserve(some)
				for at := upper - some + 1; at <= upper; at++ {
					ring[at&ringMask] = e
				}
				d.Commit(upper-some+1, upper)
			}
			return nil
		},
		close: func() error { err := d.Close(); wg.Wait(); return err },
	}, nil
}
