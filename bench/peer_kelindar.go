package main

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/kelindar/event"

	"github.com/eventbus-go/eventbus"
)

var kelindar = peer{
	name: "kelindar/event", module: "github.com/kelindar/event", events: 1_000_000, open: openKelindar,
	use:       "a `Dispatcher`, generic, events by value; what it has collected is handed over twice a millisecond",
	order:     "total for a type: a mutex is held until each subscriber has the event; a goroutine for each handler",
	bound:     "50,000 a subscriber; full: the publishers wait, and every 0.5 ms one of them gets through beyond the bound",
	isolation: "a panic ends the program",
	cycle:     "waits up to 0.5 ms, then goes beyond the bound",
	source:    "`Process`, `Broadcast`, `Listen` in event.go",
}

// A kelindarEvent is an event as the package wants it.
type kelindarEvent struct{ event eventbus.Event }

func (kelindarEvent) Type() uint32 { return 1 }

func openKelindar(hs []handler) (*carrier, error) {
	ctx := context.Background()
	d := event.NewDispatcher()
	var ends []func()
	for _, h := range hs {
		ends = append(ends, event.Subscribe(d, func(e kelindarEvent) { _ = h(ctx, e.event) }))
	}
	return &carrier{
		publish: func(n int) error {
			e := template
			for range n {
				event.Publish(d, kelindarEvent{e})
			}
			return nil
		},
		close: func() error {
			for _, end := range ends {
				end()
			}
			return closeKelindar(d)
		},
	}, nil
}

// closeKelindar closes d when its subscribers have ended, which they do at its next tick and without saying so: after
// Close it does not tick any more, and they would stay.
func closeKelindar(d *event.Dispatcher) error {
	for end := time.Now().Add(patience); kelindarListens(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.Join(errors.New("the subscribers do not end"), d.Close())
		}
	}
	return d.Close()
}

// kelindarListens looks for the goroutine of a subscriber, which may not have run yet.
func kelindarListens() bool {
	stacks := make([]byte, 1<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("created by github.com/kelindar/event.(*group"))
}
