package main

import (
	"context"

	events "github.com/docker/go-events"

	"github.com/eventbus-go/eventbus"
)

var docker = peer{
	name: "docker/go-events", module: "github.com/docker/go-events", events: 50_000, open: openDocker,
	use:       "a Broadcaster with a Queue for each handler, as its README shows; events boxed",
	order:     "total: one goroutine carries everything; a goroutine for each handler",
	bound:     "none: the Queue is an unbounded list",
	isolation: "a panic ends the program; an event whose handler fails is dropped with a debug log",
	cycle:     "never full: memory grows",
	source:    "`run` in broadcast.go, `Write`, `run` in queue.go",
}

// A dockerSink is a handler as the package wants it. Pointers to it are compared, so it must not be empty.
type dockerSink struct{ handle handler }

func (s *dockerSink) Write(e events.Event) error {
	return s.handle(context.Background(), e.(eventbus.Event))
}

func (s *dockerSink) Close() error { return nil }

func openDocker(hs []handler) (*carrier, error) {
	broadcast := events.NewBroadcaster()
	for _, h := range hs {
		if err := broadcast.Add(events.NewQueue(&dockerSink{h})); err != nil {
			return nil, err
		}
	}
	return &carrier{
		publish: func(n int) error {
			e := template
			for range n {
				if err := broadcast.Write(e); err != nil {
					return err
				}
			}
			return nil
		},
		close: broadcast.Close,
	}, nil
}
