package eventbuswatermill_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/stretchr/testify/require"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

func newRouter(t *testing.T) *message.Router {
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: patience}, watermill.NopLogger{})
	require.NoError(t, err)
	return r
}

// run runs r until the test ends.
func run(t *testing.T, r *message.Router) {
	done := start(func() error { return r.Run(context.Background()) })
	await(t, r.Running())
	t.Cleanup(func() {
		require.NoError(t, r.Close())
		require.NoError(t, await(t, done))
	})
}

// Retry, Recoverer and PoisonQueue around a handler that fails, panics and never gets
// better: the good ones come out in order, the bad ones are in the poison queue.
func TestRouterWithRetryRecovererPoisonQueue(t *testing.T) {
	const n = 50
	b := newBroker(t, eventbuswatermill.Config{})
	out, poison := subscribe(t, b.Subscriber("desk"), "out"), subscribe(t, b.Subscriber("desk"), "poison")
	r := newRouter(t)
	poisonQueue, err := middleware.PoisonQueue(b.Publisher(), "poison")
	require.NoError(t, err)
	retry := middleware.Retry{MaxRetries: 3, InitialInterval: time.Millisecond, Logger: watermill.NopLogger{}}
	r.AddMiddleware(eventbuswatermill.CarryContext, poisonQueue, retry.Middleware, middleware.Recoverer)
	var tries [n]int
	r.AddHandler("h", "in", b.Subscriber("h"), "out", b.Publisher(), func(m *message.Message) ([]*message.Message, error) {
		i := ids([]*message.Message{m})[0]
		tries[i]++
		switch {
		case i%10 == 3 && tries[i] < 3:
			return nil, errors.New("not yet")
		case i%10 == 5 && tries[i] < 2:
			panic("boom")
		case i%10 == 7:
			return nil, errors.New("never")
		}
		return []*message.Message{message.NewMessage(m.UUID, nil)}, nil
	})
	run(t, r)
	publish(t, b.Publisher(), "in", 0, n)
	for i := range n {
		from := out
		if i%10 == 7 {
			from = poison
		}
		m := receive(t, from)
		require.Equal(t, strconv.Itoa(i), m.UUID)
		if i%10 == 7 {
			require.Equal(t, "never", m.Metadata.Get(middleware.ReasonForPoisonedKey))
		}
		require.True(t, m.Ack())
	}
	require.NoError(t, b.Shutdown(t.Context()))
	wanted := map[int]int{3: 3, 5: 2, 7: 4}
	for i, tried := range tries {
		require.Equal(t, max(1, wanted[i%10]), tried, i)
	}
}

// A router around a cycle of full topics goes on with CarryContext, and stands still
// without it.
func TestRouterAroundFullTopics(t *testing.T) {
	const messages, laps = 24, 100
	for _, carry := range []bool{true, false} {
		t.Run(fmt.Sprintf("CarryContext=%v", carry), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, eventbuswatermill.Config{Capacity: 4})
				r := newRouter(t)
				if carry {
					r.AddMiddleware(eventbuswatermill.CarryContext)
				}
				var handled atomic.Int64
				topics := []string{"a", "b", "c"}
				for i, from := range topics {
					r.AddHandler(from, from, b.Subscriber("group"), topics[(i+1)%3], b.Publisher(), func(m *message.Message) ([]*message.Message, error) {
						handled.Add(1)
						if lap := ids([]*message.Message{m})[0]; lap < laps {
							return []*message.Message{newMessage(context.Background(), lap+1)}, nil
						}
						return nil, nil
					})
				}
				run(t, r)
				var publishers sync.WaitGroup
				for i := range messages {
					publishers.Go(func() { _ = b.Publisher().Publish(topics[i%3], newMessage(t.Context(), 0)) })
				}
				synctest.Wait() // until all is done, or nothing goes on any more
				got := handled.Load()
				_ = b.Shutdown(ended()) // lets go of who waits
				publishers.Wait()
				if carry {
					require.EqualValues(t, messages*(laps+1), got)
				} else {
					require.Less(t, got, int64(messages*(laps+1)))
				}
			})
		})
	}
}

// A router closes its subscribers while handlers run. They finish: what they publish is
// published, and their message is acknowledged.
func TestRouterCloseLetsHandlersFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, eventbuswatermill.Config{})
		out := subscribe(t, b.Subscriber("desk"), "out")
		r := newRouter(t)
		r.AddMiddleware(eventbuswatermill.CarryContext)
		begun := make(chan struct{})
		r.AddHandler("h", "in", b.Subscriber("h"), "out", b.Publisher(), func(m *message.Message) ([]*message.Message, error) {
			close(begun)
			select {
			case <-time.After(time.Second):
				return []*message.Message{message.NewMessage(m.UUID, nil)}, nil
			case <-m.Context().Done():
				return nil, m.Context().Err()
			}
		})
		done := start(func() error { return r.Run(context.Background()) })
		await(t, r.Running())
		publish(t, b.Publisher(), "in", 0, 1)
		await(t, begun)
		require.NoError(t, r.Close())
		require.NoError(t, await(t, done))
		receiveAll(t, out, 0, 1)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
