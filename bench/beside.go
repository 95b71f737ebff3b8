package main

import (
	"context"
	"fmt"
	"io"

	"github.com/eventbus-go/eventbus"
)

const (
	besideEvery = 400  // plain events for each event of the topic
	besideBar   = 1.10 // plain events may cost this many times as much as alone
)

// quotes is a topic that keeps the latest of each symbol on the queue of the plain events.
var quotes = eventbus.NewTopic[*quote]("quote", eventbus.DataQueue,
	eventbus.WithConflateBy(func(q *quote) string { return q.symbol }))

type quote struct{ symbol string }

// hearQuotes gives the topic a handler.
func hearQuotes(b *eventbus.Bus) {
	quotes.Subscribe(b, func(context.Context, *quote) error { return nil })
}

// publishBeside publishes n plain events, and before the first and after so many of them one of the conflating topic.
func publishBeside(ctx context.Context, b *eventbus.Bus, n int) error {
	q := &quote{"ES"}
	for n > 0 {
		if err := quotes.Publish(ctx, b, q); err != nil {
			return err
		}
		if err := publishPlain(ctx, b, min(n, besideEvery)); err != nil {
			return err
		}
		n -= besideEvery
	}
	return nil
}

const besideText = `### Plain events beside a conflating topic

ns a plain event while a topic with WithConflateBy publishes to the same queue, one event for every %d, beside the same
plain events alone; the topic's events are in the time. The publisher alone and end to end are those of the batches.

`

// reportBeside measures plain events alone and beside the topic in turn.
func reportBeside(cfg config, w io.Writer) error {
	var t table
	t.row("what", "alone, ns", "beside, ns", "beside ÷ alone", "middle half", "allocations an event", "bar", "verdict")
	for _, c := range batchCases {
		events := cfg.events(c.events)
		got, err := cfg.takeTurns("figures/beside/"+c.name,
			side{"alone", events, c.run(publishPlain)}, side{"beside", events, c.run(publishBeside, hearQuotes)})
		if err != nil {
			return err
		}
		alone, beside := got[0], got[1]
		rs := ratios(beside, alone)
		t.row(c.name, ns(median(pick(alone, sample.nsPerEvent))), ns(median(pick(beside, sample.nsPerEvent))), ratio(median(rs)),
			middleHalf(rs), count(median(pick(beside, sample.allocsPerEvent))), ratio(besideBar), Case{Bar: besideBar}.verdict(median(rs)))
	}
	fmt.Fprintf(w, besideText, besideEvery)
	t.write(w)
	return nil
}
