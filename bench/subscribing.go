package main

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

// subscribingBar is how long the most handlers of one type may take to come and go.
const subscribingBar = time.Second

// handlerCounts are how many handlers of one type come and go: if each costs the same, the time grows by ten as they do.
var handlerCounts = []int{2_000, 20_000}

// A registry is what handlers subscribe to and unsubscribe from while it runs.
type registry struct {
	subscribe func(handler) (unsubscribe func())
	publish   func() error // publishes an event and returns when those who are there have handled it
	close     func() error
}

func openRegistryBus() (*registry, error) {
	b, err := newBus()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	return &registry{
		subscribe: func(h handler) func() { return b.SubscribeFunc(template.Type, h).Unsubscribe },
		publish: func() error {
			if err := b.Publish(ctx, eventbus.DataQueue, template); err != nil {
				return err
			}
			return b.Flush(ctx)
		},
		close: func() error {
			deadline, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return b.Shutdown(deadline)
		},
	}, nil
}

// openRegistryHand is a linked list under a mutex, which keeps the order of the handlers and lets each come and go in a few
// steps.
func openRegistryHand() (*registry, error) {
	var mu sync.Mutex
	var handlers list.List
	return &registry{
		subscribe: func(h handler) func() {
			mu.Lock()
			defer mu.Unlock()
			e := handlers.PushBack(h)
			return func() {
				mu.Lock()
				defer mu.Unlock()
				handlers.Remove(e)
			}
		},
		publish: func() error {
			mu.Lock()
			defer mu.Unlock()
			for e := handlers.Front(); e != nil; e = e.Next() {
				if err := e.Value.(handler)(context.Background(), template); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() error { return nil },
	}, nil
}

// runSubscribing returns a runner that subscribes handlers and, in another order, unsubscribes them, and checks in between
// and after that an event meets those who are there. The sample's ns is of one handler that comes and goes.
func runSubscribing(open func() (*registry, error)) runner {
	return func(n int) (sample, error) {
		c, err := open()
		if err != nil {
			return sample{}, err
		}
		took, err := comeAndGo(c, n)
		return sample{ns: float64(took) / float64(n)}, errors.Join(err, c.close())
	}
}

func comeAndGo(c *registry, n int) (took time.Duration, err error) {
	calls := 0
	h := func(context.Context, eventbus.Event) error { calls++; return nil }
	unsubscribe := make([]func(), n)
	runtime.GC()
	start := time.Now()
	for i := range unsubscribe {
		unsubscribe[i] = c.subscribe(h)
	}
	took = time.Since(start)
	if err := c.meets(&calls, n); err != nil {
		return 0, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(n, func(i, j int) { unsubscribe[i], unsubscribe[j] = unsubscribe[j], unsubscribe[i] })
	start = time.Now()
	for i := range unsubscribe {
		unsubscribe[i]()
	}
	took += time.Since(start)
	return took, c.meets(&calls, 0)
}

// meets publishes an event and reports if it was not handled by so many.
func (c *registry) meets(calls *int, want int) error {
	*calls = 0
	if err := c.publish(); err != nil {
		return err
	}
	if *calls != want {
		return fmt.Errorf("an event met %d handlers of %d", *calls, want)
	}
	return nil
}

const subscribingText = `### Handlers that come and go

So many handlers of one type subscribe to a bus that runs and unsubscribe in another order. An event that each of them gets
in between is not in the time. By hand is a linked list under a mutex, which has no processor to tell.

`

// reportSubscribing measures each number of handlers in turn.
func reportSubscribing(cfg config, w io.Writer) error {
	var t table
	t.row("handlers", "bus, ms", "99th of the rounds", "ns a handler", "by hand, ms", "ns a handler", "bar, ms", "verdict")
	for _, n := range handlerCounts {
		d, err := compare(fmt.Sprintf("figures/subscribing/%d", n), Case{
			Events: n, Bus: runSubscribing(openRegistryBus), Hand: runSubscribing(openRegistryHand),
		}, cfg)
		if err != nil {
			return err
		}
		bus, hand := pick(d.bus, sample.nsPerEvent), pick(d.hand, sample.nsPerEvent)
		all := float64(cfg.events(n))
		t.row(grouped(all), ms(median(bus)*all), ms(quantile(bus, 0.99)*all), ns(median(bus)), ms(median(hand)*all), ns(median(hand)),
			ms(float64(subscribingBar)), Case{Bar: float64(subscribingBar)}.verdict(median(bus)*all))
	}
	fmt.Fprint(w, subscribingText)
	t.write(w)
	return nil
}
