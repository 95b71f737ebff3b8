package eventbus_test

import (
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/bustest"
)

// Events that one goroutine publishes to one queue are handled in that order.
func TestPublishKeepsTheOrderOfAPublisher(t *testing.T) {
	const publishers, each = 4, 2000
	for q := range eventbus.Queue(3) {
		t.Run(q.String(), func(t *testing.T) {
			b := newBus(t, eventbus.WithQueue(q, eventbus.QueueConfig{Capacity: 10}))
			var next [publishers]int
			b.SubscribeFunc(tick, func(_ context.Context, e eventbus.Event) error {
				got := e.Data.([2]int)
				if want := next[got[0]]; got[1] != want {
					return fmt.Errorf("publisher %d: got event %d, want %d", got[0], got[1], want)
				}
				next[got[0]]++
				return nil
			})
			start(t, b)
			var done [publishers]<-chan error
			for p := range publishers {
				done[p] = bustest.InBackground(func() error {
					for i := range each {
						if err := b.Publish(context.Background(), q, event(tick, [2]int{p, i})); err != nil {
							return err
						}
					}
					return nil
				})
			}
			for _, d := range done {
				require.NoError(t, receive(t, d))
			}
			bustest.Flush(t, b)
			require.Zero(t, b.Stats().Queues[q].Failed)
			require.Equal(t, [publishers]int{each, each, each, each}, next)
		})
	}
}

// The handlers of an event run one at a time, in the order in which they
// subscribed, and the next event of that queue begins after the last of them.
// What the handlers share is not synchronized, so the race detector checks the
// "one at a time" too.
func TestSubscribeHandlersRunOneAtATimeInOrder(t *testing.T) {
	events := many(1_000_000)
	const handlers = 3
	b := startedBus(t, blocking(100, eventbus.DataQueue)...)
	calls := 0
	var wrong string
	for h := range handlers {
		b.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
			if got, want := *e.Data.(*int)*handlers+h, calls; got != want && wrong == "" {
				wrong = fmt.Sprintf("call %d was to handler %d with event %d", want, got%handlers, got/handlers)
			}
			calls++
			return nil
		})
	}
	data := make([]int, events)
	for i := range data {
		data[i] = i
		require.NoError(t, b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "tick", Data: &data[i]}))
	}
	shutdown(t, b)
	require.Empty(t, wrong)
	require.Equal(t, events*handlers, calls)
}

// Publishes that wait are let in first come, first served, handlers before others.
func TestPublishLetsInFirstComeFirstServed(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := full(t, eventbus.QueueConfig{Capacity: 2})
		b.SubscribeFunc("ask", func(ctx context.Context, e eventbus.Event) error {
			return b.Publish(ctx, eventbus.OrderQueue, event("order", e.Data))
		})
		var outcomes []<-chan error
		for i := range 20 {
			outcomes = append(outcomes, publishLater(t, b, 200+i))
		}
		publish(t, b, eventbus.SignalQueue, "ask", 100)
		synctest.Wait()
		publish(t, b, eventbus.DataQueue, "ask", 101)
		outcomes = append(outcomes, publishLater(t, b, 220))
		g.open()
		for _, outcome := range outcomes {
			require.NoError(t, receive(t, outcome))
		}
		bustest.Flush(t, b)
		require.Equal(t, slices.Concat(upTo(-1, 2), upTo(100, 102), upTo(200, 221)), got.all())
	})
}

// A waiting handler is overtaken by about as many events as the capacity at most.
// Two handlers answer each other through full queues. Whenever the order queue's
// finds that the other one waits for it, that one moves up in front of the third.
func TestPublishOfAWaitingHandlerIsOvertakenByTheCapacityAtMost(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		const capacity = 4
		b := startedBus(t, blocking(capacity, bustest.EveryQueue...)...)
		answer := func(typ, with eventbus.EventType, q eventbus.Queue) (goOn func(), end func()) {
			turns := make(chan struct{})
			b.SubscribeFunc(typ, func(ctx context.Context, _ eventbus.Event) error {
				<-turns
				return b.Publish(ctx, q, event(with, nil))
			})
			goOn = func() {
				select {
				case turns <- struct{}{}:
				default:
				}
				synctest.Wait()
			}
			return goOn, func() { close(turns) }
		}
		ping, endPing := answer("ping", "pong", eventbus.OrderQueue)
		defer endPing()
		pong, endPong := answer("pong", "ping", eventbus.SignalQueue)
		defer endPong()
		accepted := make(chan error, 1)
		b.SubscribeFunc("third", func(ctx context.Context, _ eventbus.Event) error {
			accepted <- b.Publish(ctx, eventbus.OrderQueue, event("order", 0))
			return nil
		})
		for i := range 1 + capacity {
			publish(t, b, eventbus.SignalQueue, "ping", i)
			publish(t, b, eventbus.OrderQueue, "pong", i)
			synctest.Wait()
		}
		publish(t, b, eventbus.DataQueue, "third", 0)
		synctest.Wait()
		overtaken := 0
		for len(accepted) == 0 && overtaken <= 10*capacity {
			ping()
			pong()
			overtaken++
		}
		require.LessOrEqual(t, overtaken, 2*capacity)
		require.Greater(t, overtaken, 1, "nothing overtakes it here")
		require.NoError(t, <-accepted)
		go b.Shutdown(bustest.Ended()) // before the two go on
		synctest.Wait()
	})
}

// A slot that has come free is not for a publish that comes later, though the one
// that waits for it is not let in before the queue has drained to half.
func TestPublishOvertakesNoPublishThatWaits(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := full(t, eventbus.QueueConfig{Capacity: 4})
		waiting := publishLater(t, b, 100)
		g.release <- struct{}{}
		synctest.Wait()
		require.Equal(t, 3, orders(b).Depth)
		later := publishLater(t, b, 101)
		require.ErrorIs(t, b.TryPublish(context.Background(), eventbus.OrderQueue, event("order", 200)), eventbus.ErrQueueFull)
		require.NoError(t, receive(t, waiting))
		g.open()
		require.NoError(t, receive(t, later))
		bustest.Flush(t, b)
		require.Equal(t, append(upTo(-1, 4), 100, 101), got.all())
	})
}

// Nor is it for the publish of another handler that comes later.
func TestPublishOfAHandlerOvertakesNoHandlerThatWaits(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b, got, g := full(t, eventbus.QueueConfig{Capacity: 4})
		b.SubscribeFunc("ask", func(ctx context.Context, e eventbus.Event) error {
			return b.Publish(ctx, eventbus.OrderQueue, event("order", e.Data))
		})
		publish(t, b, eventbus.SignalQueue, "ask", 100)
		synctest.Wait()
		g.release <- struct{}{}
		synctest.Wait()
		require.Equal(t, 3, orders(b).Depth)
		publish(t, b, eventbus.DataQueue, "ask", 101)
		synctest.Wait()
		require.Equal(t, 3, orders(b).Depth, "the slot is for the first")
		g.open()
		bustest.Flush(t, b)
		require.Equal(t, append(upTo(-1, 4), 100, 101), got.all())
	})
}

// Nothing is ordered across queues. On one queue an order's life stays in order
// whatever else goes on there, and though the queue is full when some of it is
// published.
func TestOrderQueueKeepsAnOrdersLifeInOrder(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		const orders = 40
		life := []eventbus.EventType{eventbus.OrderPlaced, eventbus.OrderUpdate, eventbus.OrderPartiallyFilled, eventbus.OrderFilled}
		next := map[eventbus.EventType][]eventbus.EventType{life[0]: life[1:3], life[2]: life[3:]}
		b := startedBus(t, blocking(16, eventbus.OrderQueue)...)
		lives := make([][]eventbus.EventType, orders)
		for _, stage := range life {
			b.SubscribeFunc(stage, func(ctx context.Context, e eventbus.Event) error {
				n := e.Data.(int)
				lives[n] = append(lives[n], stage)
				time.Sleep(time.Duration(n%3) * time.Millisecond)
				for _, typ := range next[stage] {
					require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, event(typ, n)))
				}
				return nil
			})
		}
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for i := range orders / 4 {
					publish(t, b, eventbus.OrderQueue, "another", 1, 2, 3)
					publish(t, b, eventbus.OrderQueue, life[0], i*4+p)
				}
			})
		}
		wait(t, &wg)
		bustest.Flush(t, b)
		for _, got := range lives {
			require.Equal(t, life, got)
		}
	})
	bustest.Bubble(t, func(t *testing.T) { // the later event on another queue comes first
		b := startedBus(t)
		stuck := newGate()
		var got journal[string]
		b.SubscribeFunc("stuck", stuck.handle)
		b.SubscribeFunc("named", got.handle)
		publish(t, b, eventbus.DataQueue, "stuck", nil)
		publish(t, b, eventbus.DataQueue, "named", "earlier")
		publish(t, b, eventbus.OrderQueue, "named", "later")
		synctest.Wait()
		require.Equal(t, []string{"later"}, got.all())
		stuck.open()
		bustest.Flush(t, b)
		require.Equal(t, []string{"later", "earlier"}, got.all())
	})
	doc, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	require.NoError(t, err)
	text := strings.Join(strings.Fields(doc.Doc.Text()), " ")
	require.Contains(t, text, "Nothing is ordered across queues")
	require.Contains(t, text, "Keep an order's life on one queue")
}

// An order is handled at once though the handler of data is stuck, its queue
// is full, and publishers wait at it.
func TestOrderQueueDoesNotWaitForStuckData(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1000}))
		stuck := newGate()
		b.SubscribeFunc("tick", stuck.handle)
		handled := make(chan time.Time, 1)
		b.SubscribeFunc("order", func(context.Context, eventbus.Event) error {
			handled <- time.Now()
			return nil
		})
		for range 10 {
			go func() {
				for b.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: "tick"}) == nil {
				}
			}()
		}
		synctest.Wait()
		require.GreaterOrEqual(t, b.Stats().Queues[eventbus.DataQueue].Depth, 999, "publishers wait until it is half empty")
		for range 200 {
			time.Sleep(7 * time.Millisecond)
			published := time.Now()
			publish(t, b, eventbus.OrderQueue, "order", nil)
			require.Less(t, receive(t, handled).Sub(published), 10*time.Millisecond)
		}
	})
}

func TestSubscribeRunsAHandlerOnTwoQueuesAtOnce(t *testing.T) {
	bustest.Bubble(t, func(t *testing.T) {
		b := startedBus(t)
		g := newGate()
		b.SubscribeFunc("tick", g.handle)
		publish(t, b, eventbus.DataQueue, "tick", 1)
		publish(t, b, eventbus.OrderQueue, "tick", 2)
		synctest.Wait()
		require.Len(t, g.entered, 2)
		g.open()
	})
}
