package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

// fullBar is how many times as long as at a full channel a publish may wait: no longer, with room for the timer's error.
const fullBar = 1.1

// A slowQueue is a queue whose handler is slow, as the publisher from outside sees it.
type slowQueue struct {
	try     func() (full bool, err error) // publishes an event if there is room
	publish func() error                  // publishes an event, and waits for room
	close   func() error
}

// A slowOpener starts a slowQueue with orderCapacity places.
type slowOpener func(handler) (*slowQueue, error)

// openSlowBus is the order queue of a bus with all its defaults.
func openSlowBus(h handler) (*slowQueue, error) {
	b, err := newBus()
	if err != nil {
		return nil, err
	}
	b.SubscribeFunc(eventbus.OrderPlaced, h)
	ctx := context.Background()
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	e := typed(eventbus.OrderPlaced)
	return &slowQueue{
		try: func() (bool, error) {
			err := b.TryPublish(ctx, eventbus.OrderQueue, e)
			if errors.Is(err, eventbus.ErrQueueFull) {
				return true, nil
			}
			return false, err
		},
		publish: func() error { return b.Publish(ctx, eventbus.OrderQueue, e) },
		close: func() error {
			deadline, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err := b.Shutdown(deadline); err != nil {
				return err
			}
			if q := b.Stats().Queues[eventbus.OrderQueue]; q.Accepted != q.Handled {
				return fmt.Errorf("the order queue accepted %d events and handled %d", q.Accepted, q.Handled)
			}
			return nil
		},
	}, nil
}

// openSlowHand is a buffered channel with one goroutine that consumes it.
func openSlowHand(h handler) (*slowQueue, error) {
	ch := make(chan eventbus.Event, orderCapacity)
	e := typed(eventbus.OrderPlaced)
	var wg sync.WaitGroup
	wg.Go(func() { consume(context.Background(), ch, []handler{h}) })
	return &slowQueue{
		try: func() (bool, error) {
			select {
			case ch <- e:
				return false, nil
			default:
				return true, nil
			}
		},
		publish: func() error { ch <- e; return nil },
		close:   func() error { close(ch); wg.Wait(); return nil },
	}, nil
}

// runFull returns a runner that fills the queue of a handler that takes so long, and times one publish at the full queue,
// again and again. The sample's ns is the median of the round, and its worst the longest.
func runFull(open slowOpener, takes time.Duration) runner {
	return func(publishes int) (sample, error) {
		var over atomic.Bool // then the handler hurries, so that what is left drains
		begun := make(chan struct{})
		begin := sync.OnceFunc(func() { close(begun) })
		q, err := open(func(context.Context, eventbus.Event) error {
			begin()
			if !over.Load() {
				time.Sleep(takes)
			}
			return nil
		})
		if err != nil {
			return sample{}, err
		}
		waits, err := timeWaits(q, begun, publishes)
		over.Store(true)
		if err = errors.Join(err, q.close()); err != nil {
			return sample{}, err
		}
		return sample{ns: median(waits), tail: quantile(waits, 0.99), worst: quantile(waits, 1)}, nil
	}
}

// timeWaits begins once the handler is at an event, so that the queue it fills stays full.
func timeWaits(q *slowQueue, begun <-chan struct{}, publishes int) (waits []float64, err error) {
	if err := q.publish(); err != nil {
		return nil, err
	}
	<-begun
	for range publishes {
		if err := fillUp(q); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := q.publish(); err != nil {
			return nil, err
		}
		waits = append(waits, float64(time.Since(start)))
	}
	return waits, nil
}

// fillUp publishes until the queue is full.
func fillUp(q *slowQueue) error {
	for range 10 * orderCapacity {
		if full, err := q.try(); full || err != nil {
			return err
		}
	}
	return errors.New("the queue does not become full")
}

// fullCases are the handlers behind the full queue. A round has so many publishes.
var fullCases = []struct {
	takes     time.Duration
	publishes int
}{
	{time.Millisecond, 20},
	{10 * time.Millisecond, 10},
	{100 * time.Millisecond, 2},
}

const fullText = `### A publish at a full queue of slow handlers

How long one publish from outside waits when the order queue, with its %d places, is full and its handler sleeps for so long,
beside a buffered channel of as many places with the same consumer. Before each publish the queue is filled until it refuses
an event. Medians of the rounds' medians, the ratios of these, and the longest wait of all rounds.

`

// reportFull measures the cases in turn.
func reportFull(cfg config, w io.Writer) error {
	var t table
	t.row("a handler takes", "bus, ms", "longest", "by hand, ms", "longest", "bus ÷ by hand", "middle half", "bar", "verdict")
	for _, c := range fullCases {
		d, err := compare(fmt.Sprintf("figures/full/%v", c.takes), Case{
			Events: c.publishes, Bus: runFull(openSlowBus, c.takes), Hand: runFull(openSlowHand, c.takes),
		}, cfg)
		if err != nil {
			return err
		}
		row := []string{c.takes.String()}
		for _, side := range [][]sample{d.bus, d.hand} {
			row = append(row, ms(median(pick(side, sample.nsPerEvent))), ms(quantile(pick(side, sample.worstNs), 1)))
		}
		rs := d.ratios()
		t.row(append(row, ratio(median(rs)), middleHalf(rs), ratio(fullBar), Case{Bar: fullBar}.verdict(median(rs)))...)
	}
	fmt.Fprintf(w, fullText, orderCapacity)
	t.write(w)
	return nil
}
