package eventbustest_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

func TestFailureShowsPayloadsToTheirDepth(t *testing.T) {
	type link struct {
		Name string
		next *link
	}
	type stamped struct {
		time.Time
		Price float64
	}
	loop := &link{Name: "loop"}
	loop.next = loop
	at := time.Date(2024, 5, 17, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		data any
		want string
	}{
		{nil, "nil"},
		{7, "int 7"},
		{"a\nb", `string "a\nb"`},
		{eventbus.CandleClosed, `eventbus.EventType "candle_closed"`},
		{[]string{"a", "b c"}, `[]string ["a" "b c"]`},
		{[2]bool{true}, `[2]bool [true false]`},
		{map[string]*candle{"b": nil, "a": {"X", 1}}, `map[string]*eventbustest_test.candle ["a":&{Symbol:"X" Close:1} "b":nil]`},
		{&link{"a", &link{"b", nil}}, `*eventbustest_test.link &{Name:"a" next:&{Name:"b" next:nil}}`},
		{loop, `*eventbustest_test.link ` + strings.Repeat(`&{Name:"loop" next:`, 5) + `&...}}}}}`},
		{(*candle)(nil), "*eventbustest_test.candle nil"},
		{at, "time.Time 2024-05-17 09:30:00 +0000 UTC"},
		{struct{ At time.Time }{at}, "struct { At time.Time } {At:2024-05-17 09:30:00 +0000 UTC}"},
		{stamped{at, 2.5}, "eventbustest_test.stamped {Time:2024-05-17 09:30:00 +0000 UTC Price:2.5}"},
		{big.NewInt(12), "*big.Int 12"},
		{errors.New("one\ntwo"), `*errors.errorString one\ntwo`},
		{time.Minute, "time.Duration 1m0s"},
		{func() {}, "func() func()"},
		{any(struct{ V any }{candle{"X", 2}}), `struct { V interface {} } {V:{Symbol:"X" Close:2}}`},
		{strings.Repeat("é", 300), `string "` + strings.Repeat("é", 192) + "..."},
	} {
		rec := record(t, c.data)
		fake := try(func(ft *fakeT) { rec.ExpectNone(ft) })
		_, got, _ := strings.Cut(fake.said(), "order_placed  ")
		require.Equal(t, c.want, got)
	}
}
