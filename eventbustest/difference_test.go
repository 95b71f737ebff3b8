package eventbustest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// A fill has parts of all kinds.
type fill struct {
	Order order
	By    *order
	Legs  []order
	Fees  map[string]float64
	At    time.Time
	Extra any
	note  string
}

func TestFailureNamesThePartsInWhichPayloadsDiffer(t *testing.T) {
	type loop struct {
		Next *loop
		N    int
	}
	circle, other := &loop{N: 1}, &loop{N: 2}
	circle.Next, other.Next = circle, circle
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		want, got any
		in        string
	}{
		"nested":             {fill{Order: order{"A", "BUY", 1}}, fill{Order: order{"A", "BUY", 2}}, "Order.Quantity"},
		"several":            {order{"A", "BUY", 1}, order{"A", "SELL", 2}, "Side, Quantity"},
		"behind a pointer":   {&fill{By: &order{"A", "BUY", 1}}, &fill{By: &order{"B", "BUY", 1}}, "By.Symbol"},
		"nil pointer":        {fill{By: &order{}}, fill{}, "By"},
		"element":            {fill{Legs: []order{{}, {Quantity: 1}}}, fill{Legs: []order{{}, {Quantity: 2}}}, "Legs[1].Quantity"},
		"length":             {fill{Legs: []order{{}}}, fill{}, "Legs"},
		"map":                {fill{Fees: map[string]float64{"a": 1}}, fill{Fees: map[string]float64{"a": 2}}, "Fees"},
		"printed as a whole": {fill{At: at}, fill{At: at.Add(time.Second)}, "At"},
		"reads the same":     {fill{At: at}, fill{At: at.In(time.FixedZone("UTC", 0))}, "At"},
		"type of a part":     {fill{Extra: 1}, fill{Extra: int64(1)}, "Extra"},
		"not exported":       {fill{note: "a"}, fill{note: "b"}, "note"},
		"leads back":         {circle, other, "N"},
		"many":               {[]int{1, 2, 3, 4, 5, 6, 7}, []int{0, 0, 0, 0, 0, 0, 0}, "[0], [1], [2], [3], [4] and 2 more"},
		"no parts":           {1, 2, ""},
		"another type":       {order{}, signal{}, ""},
		"nothing":            {order{}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bus := eventbustest.New(t, eventbustest.NotStarted())
			rec := eventbustest.NewRecorder(t, bus).Within(0)
			publish(t, bus, eventbus.OrderQueue, eventbus.OrderFilled, c.got)
			_, err := bus.RunUntilIdle(t.Context())
			require.NoError(t, err)
			said := try(func(ft *fakeT) { rec.Expect(ft, eventbustest.Payload(eventbus.OrderFilled, c.want)) }).said()
			_, after, found := strings.Cut(said[strings.LastIndexByte(said, '\n'):], "^")
			require.True(t, found, said)
			if c.in != "" {
				c.in = " differs in " + c.in
			}
			require.Equal(t, c.in, after, said)
		})
	}
}
