package inspect_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// stuck returns a handler that says when it is called and then waits for release.
func stuck(at chan<- struct{}, release <-chan struct{}) func(context.Context, eventbus.Event) error {
	return func(context.Context, eventbus.Event) error {
		at <- struct{}{}
		<-release
		return nil
	}
}

// A frame shows the queues: what they hold and lose, who waits, and what they are at.
func TestStreamShowsQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil, eventbus.WithQueue(eventbus.OrderQueue, eventbus.QueueConfig{Capacity: 2, Overflow: eventbus.Block}))
		release, at := make(chan struct{}), make(chan struct{}, 10)
		bus.SubscribeFunc("order", stuck(at, release), eventbus.WithName("broker"))
		v := look(t, page)
		v.next(t)
		for range 3 {
			publish(t, bus, eventbus.OrderQueue, "order", 1)
			synctest.Wait()
		}
		require.ErrorIs(t, bus.TryPublish(background, eventbus.OrderQueue, eventbus.NewEvent("order", 1, "")), eventbus.ErrQueueFull)
		go func() { _ = bus.Publish(background, eventbus.OrderQueue, eventbus.NewEvent("order", 1, "")) }()
		publish(t, bus, eventbus.DataQueue, "nobody's", 1)

		q := v.next(t).Queues[eventbus.OrderQueue]
		require.Equal(t, "order", q.Name)
		require.Equal(t, []int{2, 2, 2, 1}, []int{q.Depth, q.Capacity, q.HighWater, q.Waiting})
		require.Equal(t, "rejected", q.Losses[0].Reason)
		require.Equal(t, "broker", q.Calling.Handler)
		require.Equal(t, "order", q.Calling.Type)
		require.Zero(t, q.Calling.For)
		require.InDelta(t, 6, q.In, 0.1)
		require.Zero(t, q.Out)

		f := v.next(t)
		q = f.Queues[eventbus.OrderQueue]
		require.InDelta(t, 0.5, q.Calling.For, 0.01)
		require.InDelta(t, 0.99, q.LongestWait, 0.02)
		require.Positive(t, q.Oldest)
		require.Equal(t, "unhandled", f.Queues[eventbus.DataQueue].Losses[0].Reason)
		require.True(t, f.Running)
		require.False(t, f.Controls)

		close(release)
		q = v.next(t).Queues[eventbus.OrderQueue]
		require.Nil(t, q.Calling)
		require.InDelta(t, 8, q.Out, 0.1)
		require.NoError(t, bus.Pause(eventbus.OrderQueue))
		require.True(t, v.next(t).Queues[eventbus.OrderQueue].Paused)
	})
}

// The frame of a bus that has done nothing has empty lists, and none that is missing.
func TestStreamShowsAnIdleBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, err := eventbus.New(eventbus.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		v := look(t, inspect.New(bus))
		synctest.Wait()
		text := v.text.String()
		require.Equal(t, 3, strings.Count(text, `"calling":null`))
		require.Equal(t, 3, strings.Count(text, "null"))
		first := v.frames(t)[0]
		require.True(t, first.First)
		require.False(t, first.Running)
		require.NoError(t, bus.Shutdown(background))
		second := v.next(t)
		require.False(t, second.First)
		require.True(t, second.Closed)
	})
}

// A frame shows the handlers: how often they are called, how often they fail, and how long
// they take, of late.
func TestStreamShowsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil, eventbus.WithLatencies())
		took := time.Millisecond
		bus.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
			time.Sleep(took)
			if e.Data == 0 {
				return errRisky
			}
			return nil
		}, eventbus.WithName("strategy"))
		v := look(t, page)
		v.next(t)
		run := func(n int) {
			for i := range n {
				publish(t, bus, eventbus.DataQueue, "tick", i%10)
			}
			require.NoError(t, bus.Flush(background))
		}
		run(100)
		synctest.Wait()
		h := v.next(t).Handlers[0]
		require.Equal(t, "strategy", h.Name)
		require.Equal(t, "tick", h.Type)
		require.Equal(t, uint64(100), h.Calls)
		require.Equal(t, uint64(10), h.Failed)
		require.InDelta(t, 200, h.Rate, 100)
		require.InDelta(t, 0.001, h.Took.P50, 0.0001)
		require.InDelta(t, 0.001, h.Took.P99, 0.0001)

		// Of what is older than two windows, nothing is left.
		for range 3 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		v.frames(t)
		took = 4 * time.Millisecond
		run(200)
		f := v.next(t)
		require.InDelta(t, 0.004, f.Handlers[0].Took.P50, 0.0004)
		require.Positive(t, f.Queues[eventbus.DataQueue].Wait.P99)
	})
}

// A viewer that takes nothing holds up no other.
func TestStreamWaitsForNoOtherViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, page := newPage(t, nil)
		stuck := &stuckWriter{header: http.Header{}, release: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			page.ServeHTTP(stuck, httptest.NewRequest("GET", mount+"stream", nil))
		}()
		synctest.Wait()
		v := look(t, page)
		for range 3 {
			v.next(t)
		}
		close(stuck.release)
		<-done
	})
}

// A stuckWriter blocks until it is released, and then fails.
type stuckWriter struct {
	header  http.Header
	release chan struct{}
}

func (w *stuckWriter) Header() http.Header { return w.header }
func (w *stuckWriter) WriteHeader(int)     {}
func (w *stuckWriter) Write([]byte) (int, error) {
	<-w.release
	return 0, io.ErrClosedPipe
}

// The write timeout of a server is for its other answers.
func TestStreamOutlivesTheServersWriteTimeout(t *testing.T) {
	_, page := newPage(t, nil)
	server := httptest.NewUnstartedServer(page)
	server.Config.WriteTimeout = 200 * time.Millisecond
	server.Start()
	defer server.Close()
	defer page.Close()
	answer, err := server.Client().Get(server.URL + mount + "stream")
	require.NoError(t, err)
	lines := bufio.NewScanner(answer.Body)
	for range 2 * 3 { // each frame is followed by an empty line
		require.True(t, lines.Scan(), lines.Err())
	}
	require.NoError(t, answer.Body.Close())
}

// Who looks, leaves, fails, publishes and pauses may do so at once.
func TestPageUnderLoad(t *testing.T) {
	bus, page := newPage(t, []inspect.Option{inspect.WithPayloads(func(e eventbus.Event) string { return fmt.Sprint(e.Data) })},
		eventbus.WithCauses(), eventbus.WithLatencies())
	bus.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
		if e.Data.(int)%50 == 0 {
			_ = bus.Publish(ctx, eventbus.OrderQueue, eventbus.NewEvent("order", e.Data, "strategy"))
		}
		return nil
	})
	bus.SubscribeFunc("order", fail(errRisky))
	ctx, cancel := context.WithTimeout(background, 2*time.Second)
	defer cancel()
	var all sync.WaitGroup
	until := func(f func(i int)) {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				f(i)
			}
		})
	}
	until(func(i int) { _ = bus.Publish(ctx, eventbus.DataQueue, eventbus.NewEvent("tick", i, "feed")) })
	for range 3 {
		until(func(i int) {
			v := look(t, page)
			time.Sleep(time.Duration(i%4) * 200 * time.Millisecond)
			v.leave()
			require.NotEmpty(t, v.frames(t))
		})
	}
	until(func(i int) {
		_, _ = bus.Pause(eventbus.DataQueue), bus.Resume(eventbus.DataQueue)
		ask(page, "GET", "stack?queue=data")
		time.Sleep(50 * time.Millisecond)
	})
	all.Wait()
	require.False(t, hasTap(bus))
	require.NoError(t, bus.Flush(background))
}
