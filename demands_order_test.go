package eventbus_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// D6: an order is handled at once though the handler of data is stuck, its queue
// is full, and publishers wait at it.
func TestOrdersDoNotWaitForStuckData(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t, eventbus.WithQueue(eventbus.DataQueue, eventbus.QueueConfig{Capacity: 1000}))
		stuck := newGate(t)
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
			require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, eventbus.Event{Type: "order"}))
			require.Less(t, receive(t, handled).Sub(published), 10*time.Millisecond)
		}
	})
}

// D11: a million events of one publisher are handled in order, one at a time,
// by the handlers in the order of their subscription. What the handlers share
// is not synchronized, so the race detector checks the "one at a time" too.
func TestAMillionEventsAreHandledInOrder(t *testing.T) {
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

// D26: nothing is ordered across queues, and the documentation says so. On one
// queue, an order's life stays in order whatever else goes on there, and though
// some of it is published while the queue is full.
func TestAnOrdersLifeOnOneQueueStaysInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
					require.NoError(t, b.Publish(ctx, eventbus.OrderQueue, numbered(typ, n)))
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
		wg.Wait()
		flush(t, b)
		for _, got := range lives {
			require.Equal(t, life, got)
		}
	})
	bubble(t, func(t *testing.T) { // the later event on another queue comes first
		b := startedBus(t)
		stuck := newGate(t)
		var got journal[string]
		b.SubscribeFunc("stuck", stuck.handle)
		b.SubscribeFunc("named", got.handle)
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "stuck"}))
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, event("named", "earlier")))
		require.NoError(t, b.Publish(t.Context(), eventbus.OrderQueue, event("named", "later")))
		synctest.Wait()
		require.Equal(t, []string{"later"}, got.all())
		stuck.open()
		flush(t, b)
		require.Equal(t, []string{"later", "earlier"}, got.all())
	})
	doc, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	require.NoError(t, err)
	text := strings.Join(strings.Fields(doc.Doc.Text()), " ")
	require.Contains(t, text, "Nothing is ordered across queues")
	require.Contains(t, text, "Keep an order's life on one queue")
}

// D26: the examples publish all that happens to an order on the order queue.
func TestTheExamplesKeepAnOrdersLifeOnOneQueue(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"example_*_test.go", "examples/*/*.go"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if text := argumentsOf(call); regexp.MustCompile(`\bOrder\w+ed\b|\bOrderUpdate\b`).MatchString(text) {
					queues := regexp.MustCompile(`\b(Data|Signal|Order)Queue\b`).FindAllString(text, -1)
					for _, q := range queues {
						require.Equal(t, "OrderQueue", q, "%s: %s", name, text)
					}
					seen += len(queues)
				}
				return true
			})
		}
	}
	require.Greater(t, seen, 5)
}

// argumentsOf returns the names from other packages among the arguments of call.
func argumentsOf(call *ast.CallExpr) string {
	var names []string
	for _, arg := range call.Args {
		if _, ok := arg.(*ast.FuncLit); ok {
			continue
		}
		ast.Inspect(arg, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				names = append(names, s.Sel.Name)
			}
			return true
		})
	}
	return strings.Join(names, " ")
}

// D30: handlers come and go inside handlers, from the next event on.
func TestSubscriptionsMadeInHandlersCountFromTheNextEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := startedBus(t)
		var calls []string
		note := func(name string) func(context.Context, eventbus.Event) error {
			return func(_ context.Context, e eventbus.Event) error {
				calls = append(calls, fmt.Sprint(e.Data, name))
				return nil
			}
		}
		var first, second *eventbus.Subscription
		first = b.SubscribeFunc("tick", func(ctx context.Context, e eventbus.Event) error {
			first.Unsubscribe()
			b.SubscribeFunc("tick", note("c"))
			return note("a")(ctx, e)
		})
		second = b.SubscribeFunc("tick", note("b"))
		b.SubscribeFunc("other", func(context.Context, eventbus.Event) error {
			second.Unsubscribe()
			return nil
		})
		for i := range 4 {
			if i == 2 {
				require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, eventbus.Event{Type: "other"}))
			}
			publish(t, b, eventbus.DataQueue, "tick", i)
		}
		flush(t, b)
		require.Equal(t, []string{"0a", "0b", "1b", "1c", "2c", "3c"}, calls)
	})
}

// D30: and from anywhere, at any time, while events flow.
func TestSubscriptionsMadeAnywhereCountFromTheNextEvent(t *testing.T) {
	const goroutines = 8
	rounds := many(500)
	b := startedBus(t)
	stop := make(chan struct{})
	traffic := inBackground(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
				if err := b.Publish(context.Background(), eventbus.OrderQueue, eventbus.Event{Type: "tick", Data: -1}); err != nil {
					return err
				}
			}
		}
	})
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for round := range rounds {
				var mine, others atomic.Int32
				handle := func(_ context.Context, e eventbus.Event) error {
					if e.Data == g {
						mine.Add(1)
					} else {
						others.Add(1)
					}
					return nil
				}
				s := b.SubscribeFunc("tick", handle)
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, event("tick", g)))
				done := make(chan struct{}, 1)
				fence := b.SubscribeFunc("fence", func(_ context.Context, e eventbus.Event) error {
					if e.Data == g {
						done <- struct{}{}
					}
					return nil
				})
				pass := func() {
					require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, event("fence", g)))
					select {
					case <-done:
					case <-time.After(patience):
						require.Fail(t, "a handler is not called")
					}
				}
				pass()
				require.EqualValues(t, 1, mine.Load(), "subscribed, round %d", round)
				s.Unsubscribe()
				s.Unsubscribe()
				pass()
				seen := others.Load()
				require.NoError(t, b.Publish(context.Background(), eventbus.OrderQueue, event("tick", g)))
				pass()
				require.EqualValues(t, 1, mine.Load(), "unsubscribed, round %d", round)
				require.Equal(t, seen, others.Load())
				fence.Unsubscribe()
			}
		})
	}
	wg.Wait()
	close(stop)
	require.NoError(t, receive(t, traffic))
	require.Empty(t, b.Stats().Handlers)
}

// D32: handlers get the event that was published, whatever the publisher or
// another handler do to their copies, and the bus adds nothing to it.
func TestEventsReachHandlersAsPublished(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got, reported []eventbus.Event
		b := newBus(t, noPoll, eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
			reported = append(reported, err.Event)
			err.Event.Source = "error handler"
		}))
		for range 2 {
			b.SubscribeFunc("tick", func(_ context.Context, e eventbus.Event) error {
				got = append(got, e)
				e.Type, e.Data, e.Source, e.Time = "changed", nil, "changed", time.Now()
				return errHandler
			})
		}
		bare := eventbus.Event{Type: "tick"} // no time: it gets none
		full := eventbus.Event{Type: "tick", Data: 1.5, Source: "feed", Time: time.Unix(1, 2)}
		var want []eventbus.Event
		for _, e := range []eventbus.Event{bare, full} {
			require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, e))
			want = append(want, e, e)
			e.Type, e.Data, e.Source, e.Time = "changed", nil, "changed", time.Now()
		}
		start(t, b)
		flush(t, b)
		require.Equal(t, want, got)
		require.Equal(t, want, reported)

		b.Stop()
		require.NoError(t, b.Publish(t.Context(), eventbus.DataQueue, bare))
		var left *eventbus.ShutdownError
		require.ErrorAs(t, b.Shutdown(context.Background()), &left)
		require.Equal(t, []eventbus.Event{bare}, left.Remaining[eventbus.DataQueue])
	})
}
