package inspect_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// A desk is an engine that trades: ticks lead to signals and orders. Its broker is stuck.
type desk struct {
	bus  *eventbus.Bus
	url  string // of the page
	log  *syncBuffer
	next chan struct{} // lets the broker handle one order more; all of them when it is closed
}

// syncBuffer is a buffer that a logger may write while it is read.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newDesk(t *testing.T, symbol string, risky error) *desk {
	d := &desk{log: new(syncBuffer), next: make(chan struct{})}
	bus, page := newPage(t, []inspect.Option{
		inspect.WithControls(slog.New(slog.NewTextHandler(d.log, nil))),
		inspect.WithPayloads(func(e eventbus.Event) string { return fmt.Sprintf("%s %v", symbol, e.Data) }),
	}, eventbus.WithCauses(), eventbus.WithLatencies())
	d.bus = bus
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	t.Cleanup(page.Close)
	d.url = server.URL + mount

	bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		if e.Data.(int)%25 != 0 {
			return nil
		}
		return bus.Publish(ctx, eventbus.SignalQueue, eventbus.NewEvent(eventbus.SignalGenerated, e.Data, "momentum"))
	}, eventbus.WithName("strategy"))
	bus.SubscribeFunc(eventbus.SignalGenerated, func(ctx context.Context, e eventbus.Event) error {
		if e.Data.(int)%500 == 0 {
			return risky
		}
		err := bus.TryPublish(ctx, eventbus.OrderQueue, eventbus.NewEvent(eventbus.OrderPlaced, e.Data, "risk"))
		return ignoreFull(err)
	}, eventbus.WithName("risk"))
	bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
		<-d.next
		return nil
	}, eventbus.WithName("broker"))
	d.feed(t)
	return d
}

// ignoreFull returns no error of a queue that is full since the broker is stuck.
func ignoreFull(error) error { return nil }

// feed publishes ticks until the test ends: more of them, then fewer.
func (d *desk) feed(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	var ended sync.WaitGroup
	ended.Go(func() {
		for i, n := 0, 0; ctx.Err() == nil; i++ {
			for range 10 + 10*int(1+math.Sin(float64(i)/60)) + i%7 {
				n++
				_ = d.bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", n, "feed"))
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		close(d.next)
		cancel()
		ended.Wait()
	})
}

func (d *desk) isPaused(q eventbus.Queue) bool { return d.bus.Stats().Queues[q].Paused }
