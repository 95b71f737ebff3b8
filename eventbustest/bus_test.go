package eventbustest_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// The domain of these tests.
type (
	candle struct {
		Symbol string
		Close  float64
	}
	signal struct{ Symbol, Side string }
	order  struct {
		Symbol, Side string
		Quantity     int
	}
)

var signalTopic = eventbus.NewTopic[signal](eventbus.SignalGenerated, eventbus.SignalQueue)

func publish(t *testing.T, bus *eventbus.Bus, q eventbus.Queue, et eventbus.EventType, data any) {
	t.Helper()
	require.NoError(t, bus.Publish(t.Context(), q, eventbus.Event{Type: et, Data: data}))
}

func handlesNothing(context.Context, eventbus.Event) error { return nil }

func TestNewReturnsARunningBus(t *testing.T) {
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft)
		require.True(t, bus.Stats().Running)
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, order{"BTCUSDT", "SELL", 1})
		require.NoError(t, bus.Flush(t.Context()))
	})
	require.Empty(t, fake.said())
}

func TestBusLogsToTheTest(t *testing.T) {
	run := func(opts ...eventbustest.Option) string {
		return try(func(ft *fakeT) {
			bus := eventbustest.New(ft, opts...)
			bus.SubscribeFunc(eventbus.OrderPlaced, handlesNothing, eventbus.WithName("risk"))
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		}).logged()
	}
	require.Empty(t, run(), "nothing went wrong")
	info := run(eventbustest.WithLogLevel(slog.LevelInfo))
	require.Contains(t, info, `msg="eventbus: processor started" queue=order`)
	require.Contains(t, info, `msg="eventbus: processor stopped" queue=order`)
	require.NotContains(t, info, "risk")
	require.Contains(t, run(eventbustest.WithLogLevel(slog.LevelDebug)), `msg="eventbus: calling handler" handler=risk`)
	require.Empty(t, run(eventbustest.WithLogLevel(slog.LevelWarn)))
	fake := try(func(ft *fakeT) {
		bus := eventbustest.New(ft, eventbustest.WithBus(eventbus.WithQueue(eventbus.DataQueue,
			eventbus.QueueConfig{Capacity: 1, Overflow: eventbus.DropOldest})), eventbustest.NotStarted(), eventbustest.AllowLeftovers())
		for range 2 {
			publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
		}
	})
	require.Contains(t, fake.logged(), `level=WARN msg="eventbus: queue is full`)
}

func TestEndOfTheTestDrainsTheBusAndShutsItDown(t *testing.T) {
	var bus *eventbus.Bus
	var filled atomic.Int32
	fake := try(func(ft *fakeT) {
		bus = eventbustest.New(ft)
		bus.SubscribeFunc(eventbus.OrderPlaced, func(ctx context.Context, e eventbus.Event) error {
			return bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderFilled})
		})
		bus.SubscribeFunc(eventbus.OrderFilled, func(context.Context, eventbus.Event) error {
			filled.Add(1)
			return nil
		})
		for range 200 {
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		}
	})
	require.Empty(t, fake.said())
	require.EqualValues(t, 200, filled.Load())
	require.ErrorIs(t, bus.Start(t.Context()), eventbus.ErrClosed)
}

func TestBusOutlivesTheContextOfTheTest(t *testing.T) {
	var atEnd error
	t.Run("a test", func(t *testing.T) {
		bus := eventbustest.New(t)
		// Runs when the context of the test has ended, before the bus is shut down.
		t.Cleanup(func() {
			require.Error(t, t.Context().Err())
			err := bus.Publish(context.Background(), eventbus.DataQueue, eventbus.Event{Type: eventbus.CandleClosed})
			atEnd = errors.Join(err, bus.Flush(context.Background()))
		})
	})
	require.NoError(t, atEnd)
}

func TestHandlerFailureFailsTheTest(t *testing.T) {
	for name, c := range map[string]struct {
		handle eventbus.HandlerFunc
		want   []string
	}{
		"error": {
			func(context.Context, eventbus.Event) error { return errors.New("no margin") },
			[]string{"handler risk failed on order_placed of the order queue: no margin"},
		},
		"panic": {
			func(context.Context, eventbus.Event) error { return overdraw() },
			[]string{"handler risk failed", "overdrawn", "eventbustest_test.overdraw(", "bus_test.go:"},
		},
		"Goexit": {
			func(context.Context, eventbus.Event) error { runtime.Goexit(); return nil },
			[]string{"handler risk failed", "runtime.Goexit"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(opts ...eventbustest.Option) *fakeT {
				return try(func(ft *fakeT) {
					bus := eventbustest.New(ft, opts...)
					bus.SubscribeFunc(eventbus.OrderPlaced, c.handle, eventbus.WithName("risk"))
					publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, order{"BTCUSDT", "SELL", 1})
				})
			}
			fake := run()
			require.Len(t, fake.errors, 1)
			require.False(t, fake.fatal)
			for _, want := range append(c.want, `event  order_placed  eventbustest_test.order {Symbol:"BTCUSDT" Side:"SELL" Quantity:1}`) {
				require.Contains(t, fake.said(), want)
			}
			fake = run(eventbustest.AllowHandlerErrors())
			require.False(t, fake.failed, fake.said())
			require.Contains(t, fake.logged(), `level=ERROR msg="eventbus: handler failed" handler=risk`)
		})
	}
}

func overdraw() error { panic("overdrawn") }

func fails(context.Context, eventbus.Event) error { return errors.New("it fails") }

// The kit's error handler and those of the test are all called, whatever one does.
func TestHandlerFailureIsToldToTheTestAndToItsErrorHandlers(t *testing.T) {
	for name, own := range map[string]func(){
		"returns": func() {},
		"panics":  func() { panic("no pager") },
		"Goexit":  runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			onError := func(as string, then func()) eventbustest.Option {
				return eventbustest.WithBus(eventbus.WithErrorHandler(func(_ context.Context, err *eventbus.HandlerError) {
					seen = append(seen, as+": "+err.Error())
					then()
				}))
			}
			run := func(opts ...eventbustest.Option) *fakeT {
				seen = nil
				return try(func(ft *fakeT) {
					bus := eventbustest.New(ft, append(opts, onError("first", own), onError("second", func() {}))...)
					bus.SubscribeFunc(eventbus.CandleClosed, fails)
					publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
				})
			}
			const failure = "eventbus: handler eventbustest_test.fails failed on candle_closed of the data queue: it fails"
			fake := run()
			require.Equal(t, []string{failure + "\n    event  candle_closed  nil"}, fake.errors)
			require.Equal(t, []string{"first: " + failure, "second: " + failure}, seen)

			require.Empty(t, run(eventbustest.AllowHandlerErrors()).said())
			require.Len(t, seen, 2)
		})
	}
}

func TestOptionsReachTheBus(t *testing.T) {
	small := eventbus.QueueConfig{Capacity: 7, Overflow: eventbus.DropOldest}
	tiny := eventbus.QueueConfig{Capacity: 3}
	bus := eventbustest.New(t,
		eventbustest.WithBus(eventbus.WithQueue(eventbus.DataQueue, small)),
		eventbustest.WithBus(eventbus.WithQueue(eventbus.OrderQueue, tiny)))
	require.Equal(t, 7, bus.Stats().Queues[eventbus.DataQueue].Capacity)
	require.Equal(t, 3, bus.Stats().Queues[eventbus.OrderQueue].Capacity)
}

func TestInvalidOptionEndsTheTest(t *testing.T) {
	for want, opt := range map[string]eventbustest.Option{
		"eventbustest: New: option 0 is nil":                                                       nil,
		"eventbustest: New: WithLogLevel: the level is nil":                                        eventbustest.WithLogLevel(nil),
		"eventbustest: New: LogEvents: event type 1 is empty":                                      eventbustest.LogEvents(eventbus.OrderPlaced, ""),
		"eventbustest: New: eventbus: New: WithPollInterval: the interval is 0s, want more than 0": eventbustest.WithBus(eventbus.WithPollInterval(0)),
	} {
		fake := try(func(ft *fakeT) {
			eventbustest.New(ft, opt)
			t.Error("the test went on")
		})
		require.Equal(t, want, fake.said())
		require.True(t, fake.fatal)
	}
}

func TestBusEndsInsideTheBubble(t *testing.T) {
	var handled int
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		t.Cleanup(func() { require.Equal(t, 3*time.Minute, time.Since(start)) }) // the last of them
		bus := eventbustest.New(t)
		bus.SubscribeFunc(eventbus.CandleClosed, func(context.Context, eventbus.Event) error {
			handled++
			return nil
		})
		for range 3 {
			publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		require.Equal(t, 3, handled)
		publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
	})
	require.Equal(t, 4, handled)
}

func TestNewInABenchmark(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value
	defer benchtime.Set(benchtime.String())
	require.NoError(t, benchtime.Set("1000x"))
	r := testing.Benchmark(func(b *testing.B) {
		bus := eventbustest.New(b)
		rec := eventbustest.NewRecorder(b, bus, eventbus.OrderPlaced)
		n := 0
		for b.Loop() {
			if err := bus.Publish(b.Context(), eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced}); err != nil {
				b.Fatal(err)
			}
			n++
		}
		rec.Wait(n)
	})
	require.Equal(t, 1000, r.N)
}

func FuzzPublish(f *testing.F) {
	f.Add("BTCUSDT", 3)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, symbol string, n int) {
		bus := eventbustest.New(t)
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		want := order{Symbol: symbol, Quantity: n}
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, want)
		rec.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, want))
		rec.ExpectNone(t)
	})
}
