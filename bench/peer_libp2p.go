package main

import (
	"context"
	"errors"
	"sync"

	libp2pbus "github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/eventbus-go/eventbus"
)

var libp2p = peer{
	name: "libp2p/host/eventbus", module: "github.com/libp2p/go-libp2p", events: 100_000, open: openLibp2p,
	use:       "an `Emitter`, a `Subscribe` with `BufSize(1000)` a handler; events boxed",
	order:     "total for a type: a mutex is held until each subscriber has the event",
	bound:     "1000 a subscriber (16 by default); when one is full every publisher of the type waits, logged after 1 s",
	isolation: "handlers run in the subscriber's goroutine: a panic ends the program",
	cycle:     "hangs",
	source:    "`emit`, `emitAndLogError` in basic.go",
}

func openLibp2p(hs []handler) (*carrier, error) {
	ctx := context.Background()
	b := libp2pbus.NewBus()
	emitter, err := b.Emitter(new(eventbus.Event))
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	var ends []func() error
	closeAll := func() error {
		err := emitter.Close()
		for _, end := range ends {
			err = errors.Join(err, end())
		}
		wg.Wait()
		return err
	}
	for _, h := range hs {
		sub, err := b.Subscribe(new(eventbus.Event), libp2pbus.BufSize(dataCapacity))
		if err != nil {
			return nil, errors.Join(err, closeAll())
		}
		ends = append(ends, sub.Close)
		wg.Go(func() {
			for e := range sub.Out() {
				_ = h(ctx, e.(eventbus.Event))
			}
		})
	}
	return &carrier{
		publish: func(n int) error {
			e := template
			for range n {
				if err := emitter.Emit(e); err != nil {
					return err
				}
			}
			return nil
		},
		close: closeAll,
	}, nil
}
