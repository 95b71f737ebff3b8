package eventbustest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// A scenario is what was recorded and what is asked of the recorder.
type scenario struct {
	name   string
	events []eventbus.Event
	ask    func(*fakeT, *eventbustest.Recorder)
	want   string
}

func event(t eventbus.EventType, data any) eventbus.Event { return eventbus.Event{Type: t, Data: data} }

func (s scenario) run(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.CandleClosed, eventbus.SignalGenerated, eventbus.OrderPlaced).Within(0)
	for _, e := range s.events {
		require.NoError(t, bus.Publish(t.Context(), eventbus.DataQueue, e))
	}
	require.NoError(t, bus.Flush(t.Context()))
	fake := try(func(ft *fakeT) { s.ask(ft, rec) })
	require.Equal(t, strings.Trim(s.want, "\n"), fake.said())
	require.True(t, fake.fatal)
}

var (
	closed  = eventbustest.Type(eventbus.CandleClosed)
	signals = eventbustest.Type(eventbus.SignalGenerated)
	placed  = eventbustest.Type(eventbus.OrderPlaced)
	sells   = eventbustest.Payload(eventbus.SignalGenerated, signal{"BTCUSDT", "SELL"})
)

func TestFailureShowsExpectedAgainstGot(t *testing.T) {
	aCandle := event(eventbus.CandleClosed, candle{"BTCUSDT", 101})
	aBuy := eventbus.Event{Type: eventbus.SignalGenerated, Data: signal{"BTCUSDT", "BUY"}, Source: "strategy"}
	long := strings.Repeat("x", 300)
	anOrder := event(eventbus.OrderPlaced, &order{"BTCUSDT", "SELL", 1})
	for _, s := range []scenario{
		{
			"a payload that differs, and an event that is missing",
			[]eventbus.Event{aCandle, aBuy},
			func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, closed, sells, placed) }, `
eventbustest: Expect: 2 of 3 matchers met no event
      1  met    #1  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    - 2  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
    +    got    #2  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
                                                                                       ^ differs in Side
    - 3  want       order_placed
`,
		},
		{
			"a missing event does not hide that the next one came",
			[]eventbus.Event{aCandle, anOrder},
			func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, closed, sells, placed) }, `
eventbustest: Expect: 1 of 3 matchers met no event
      1  met    #1  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    - 2  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
      3  met    #2  order_placed      *eventbustest_test.order &{Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
`,
		},
		{
			"a pointer where a value is expected",
			[]eventbus.Event{anOrder},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, order{"BTCUSDT", "SELL", 1}))
			}, `
eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want       order_placed  eventbustest_test.order {Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
    +    got    #1  order_placed  *eventbustest_test.order &{Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
                                  ^
`,
		},
		{
			"a payload that goes on",
			[]eventbus.Event{event(eventbus.OrderPlaced, 10)},
			func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, is(1)) }, `
eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want       order_placed  int 1
    +    got    #1  order_placed  int 10
                                       ^
`,
		},
		{
			"nothing at all",
			nil,
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, eventbustest.PayloadFunc(eventbus.SignalGenerated, "sells", func(signal) bool { return true }),
					eventbustest.Func("comes from the feed", func(eventbus.Event) bool { return true }))
			}, `
eventbustest: Expect: 2 of 2 matchers met no event
    - 1  want     signal_generated  eventbustest_test.signal: sells
    - 2  want     any type          comes from the feed
    nothing was recorded of candle_closed, signal_generated, order_placed
`,
		},
		{
			"the wrong order",
			[]eventbus.Event{event(eventbus.OrderPlaced, 1), aBuy},
			func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, signals, placed) }, `
eventbustest: Expect: 1 of 2 matchers met no event
         other  #1  order_placed      int 1
      1  met    #2  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
    - 2  want       order_placed      (#1 meets it, but not in this order)
`,
		},
		{
			"one event for two matchers",
			[]eventbus.Event{anOrder},
			func(t *fakeT, r *eventbustest.Recorder) { r.ExpectInAnyOrder(t, placed, placed) }, `
eventbustest: ExpectInAnyOrder: 1 of 2 matchers met no event
      1  met    #1  order_placed  *eventbustest_test.order &{Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
    - 2  want       order_placed  (#1 meets it, but it counts for matcher 1)
`,
		},
		{
			"in any order, what is missing and what came instead",
			[]eventbus.Event{anOrder, aBuy, aCandle},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.ExpectInAnyOrder(t, sells, closed, eventbustest.Payload(eventbus.OrderPlaced, 2), sells)
			}, `
eventbustest: ExpectInAnyOrder: 3 of 4 matchers met no event
    - 3  want       order_placed      int 2
    +    got    #1  order_placed      *eventbustest_test.order &{Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
                                      ^
    - 1  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
    +    got    #2  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
                                                                                       ^ differs in Side
      2  met    #3  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    - 4  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
`,
		},
		{
			"an event that an earlier call has claimed",
			[]eventbus.Event{anOrder, aCandle},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, placed)
				r.Expect(t, closed, placed)
			}, `
eventbustest: Expect: 1 of 2 matchers met no event
      1  met    #2  candle_closed  eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    - 2  want       order_placed   (#1 meets it, but an earlier call has claimed it)
    not shown: 1 event that earlier calls have claimed
`,
		},
		{
			"a claimed event later on",
			[]eventbus.Event{aCandle, anOrder, aBuy},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, placed, signals)
				r.Expect(t, sells, placed)
			}, `
eventbustest: Expect: 2 of 2 matchers met no event
         other  #1  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    - 1  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
    - 2  want       order_placed      (#2 meets it, but an earlier call has claimed it)
    not shown: 2 events that earlier calls have claimed
`,
		},
		{
			"what came instead is not what an earlier call has claimed",
			[]eventbus.Event{aBuy, aBuy},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, signals)
				r.Expect(t, sells)
			}, `
eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
    +    got    #2  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
                                                                                       ^ differs in Side
    not shown: 1 event that earlier calls have claimed
`,
		},
		{
			"what came later did not come instead",
			[]eventbus.Event{aCandle, aBuy},
			func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, sells, closed) }, `
eventbustest: Expect: 1 of 2 matchers met no event
    - 1  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
      2  met    #1  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
         other  #2  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
`,
		},
		{
			"what meets one matcher did not come instead of another",
			[]eventbus.Event{aBuy},
			func(t *fakeT, r *eventbustest.Recorder) { r.ExpectInAnyOrder(t, sells, signals) }, `
eventbustest: ExpectInAnyOrder: 1 of 2 matchers met no event
      2  met    #1  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
    - 1  want       signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}
`,
		},
		{
			"payloads that are long",
			[]eventbus.Event{event(eventbus.OrderPlaced, long+"A")},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, long+"B"))
			}, `
eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want       order_placed  string "` + long + `B"
    +    got    #1  order_placed  string "` + long + `A"
                                          ` + strings.Repeat(" ", len(long)) + `^
`,
		},
		{
			"payloads that read the same",
			[]eventbus.Event{event(eventbus.OrderPlaced, []any{1, int64(2)})},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, []any{1, uint8(2)}))
			}, `
eventbustest: Expect: 1 of 1 matcher met no event
    - 1  want       order_placed  []interface {}{1, 0x2}
    +    got    #1  order_placed  []interface {}{1, 2}
                                                    ^ differs in [1]
`,
		},
		{
			"what should not have come",
			[]eventbus.Event{aCandle, anOrder, event(eventbus.OrderPlaced, 2)},
			func(t *fakeT, r *eventbustest.Recorder) {
				r.Expect(t, eventbustest.Payload(eventbus.OrderPlaced, 2))
				r.ExpectNone(t, sells, placed)
			}, `
eventbustest: ExpectNone: not expected, but recorded: 1 event
         other  #1  candle_closed  eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
    + 2  got    #2  order_placed   *eventbustest_test.order &{Symbol:"BTCUSDT" Side:"SELL" Quantity:1}
    not shown: 1 event that earlier calls have claimed
`,
		},
		{
			"what should not have come, whatever it is",
			[]eventbus.Event{aBuy, aCandle},
			func(t *fakeT, r *eventbustest.Recorder) { r.ExpectNone(t) }, `
eventbustest: ExpectNone: not expected, but recorded: 2 events
    +   got    #1  signal_generated  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"BUY"}  (from strategy)
    +   got    #2  candle_closed     eventbustest_test.candle {Symbol:"BTCUSDT" Close:101}
`,
		},
	} {
		t.Run(s.name, s.run)
	}
}

func TestFailureCutsDownWhatIsNotAskedFor(t *testing.T) {
	candles := make([]eventbus.Event, 1000)
	for i := range candles {
		candles[i] = event(eventbus.CandleClosed, i)
	}
	scenario{
		events: append(candles, event(eventbus.SignalGenerated, nil)),
		ask:    func(t *fakeT, r *eventbustest.Recorder) { r.Expect(t, signals, placed) },
		want: `
eventbustest: Expect: 1 of 2 matchers met no event
         other     #1  candle_closed     int 0
         other     #2  candle_closed     int 1
         other     #3  candle_closed     int 2
      ... 994 more
         other   #998  candle_closed     int 997
         other   #999  candle_closed     int 998
         other  #1000  candle_closed     int 999
      1  met    #1001  signal_generated  nil
    - 2  want          order_placed
`,
	}.run(t)
}
