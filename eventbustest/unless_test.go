package eventbustest_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// unless returns a function for Unless that gives up when the payload is bad.
func unless(bad any) func(eventbus.Event) error {
	return func(e eventbus.Event) error {
		if e.Data == bad {
			return fmt.Errorf("%v came", e.Data)
		}
		return nil
	}
}

// What can never come is not waited for, neither when that is known already nor
// when it becomes known.
func TestUnlessEndsTheWaitAtOnce(t *testing.T) {
	for name, in := range map[string]time.Duration{"before the wait": 0, "during the wait": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := eventbustest.New(t)
				rec := eventbustest.NewRecorder(t, bus)
				start := time.Now()
				time.AfterFunc(in, func() { publish(t, bus, eventbus.OrderQueue, eventbus.OrderUpdate, "a rejection") })
				synctest.Wait()
				for _, call := range []string{"Expect", "ExpectInAnyOrder"} {
					expect := rec.Expect
					if call != "Expect" {
						expect = rec.ExpectInAnyOrder
					}
					fake := try(func(ft *fakeT) {
						expect(ft, eventbustest.Type(eventbus.OrderUpdate), eventbustest.Type(eventbus.OrderFilled).Unless(unless("a rejection")))
						t.Error("the test went on")
					})
					require.True(t, fake.fatal)
					require.Equal(t, "eventbustest: "+call+`: matcher 2 gave up at #1: a rejection came
      1  met    #1  order_update  string "a rejection"
    - 2  want       order_filled`, fake.said())
				}
				require.Equal(t, in, time.Since(start))
				rec.Expect(t, eventbustest.Type(eventbus.OrderUpdate)) // the failed calls have claimed nothing
			})
		})
	}
}

func TestUnlessIsAskedWhileTheMatcherHasNoEvent(t *testing.T) {
	for name, c := range map[string]struct {
		recorded []int
		matchers []eventbustest.Matcher
		ordered  string // what Expect says, "" if it finds all
		any      string // what ExpectInAnyOrder says
	}{
		"its event comes first":    {[]int{1, 9}, []eventbustest.Matcher{is(1).Unless(unless(9))}, "", ""},
		"its event comes too late": {[]int{9, 1}, []eventbustest.Matcher{is(1).Unless(unless(9))}, "matcher 1 gave up at #1: 9 came", "matcher 1 gave up at #1: 9 came"},
		"its event comes, another's is missing": {
			[]int{1, 9, 2}, []eventbustest.Matcher{is(1).Unless(unless(9)), is(2)}, "", "",
		},
		"it is not at its turn": {
			[]int{9, 1, 2}, []eventbustest.Matcher{is(1), is(2).Unless(unless(9))}, "matcher 2 gave up at #1: 9 came", "matcher 2 gave up at #1: 9 came",
		},
		"its own event at its turn": {[]int{1}, []eventbustest.Matcher{is(1).Unless(unless(1))}, "", ""},
		"its own event before its turn": {
			[]int{2, 1, 2}, []eventbustest.Matcher{is(1), is(2).Unless(unless(2))}, "matcher 2 gave up at #1: 2 came", "",
		},
		"the first that gives up": {
			[]int{9}, []eventbustest.Matcher{is(1), is(2).Unless(unless(9)), is(3).Unless(unless(9))}, "matcher 2 gave up at #1: 9 came", "matcher 2 gave up at #1: 9 came",
		},
		"several functions, the first": {
			[]int{7}, []eventbustest.Matcher{is(1).Unless(unless(7)).Unless(unless(9))}, "matcher 1 gave up at #1: 7 came", "matcher 1 gave up at #1: 7 came",
		},
		"several functions, the last": {
			[]int{8, 9}, []eventbustest.Matcher{is(1).Unless(unless(7)).Unless(unless(9))}, "matcher 1 gave up at #2: 9 came", "matcher 1 gave up at #2: 9 came",
		},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(call, want string, expect func(*eventbustest.Recorder, testing.TB) []eventbus.Event) {
				rec := record(t, c.recorded...).Within(0)
				fake := try(func(ft *fakeT) { expect(rec, ft) })
				if want == "" {
					require.Empty(t, fake.said(), call)
					return
				}
				require.Contains(t, fake.said(), "eventbustest: "+call+": "+want+"\n")
			}
			check("Expect", c.ordered, func(r *eventbustest.Recorder, t testing.TB) []eventbus.Event { return r.Expect(t, c.matchers...) })
			check("ExpectInAnyOrder", c.any, func(r *eventbustest.Recorder, t testing.TB) []eventbus.Event {
				return r.ExpectInAnyOrder(t, c.matchers...)
			})
		})
	}
}

func TestUnlessIsNotAskedForClaimedEvents(t *testing.T) {
	rec := record(t, 0, 9, 1)
	rec.Expect(t, is(9))
	rec.Expect(t, is(1).Unless(unless(9)))
}

func TestUnlessLeavesItsMatcherAsItWas(t *testing.T) {
	m := is(1)
	m.Unless(unless(9)).Unless(unless(8))
	require.Equal(t, m.String(), m.Unless(unless(9)).String())
	record(t, 9, 8, 1).Expect(t, m)
}

func TestUnlessIsNotAskedByExpectNone(t *testing.T) {
	rec := record(t, 1)
	rec.ExpectNone(t, is(2).Unless(func(eventbus.Event) error { return errors.New("asked") }))
}

func TestUnlessMisusePanics(t *testing.T) {
	require.PanicsWithValue(t, `eventbustest: Unless of "order_placed": the function is nil`, func() { placed.Unless(nil) })
}
