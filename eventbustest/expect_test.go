package eventbustest_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// record returns a recorder that has recorded events of type OrderPlaced with
// these payloads.
func record[T any](t *testing.T, payloads ...T) *eventbustest.Recorder {
	t.Helper()
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced, eventbus.OrderFilled)
	for _, p := range payloads {
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, p)
	}
	require.NoError(t, bus.Flush(t.Context()))
	return rec
}

func is(n int) eventbustest.Matcher { return eventbustest.Payload(eventbus.OrderPlaced, n) }

func payloads(events []eventbus.Event) []any {
	var data []any
	for _, e := range events {
		data = append(data, e.Data)
	}
	return data
}

func even() eventbustest.Matcher {
	return eventbustest.PayloadFunc(eventbus.OrderPlaced, "an even number", func(n int) bool { return n%2 == 0 })
}

func TestExpectTakesTheFirstEventsInOrder(t *testing.T) {
	rec := record(t, 1, 2, 3, 4, 2, 5)
	require.Equal(t, []any{2, 4, 2}, payloads(rec.Expect(t, even(), even(), is(2))))
}

func TestExpectClaimsWhatItFindsAndNothingElse(t *testing.T) {
	rec := record(t, 1, 2, 3, 4)
	rec.Expect(t, is(2), is(4))
	rec.Expect(t, is(1), is(3)) // one before and one between: still there
	rec.ExpectNone(t)
	require.Len(t, rec.Events(), 4)
}

func TestExpectThatFailsClaimsNothing(t *testing.T) {
	rec := record(t, 1, 2)
	for _, expect := range []func(testing.TB, ...eventbustest.Matcher) []eventbus.Event{rec.Within(0).Expect, rec.Within(0).ExpectInAnyOrder} {
		require.True(t, try(func(ft *fakeT) { expect(ft, is(1), is(3)) }).fatal)
	}
	rec.Expect(t, is(1), is(2))
}

func TestExpectDoesNotFindAClaimedEventAgain(t *testing.T) {
	rec := record(t, 0, 1, 2)
	rec.Expect(t, is(1))
	require.True(t, try(func(ft *fakeT) { rec.Within(0).Expect(ft, is(1)) }).fatal)
	require.True(t, try(func(ft *fakeT) { rec.Within(0).ExpectInAnyOrder(ft, is(1)) }).fatal)
}

func TestExpectFailsWhenTheOrderDiffers(t *testing.T) {
	rec := record(t, 1, 2)
	require.True(t, try(func(ft *fakeT) { rec.Within(0).Expect(ft, is(2), is(1)) }).fatal)
	require.Equal(t, []any{2, 1}, payloads(rec.ExpectInAnyOrder(t, is(2), is(1))))
}

func TestExpectWaitsForWhatIsToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t)
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		start := time.Now()
		for i := range 4 {
			time.AfterFunc(time.Duration(i)*time.Second, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, i) })
		}
		rec.Expect(t, is(0))
		require.Zero(t, time.Since(start), "what is on its way takes no time")
		rec.Expect(t, is(1), is(3))
		require.Equal(t, 3*time.Second, time.Since(start))
		rec.ExpectInAnyOrder(t, is(2))
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestAnEventThatComesAtTheLastMomentCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t)
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		// While the matcher looks at the first event, the second comes and the time
		// is up, so both are to be seen when it has looked.
		busy := eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(n int) bool {
			if n == 1 {
				time.Sleep(10 * time.Second)
			}
			return n == 2
		})
		for range 20 {
			time.AfterFunc(4*time.Second, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, 1) })
			time.AfterFunc(8*time.Second, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, 2) })
			rec.Expect(t, busy)
			rec.Expect(t, is(1))
		}
	})
}

// The earlier events meet both matchers and the last meets only the first one,
// so the obvious choice is wrong.
func TestExpectInAnyOrderFindsTheAssignment(t *testing.T) {
	rec := record(t, 2, 3)
	got := rec.ExpectInAnyOrder(t, eventbustest.Type(eventbus.OrderPlaced), even())
	require.Equal(t, []any{3, 2}, payloads(got))

	rec = record(t, 6, 4, 2)
	below := func(n int) eventbustest.Matcher {
		return eventbustest.PayloadFunc(eventbus.OrderPlaced, "small", func(m int) bool { return m < n })
	}
	got = rec.ExpectInAnyOrder(t, below(9), below(7), below(5))
	require.ElementsMatch(t, []any{6, 4, 2}, payloads(got))
	require.Less(t, got[2].Data, 5)
}

// Both kinds of search are compared with a search that tries everything. An
// event is a set of matchers that it meets, as bits.
func TestSearchFindsWhatTryingEverythingFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bus := eventbustest.New(t)
	found := map[bool]int{}
	for range 1000 {
		sets := make([]int, rng.IntN(6))
		for i := range sets {
			sets[i] = rng.IntN(16) & rng.IntN(16)
		}
		matchers := make([]eventbustest.Matcher, 1+rng.IntN(4))
		for m := range matchers {
			matchers[m] = eventbustest.PayloadFunc(eventbus.OrderPlaced, "", func(set int) bool { return set>>m&1 == 1 })
		}
		for _, ordered := range []bool{true, false} {
			var got []eventbus.Event
			fake := try(func(ft *fakeT) {
				rec := eventbustest.NewRecorder(ft, bus, eventbus.OrderPlaced).Within(0)
				for _, set := range sets {
					publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, set)
				}
				require.NoError(t, bus.Flush(t.Context()))
				expect := rec.ExpectInAnyOrder
				if ordered {
					expect = rec.Expect
				}
				got = expect(ft, matchers...)
			})
			want := possible(sets, len(matchers), 0, ordered, -1, 0)
			require.Equal(t, want, !fake.fatal, "sets %v, matchers %d, ordered %v", sets, len(matchers), ordered)
			for m, e := range got {
				require.Equal(t, 1, e.Data.(int)>>m&1)
			}
			found[want]++
		}
	}
	require.Greater(t, found[true], 100)
	require.Greater(t, found[false], 100)
}

// possible reports whether the matchers from m on can have an event each, those
// in used excepted and, if ordered, those up to last.
func possible(sets []int, matchers, m int, ordered bool, last, used int) bool {
	if m == matchers {
		return true
	}
	for i, set := range sets {
		free := used>>i&1 == 0 && (!ordered || i > last)
		if free && set>>m&1 == 1 && possible(sets, matchers, m+1, ordered, i, used|1<<i) {
			return true
		}
	}
	return false
}

func TestExpectNoneLooksWhenTheBusIsAtRest(t *testing.T) {
	bus := eventbustest.New(t)
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	bus.SubscribeFunc(eventbus.CandleClosed, func(ctx context.Context, _ eventbus.Event) error {
		time.Sleep(20 * time.Millisecond)
		return bus.Publish(ctx, eventbus.OrderQueue, eventbus.Event{Type: eventbus.OrderPlaced, Data: 1})
	})
	publish(t, bus, eventbus.DataQueue, eventbus.CandleClosed, nil)
	require.False(t, try(func(ft *fakeT) { rec.ExpectNone(ft, is(2)) }).fatal)
	require.True(t, try(func(ft *fakeT) { rec.ExpectNone(ft) }).fatal)
	require.True(t, try(func(ft *fakeT) { rec.ExpectNone(ft, is(2), is(1)) }).fatal)
	rec.Expect(t, is(1)) // ExpectNone claims nothing
	rec.ExpectNone(t, is(1))
}

func TestExpectNoneOnABusThatDoesNotRun(t *testing.T) {
	bus := eventbustest.New(t, eventbustest.AllowLeftovers())
	rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	bus.Stop()
	publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	rec.ExpectNone(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, bus.Shutdown(ended))
	rec.ExpectNone(t)
}

func TestExpectNoneOnABusThatNeverRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := eventbustest.New(t, eventbustest.AllowLeftovers())
		rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
		bus.SubscribeFunc(eventbus.OrderFilled, func(ctx context.Context, _ eventbus.Event) error {
			<-ctx.Done()
			return nil
		})
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderFilled, nil)
		start := time.Now()
		fake := try(func(ft *fakeT) { rec.ExpectNone(ft) })
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Equal(t, "eventbustest: ExpectNone: the bus is not at rest: flush: context deadline exceeded", fake.said())
		rec.Within(0).ExpectNone(t)
	})
}

func TestExpectMisuseEndsTheTestAtOnce(t *testing.T) {
	rec := record(t, 1)
	for want, f := range map[string]func(*fakeT){
		"Expect: no matcher is given; to expect that nothing more came, use ExpectNone": func(ft *fakeT) {
			rec.Expect(ft)
		},
		"ExpectInAnyOrder: matcher 2 is the zero Matcher; make one with Type, Payload, PayloadFunc or Func": func(ft *fakeT) {
			rec.ExpectInAnyOrder(ft, is(1), eventbustest.Matcher{})
		},
		"ExpectNone: matcher 1 asks for candle_closed, which is not recorded; the recorder was made for order_placed, order_filled": func(ft *fakeT) {
			rec.ExpectNone(ft, eventbustest.Type(eventbus.CandleClosed))
		},
	} {
		start := time.Now()
		fake := try(f)
		require.Equal(t, "eventbustest: "+want, fake.said())
		require.True(t, fake.fatal)
		require.Less(t, time.Since(start), 4*time.Second)
	}
	rec.Expect(t, is(1))
}
