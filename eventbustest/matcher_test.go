package eventbustest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

func TestMatchersMeet(t *testing.T) {
	sell := &order{"BTCUSDT", "SELL", 1}
	anything := func(any) bool { return true }
	for _, c := range []struct {
		name    string
		matcher eventbustest.Matcher
		data    any
		want    bool
	}{
		{"type", eventbustest.Type(eventbus.OrderPlaced), nil, true},
		{"another type", eventbustest.Type(eventbus.OrderFilled), nil, false},
		{"payload", eventbustest.Payload(eventbus.OrderPlaced, *sell), *sell, true},
		{"payload of another type", eventbustest.Payload(eventbus.OrderFilled, *sell), *sell, false},
		{"another payload", eventbustest.Payload(eventbus.OrderPlaced, *sell), order{"BTCUSDT", "BUY", 1}, false},
		{"equal pointers", eventbustest.Payload(eventbus.OrderPlaced, &order{"BTCUSDT", "SELL", 1}), sell, true},
		{"pointer for a value", eventbustest.Payload(eventbus.OrderPlaced, *sell), sell, false},
		{"another integer type", eventbustest.Payload(eventbus.OrderPlaced, 1), int64(1), false},
		{"nil", eventbustest.Payload[any](eventbus.OrderPlaced, nil), nil, true},
		{"nil for a value", eventbustest.Payload(eventbus.OrderPlaced, 0), nil, false},
		{"slice", eventbustest.Payload(eventbus.OrderPlaced, []int{1, 2}), []int{1, 2}, true},
		{"function", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(n int) bool { return n == 1 }), 1, true},
		{"function says no", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(n int) bool { return n == 1 }), 2, false},
		{"function of another type", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(string) bool { return true }), 2, false},
		{"function of another event type", eventbustest.PayloadFunc(eventbus.OrderFilled, "", anything), 2, false},
		{"function of an interface", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(error) bool { return true }), fmt.Errorf("x"), true},
		{"function of any", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", anything), 2, true},
		{"function of any gets no nil", eventbustest.PayloadFunc(eventbus.OrderPlaced, "", anything), nil, false},
		{"event", eventbustest.Func("", func(e eventbus.Event) bool { return e.Data == 2 }), 2, true},
		{"another event", eventbustest.Func("", func(e eventbus.Event) bool { return e.Source != "" }), 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := record(t, c.data).Within(0)
			require.Equal(t, c.want, !try(func(ft *fakeT) { rec.Expect(ft, c.matcher) }).fatal)
		})
	}
}

func TestMatcherString(t *testing.T) {
	for want, m := range map[string]eventbustest.Matcher{
		"the zero Matcher": {},
		"order_placed":     eventbustest.Type(eventbus.OrderPlaced),
		`order_placed  eventbustest_test.signal {Symbol:"BTCUSDT" Side:"SELL"}`: eventbustest.Payload(eventbus.OrderPlaced, signal{"BTCUSDT", "SELL"}),
		"order_placed  eventbustest_test.order: sells":                          eventbustest.PayloadFunc(eventbus.OrderPlaced, "sells", func(o order) bool { return o.Side == "SELL" }),
		"comes from the feed": eventbustest.Func("comes from the feed", func(e eventbus.Event) bool { return e.Source == "feed" }),
	} {
		require.Equal(t, want, m.String())
	}
}

func TestMatcherMisusePanics(t *testing.T) {
	for want, f := range map[string]func(){
		"eventbustest: Type: the event type is empty":                      func() { eventbustest.Type("") },
		"eventbustest: Payload: the event type is empty":                   func() { eventbustest.Payload("", 1) },
		"eventbustest: PayloadFunc: the event type is empty":               func() { eventbustest.PayloadFunc("", "", func(int) bool { return true }) },
		`eventbustest: PayloadFunc of "order_placed": the function is nil`: func() { eventbustest.PayloadFunc[int](eventbus.OrderPlaced, "", nil) },
		`eventbustest: Func of "comes from the feed": the function is nil`: func() { eventbustest.Func("comes from the feed", nil) },
	} {
		require.PanicsWithValue(t, want, f)
	}
}
