package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

// naive is the processor that is written first: it polls with a new timer for every event.
var naive = peer{
	name: "naive processor", events: 100_000, open: openNaive,
	use:       "`select` on channel, `time.After(100ms)` and stop; a recover around each handler",
	order:     "of each publisher; handlers in order, one at a time",
	bound:     "1000; full: the publisher waits",
	isolation: "error and panic, logged",
	cycle:     "hangs",
	source:    "`peer_naive.go`",
}

func openNaive(hs []handler) (*carrier, error) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan eventbus.Event, dataCapacity)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case e := <-ch:
				for _, h := range hs {
					callSafely(ctx, h, e)
				}
			case <-time.After(100 * time.Millisecond):
			case <-stop:
				return
			}
		}
	})
	return &carrier{
		publish: func(n int) error { sendPlain(ch, n); return nil },
		close:   func() error { close(stop); wg.Wait(); cancel(); return nil },
	}, nil
}

func callSafely(ctx context.Context, h handler, e eventbus.Event) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("handler panicked", "panic", p)
		}
	}()
	if err := h(ctx, e); err != nil {
		slog.Error("handler failed", "error", err)
	}
}
