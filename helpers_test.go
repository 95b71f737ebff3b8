package eventbus_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newBus returns a bus that logs nothing, unless opts say otherwise, and that
// is shut down when the test ends.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	t.Helper()
	b, err := eventbus.New(slices.Concat([]eventbus.Option{eventbus.WithLogger(bustest.Discard)}, opts)...)
	require.NoError(t, err)
	t.Cleanup(func() { receive(t, bustest.InBackground(func() error { return b.Shutdown(bustest.Ended()) })) })
	return b
}

// startedBus returns a running bus that does not poll.
func startedBus(t *testing.T, opts ...eventbus.Option) *eventbus.Bus {
	t.Helper()
	b := newBus(t, slices.Concat([]eventbus.Option{noPoll}, opts)...)
	start(t, b)
	return b
}

// start starts b with a context that does not end before the test does.
func start(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Start(context.Background()))
}

// shutdown drains b.
func shutdown(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Shutdown(bustest.Within(t, bustest.Patience)))
}

// runUntilIdle steps b.
func runUntilIdle(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	_, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
}

// noPoll makes the poll an hour, so that a wake-up that is lost is not made up for.
var noPoll = eventbus.WithPollInterval(time.Hour)

// blocking is the option for queues of capacity n that block without a timeout.
func blocking(n int, queues ...eventbus.Queue) []eventbus.Option {
	var opts []eventbus.Option
	for _, q := range queues {
		opts = append(opts, eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n}))
	}
	return opts
}

// capacity is the option for the rule of one queue.
func capacity(q eventbus.Queue, n int, o eventbus.Overflow, timeout time.Duration) eventbus.Option {
	return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n, Overflow: o, Timeout: timeout})
}

// maxAge is the option for a queue of capacity n whose events expire.
func maxAge(q eventbus.Queue, n int, d time.Duration) eventbus.Option {
	return eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: n, MaxAge: d})
}

// event returns an event without a time.
func event(typ eventbus.EventType, data any) eventbus.Event {
	return eventbus.Event{Type: typ, Data: data, Source: "test"}
}

// publish publishes an event of type typ to q for each of data.
func publish(t testing.TB, b *eventbus.Bus, q eventbus.Queue, typ eventbus.EventType, data ...any) {
	t.Helper()
	for _, d := range data {
		require.NoError(t, b.Publish(bustest.Within(t, bustest.Patience), q, event(typ, d)))
	}
}

// numbers returns 0 to n-1 as the data of n events.
func numbers(n int) []any {
	data := make([]any, n)
	for i := range data {
		data[i] = i
	}
	return data
}

// upTo returns from, from+1, … to-1.
func upTo(from, to int) []int {
	var list []int
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// numbersOf returns the data of events.
func numbersOf(events []eventbus.Event) []int {
	var list []int
	for _, e := range events {
		list = append(list, e.Data.(int))
	}
	return list
}

// publishLater publishes an order that has to wait. Its error comes out in the end.
func publishLater(t *testing.T, b *eventbus.Bus, n int) <-chan error {
	t.Helper()
	result := bustest.InBackground(func() error { return b.Publish(context.Background(), eventbus.OrderQueue, event("order", n)) })
	synctest.Wait()
	require.Empty(t, result)
	return result
}

// series returns orders with the numbers from to to-1.
func series(from, to int) []eventbus.Event {
	var events []eventbus.Event
	for n := from; n < to; n++ {
		events = append(events, event("order", n))
	}
	return events
}

// publishBatch publishes events as one batch to the order queue.
func publishBatch(ctx context.Context, b *eventbus.Bus, events []eventbus.Event) batchResult {
	n, err := b.PublishBatch(ctx, eventbus.OrderQueue, events)
	return batchResult{n, err}
}

// A batchResult is what PublishBatch returns.
type batchResult struct {
	accepted int
	err      error
}

// orders returns the accounts of the order queue.
func orders(b *eventbus.Bus) eventbus.QueueStats { return b.Stats().Queues[eventbus.OrderQueue] }

// busyAt returns a running bus, a journal of the data of the events of type typ
// that it has begun to handle, and the gate at which the first of them, first, is
// held, as each after it will be.
func busyAt[T any](t *testing.T, q eventbus.Queue, typ eventbus.EventType, first T, opts ...eventbus.Option) (*eventbus.Bus, *journal[T], *gate) {
	t.Helper()
	b, got, g := startedBus(t, opts...), new(journal[T]), newGate()
	b.SubscribeFunc(typ, got.handle)
	b.SubscribeFunc(typ, g.handle)
	publish(t, b, q, typ, first)
	receive(t, g.entered)
	return b, got, g
}

// busy is busyAt with orders, numbered from -1, on an order queue that is as c says.
func busy(t *testing.T, c eventbus.QueueConfig, opts ...eventbus.Option) (*eventbus.Bus, *journal[int], *gate) {
	t.Helper()
	return busyAt(t, eventbus.OrderQueue, "order", -1, append(opts, eventbus.WithQueue(eventbus.OrderQueue, c))...)
}

// full returns what busy does, with the orders 0, 1, ... in the queue, which they
// fill.
func full(t *testing.T, c eventbus.QueueConfig, opts ...eventbus.Option) (*eventbus.Bus, *journal[int], *gate) {
	t.Helper()
	b, got, g := busy(t, c, opts...)
	publish(t, b, eventbus.OrderQueue, "order", numbers(c.Capacity)...)
	return b, got, g
}

// hold holds the processor of q at a gate.
func hold(t *testing.T, b *eventbus.Bus, q eventbus.Queue) *gate {
	t.Helper()
	g := newGate()
	b.SubscribeFunc("hold", g.handle)
	publish(t, b, q, "hold", nil)
	receive(t, g.entered)
	return g
}

// withFullQueue returns a running bus whose order queue of n places is full of
// "order" events 0 to n-1, while a handler is held, which calls f at begin.
func withFullQueue(t *testing.T, n int, f func(context.Context, *eventbus.Bus)) (b *eventbus.Bus, begin func()) {
	t.Helper()
	b = startedBus(t, blocking(n, eventbus.OrderQueue)...)
	full := make(chan struct{})
	b.SubscribeFunc("first", func(ctx context.Context, _ eventbus.Event) error {
		<-full
		f(ctx, b)
		return nil
	})
	publish(t, b, eventbus.OrderQueue, "first", 0)
	synctest.Wait()
	publish(t, b, eventbus.OrderQueue, "order", numbers(n)...)
	return b, func() { close(full); synctest.Wait() }
}

// receive returns what comes out of ch.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-bustest.Within(t, bustest.Patience).Done():
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// wait waits for the goroutines of wg.
func wait(t testing.TB, wg *sync.WaitGroup) {
	t.Helper()
	receive(t, bustest.InBackground(func() bool { wg.Wait(); return true }))
}

// instantly requires that f returns without any of the bubble's time passing.
func instantly(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		assert.Zero(t, time.Since(began), what)
	case <-time.After(10 * time.Minute):
		assert.Fail(t, what+" hangs")
	}
}

// eventually waits until cond holds, without a pause.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(bustest.Patience); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			require.Fail(t, what+" never comes")
		}
	}
}

// many returns n, or a tenth of it in short tests.
func many(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// leftBy returns what err, of Shutdown, says that it has left undone.
func leftBy(t *testing.T, err error) *eventbus.ShutdownError {
	t.Helper()
	var e *eventbus.ShutdownError
	require.ErrorAs(t, err, &e)
	return e
}

// panicOf returns what f panics with, as text.
func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

// pass is a handler that does nothing.
func pass(context.Context, eventbus.Event) error { return nil }

// even accepts the events with an even number.
func even(e eventbus.Event) bool { return e.Data.(int)%2 == 0 }

// detonate calls fail, under a name that stacks show.
//
//go:noinline
func detonate(fail func() error) error { return fail() }

// failureKinds is every way in which a handler can fail.
var failureKinds = map[string]func() error{
	"error":      func() error { return bustest.ErrHandler },
	"panic":      func() error { panic(bustest.ErrHandler) },
	"panic(nil)": func() error { panic(nil) },
	"Goexit":     func() error { runtime.Goexit(); return nil },
}

// reporting returns a bus option that sends every reported failure to the journal.
func reporting(j *journal[*eventbus.HandlerError]) eventbus.Option {
	return eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) { j.add(err) })
}

// A journal notes what happened, in order.
type journal[T any] struct {
	mu      sync.Mutex
	entries []T
}

func (j *journal[T]) add(v T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, v)
}

func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// handle is a handler that notes the data of its events.
func (j *journal[T]) handle(_ context.Context, e eventbus.Event) error {
	j.add(e.Data.(T))
	return nil
}

// note is a topic's handler that notes its payloads.
func (j *journal[T]) note(_ context.Context, v T) error {
	j.add(v)
	return nil
}

// A gate is a handler that blocks until it is let go, or its context ends.
type gate struct {
	entered chan eventbus.Event // the events it is called with
	release chan struct{}       // a receive ends one call; closed, it stops nobody any more
}

// newGate returns a gate that is shut.
func newGate() *gate { return &gate{make(chan eventbus.Event, 1000), make(chan struct{})} }

func (g *gate) handle(ctx context.Context, e eventbus.Event) error {
	g.entered <- e
	select {
	case <-g.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) open() { close(g.release) }

// traffic publishes events of type typ as fast as it can until it is told to stop. stop
// returns the error that has ended it before, if one has.
func traffic(b *eventbus.Bus, typ eventbus.EventType) (stop func() error) {
	stopped := make(chan struct{})
	result := bustest.InBackground(func() error {
		for {
			select {
			case <-stopped:
				return nil
			default:
				if err := b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: typ, Data: -1}); err != nil {
					return err
				}
				runtime.Gosched()
			}
		}
	})
	return func() error { close(stopped); return <-result }
}
