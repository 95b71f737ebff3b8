// Package eventbustest helps to test programs that are built on an
// [eventbus.Bus]. [New] gives a test a running bus that ends with it, and a
// [Recorder] keeps the events of chosen types, or of all, and compares them with
// what the test expects:
//
//	func TestStrategySellsAtTheTop(t *testing.T) {
//		bus := eventbustest.New(t)
//		rec := eventbustest.NewRecorder(t, bus, eventbus.SignalGenerated, eventbus.OrderPlaced)
//		engine.Attach(bus)
//
//		err := bus.Publish(t.Context(), eventbus.DataQueue, top)
//		require.NoError(t, err)
//
//		rec.Expect(t,
//			eventbustest.PayloadFunc(eventbus.SignalGenerated, "sells BTCUSDT", func(s Signal) bool {
//				return s.Side == Sell && s.Symbol == "BTCUSDT"
//			}),
//			eventbustest.Payload(eventbus.OrderPlaced, Order{Symbol: "BTCUSDT", Side: Sell, Quantity: 1}),
//		)
//		rec.ExpectNone(t)
//	}
//
// # What counts as an expected event
//
// A recorder claims each event that one of its Expect methods has found, and
// claims no other. A claimed event meets no further matcher; all others stay,
// whatever was recorded before or after them, for a later call to find. So an
// Expect skips events that it does not ask for, and [Recorder.ExpectNone] tells
// whether any are left.
//
// The events of an [eventbus.Topic] are recorded and matched by its event type;
// what it publishes meets a [Payload] of the topic's payload type. Conflated,
// evicted and expired events are not recorded, since nobody handles them.
//
// An expectation that fails has waited for 5 s first, or for what
// [Recorder.Within] says. If an event tells that another one can never come, as
// the rejection of an order tells that it will not be filled, [Matcher.Unless] ends
// the wait with an error of the test's own.
//
// # What a test prints
//
// A test in which nothing goes wrong prints nothing, with -v neither. A handler
// that fails, an expectation that is not met and work that is left behind fail
// the test, and say what it was. [LogEvents] logs each event with its payload, and
// [WithLogLevel] what else the bus does.
//
// # The order of events
//
// Events are recorded in the order in which the recorder is called. The bus
// keeps the order of what one goroutine publishes to one queue and promises
// none across queues. A recorder that is made before the code under test
// subscribes is called first, though: it has recorded an event before any of
// that code can react to it, so causes come before effects.
//
// # Time
//
// Everything here works in a bubble of [testing/synctest], and time-dependent
// code is best tested in one. The bus and the recorders must be made inside the
// bubble, with its T; the bus then ends in the bubble too, before the bubble
// does. Where a method waits, it waits by the bubble's clock, and an expectation
// that is not met costs no real time:
//
//	synctest.Test(t, func(t *testing.T) {
//		bus := eventbustest.New(t)
//		...
//	})
//
// # Stepping
//
// A backtest that steps its bus tests with [NotStarted] and
// [eventbus.Bus.RunUntilIdle]: see the example there. Nothing runs concurrently
// then, and the order of all events is the same every time.
//
// # Benchmarks and fuzzing
//
// A benchmark passes its B. In a fuzz target, the T of the target is the right
// argument, not the F.
package eventbustest
