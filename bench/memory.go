package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/eventbus-go/eventbus"
)

// idleBar is what an idle bus with default queues may hold on the heap, its goroutines' stacks apart.
const idleBar = 150 << 10

// A filling is a state of the bus that is measured.
type filling struct {
	name   string
	build  func() (release func() error, err error)
	events int // that it holds
}

// fillings are idle, as full as publishers can make the queues, and as full as handlers can.
var fillings = []filling{
	{"idle", idleBus, 0},
	{"full", func() (func() error, error) { return fullBus(false) }, capacities},
	{"full and deferred", func() (func() error, error) { return fullBus(true) }, 3*capacities + 9},
}

const capacities = dataCapacity + signalCapacity + orderCapacity

// bar lets a bus hold its events beside what an idle one may.
func (f filling) bar() float64 {
	return idleBar + float64(f.events)*float64(unsafe.Sizeof(eventbus.Event{}))
}

func (f filling) measure() (footprint, error) {
	got, err := measureFootprint(32, f.build)
	if err != nil {
		return got, fmt.Errorf("memory/%s: %w", f.name, err)
	}
	return got, nil
}

// A footprint is what one instance of something holds.
type footprint struct {
	heap, stacks, goroutines float64 // bytes, bytes, count
}

// measureFootprint builds n instances and returns what one of them holds after garbage collection.
func measureFootprint(n int, build func() (release func() error, err error)) (f footprint, err error) {
	before, goroutines := settledMemory(), runtime.NumGoroutine()
	for range n {
		release, failure := build()
		if failure != nil {
			return f, failure
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	after := settledMemory()
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / float64(n) }
	return footprint{
		heap:       each(after.HeapAlloc, before.HeapAlloc),
		stacks:     each(after.StackInuse, before.StackInuse),
		goroutines: float64(runtime.NumGoroutine()-goroutines) / float64(n),
	}, nil
}

// settledMemory reads the statistics after two collections: the second frees what the first found with finalizers.
func settledMemory() (stats runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats
}

func idleBus() (release func() error, err error) {
	c, err := openBus([]handler{func(context.Context, eventbus.Event) error { return nil }})
	if err != nil {
		return nil, err
	}
	return c.close, nil
}

// A stuffedBus has a handler parked on each queue and its queues full.
type stuffedBus struct {
	bus      *eventbus.Bus
	entered  chan struct{} // a handler says that it has parked
	overfill chan struct{} // when closed, the parked handlers publish to their own queues until refused
	overfull chan error    // and say how that ended
	release  chan struct{} // when closed, all handlers return
}

// fullBus fills the queues, and if deferred is set also what handlers may add beyond them, and checks that no more is
// accepted after that.
func fullBus(deferred bool) (release func() error, err error) {
	s := &stuffedBus{
		entered:  make(chan struct{}, len(lanes)),
		overfill: make(chan struct{}),
		overfull: make(chan error, len(lanes)),
		release:  make(chan struct{}),
	}
	if s.bus, err = newBus(); err != nil {
		return nil, err
	}
	s.subscribe()
	if err := s.bus.Start(context.Background()); err != nil {
		return nil, err
	}
	release = func() error {
		close(s.release)
		return s.end()
	}
	if err = s.fill(); err == nil && deferred {
		err = s.fillDeferred()
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// lanes are the queues, each with the type of event that fills it.
var lanes = map[eventbus.Queue]eventbus.EventType{
	eventbus.DataQueue:   eventbus.CandleUpdate,
	eventbus.SignalQueue: eventbus.SignalGenerated,
	eventbus.OrderQueue:  eventbus.OrderPlaced,
}

func (s *stuffedBus) subscribe() {
	for q, t := range lanes {
		var once sync.Once
		s.bus.SubscribeFunc(t, func(ctx context.Context, e eventbus.Event) error {
			once.Do(func() { s.park(ctx, q, e) })
			return nil
		})
	}
}

// park holds the queue's processor.
func (s *stuffedBus) park(ctx context.Context, q eventbus.Queue, e eventbus.Event) {
	s.entered <- struct{}{}
	select {
	case <-s.overfill:
		var err error
		for err == nil {
			err = s.bus.Publish(ctx, q, e)
		}
		s.overfull <- err
	case <-s.release:
	}
	<-s.release
}

// fill parks the handlers and fills the queues behind them.
func (s *stuffedBus) fill() error {
	ctx := context.Background()
	for q, t := range lanes {
		if err := s.bus.Publish(ctx, q, typed(t)); err != nil {
			return err
		}
		<-s.entered
	}
	for q, t := range lanes {
		capacity := s.bus.Stats().Queues[q].Capacity
		accepted := 0
		for range 10 * capacity {
			err := s.bus.TryPublish(ctx, q, typed(t))
			if err == nil {
				accepted++
			} else if !errors.Is(err, eventbus.ErrQueueFull) {
				return err
			}
		}
		if accepted != capacity {
			return fmt.Errorf("the %v queue of capacity %d took %d events", q, capacity, accepted)
		}
	}
	return nil
}

// fillDeferred lets the handlers publish until they are refused too.
func (s *stuffedBus) fillDeferred() error {
	close(s.overfill)
	for range lanes {
		select {
		case err := <-s.overfull:
			if !errors.Is(err, eventbus.ErrQueueFull) {
				return fmt.Errorf("a handler's publish into its own full queue: %w", err)
			}
		case <-time.After(patience):
			return errors.New("a handler's publishes into its own full queue did not end")
		}
	}
	for _, q := range s.bus.Stats().Queues {
		if q.Deferred != 2*q.Capacity+len(lanes) {
			return fmt.Errorf("the %v queue deferred %d events: capacity %d", q.Queue, q.Deferred, q.Capacity)
		}
	}
	return nil
}

// end shuts the bus down. Its refusals were asked for, so only the missing events count.
func (s *stuffedBus) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.bus.Shutdown(ctx); err != nil {
		return err
	}
	for _, q := range s.bus.Stats().Queues {
		if q.Accepted != q.Handled {
			return fmt.Errorf("the %v queue accepted %d events and handled %d", q.Queue, q.Accepted, q.Handled)
		}
	}
	return nil
}

func typed(t eventbus.EventType) eventbus.Event {
	e := template
	e.Type = t
	return e
}

const memoryText = `## Memory

Heap of one bus with default queues (1,150 events of 72 bytes: 80.9 KiB) after a garbage collection, the events' payloads
and the goroutines' stacks apart. Full means that each queue refuses further events; "and deferred" that handlers too
have published into their own full queues until they were refused. The bar of a full one is that of an idle one and 72
bytes for each event that it holds.

`

// reportMemory measures the bus idle and full.
func reportMemory(cfg config, w io.Writer) error {
	if !cfg.wants("memory") {
		return nil
	}
	var t table
	t.row("bus", "events", "heap, KiB", "goroutines", "their stacks, KiB", "bar, KiB", "verdict")
	for _, f := range fillings {
		got, err := f.measure()
		if err != nil {
			return err
		}
		t.row(f.name, grouped(float64(f.events)), kib(got.heap), fmt.Sprintf("%.1f", got.goroutines), kib(got.stacks),
			kib(f.bar()), Case{Bar: f.bar()}.verdict(got.heap))
	}
	fmt.Fprint(w, memoryText)
	t.write(w)
	return nil
}
