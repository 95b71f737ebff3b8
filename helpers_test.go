package eventbus_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait of a test. In a synctest bubble it costs nothing.
const patience = 30 * time.Second

// newBus returns a bus that logs nothing, unless opts say otherwise, and that
// is shut down when the test ends.
func newBus(t testing.TB, opts ...eventbus.Option) *eventbus.Bus {
	t.Helper()
	b, err := eventbus.New(slices.Concat([]eventbus.Option{eventbus.WithLogger(discard)}, opts)...)
	require.NoError(t, err)
	t.Cleanup(func() { receive(t, inBackground(func() error { return b.Shutdown(ended()) })) })
	return b
}

var discard = slog.New(slog.DiscardHandler)

// start starts b with a context that does not end before the test does.
func start(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Start(context.Background()))
}

// flush waits until b has handled everything.
func flush(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Flush(within(t, patience)))
}

// shutdown drains b.
func shutdown(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	require.NoError(t, b.Shutdown(within(t, patience)))
}

// publish publishes an event of type typ to q for each of data.
func publish(t testing.TB, b *eventbus.Bus, q eventbus.Queue, typ eventbus.EventType, data ...any) {
	t.Helper()
	for _, d := range data {
		require.NoError(t, b.Publish(within(t, patience), q, event(typ, d)))
	}
}

func event(typ eventbus.EventType, data any) eventbus.Event {
	return eventbus.Event{Type: typ, Data: data, Source: "test"}
}

// numbers returns 0 to n-1 as the data of n events.
func numbers(n int) []any {
	data := make([]any, n)
	for i := range data {
		data[i] = i
	}
	return data
}

// runUntilIdle steps b.
func runUntilIdle(t testing.TB, b *eventbus.Bus) {
	t.Helper()
	_, err := b.RunUntilIdle(context.Background())
	require.NoError(t, err)
}

// within returns a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// receive returns what comes out of ch.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-within(t, patience).Done():
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// inBackground runs f on a goroutine and returns where its result comes out.
func inBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
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

// A gate is a handler that blocks until it is let go, or its context ends.
type gate struct {
	entered chan eventbus.Event // the events it is called with
	release chan struct{}       // a receive ends one call; closed, it stops nobody any more
}

func newGate(t testing.TB) *gate {
	g := &gate{make(chan eventbus.Event, 1000), make(chan struct{})}
	return g
}

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

// A logbook is a slog.Handler that keeps the records from level up.
type logbook struct {
	level    slog.Level
	onRecord func(slog.Record) // called first, unless nil

	mu      sync.Mutex
	records []record
}

type record struct {
	level   slog.Level
	message string
	attrs   map[string]any
	at      time.Time
}

func (l *logbook) logger() eventbus.Option { return eventbus.WithLogger(slog.New(l)) }

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logbook) WithGroup(string) slog.Handler                    { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	if l.onRecord != nil {
		l.onRecord(r)
	}
	attrs := make(map[string]any)
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, record{r.Level, r.Message, attrs, r.Time})
	return nil
}

// find returns the records with that message.
func (l *logbook) find(message string) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []record
	for _, r := range l.records {
		if r.message == message {
			found = append(found, r)
		}
	}
	return found
}

// above returns the records above level.
func (l *logbook) above(level slog.Level) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.records), func(r record) bool { return r.level <= level })
}
