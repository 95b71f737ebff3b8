package eventbusprometheus_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// Subscriptions of one name and type are one series: two with the same labels would make
// the whole scrape fail.
func TestCollectorSumsSubscriptionsOfOneNameAndType(t *testing.T) {
	b := newBus(t, eventbus.WithLatencies())
	for range 2 {
		b.SubscribeFunc(tick, func(context.Context, eventbus.Event) error { return errors.New("no") }, eventbus.WithName("risk"), eventbus.DisableAfter(100))
	}
	b.SubscribeAll(eventbus.HandlerFunc(nothing), eventbus.WithName("risk"))
	b.SubscribeFunc("*", nothing, eventbus.WithName("risk")) // has the labels of the tap
	step(t, b, 100)
	reg := registry(t, collector(b))
	calls := scrape(t, reg, "eventbus_handler_calls_total")
	require.Len(t, calls, 2)
	require.EqualValues(t, 100, calls[0].GetCounter().GetValue(), "*")
	require.EqualValues(t, 200, calls[1].GetCounter().GetValue(), "tick")
	require.EqualValues(t, 200, total(t, reg, "eventbus_handler_failures_total"))
	require.EqualValues(t, 2, scrape(t, reg, "eventbus_handler_disabled")[1].GetGauge().GetValue())
	var took uint64
	for _, h := range b.Latencies().Handlers[:2] {
		took += h.Took.Count()
	}
	require.Positive(t, took)
	require.Equal(t, took, scrape(t, reg, "eventbus_handler_duration_seconds")[1].GetHistogram().GetSampleCount())
}

// A sum that fell when one of its subscriptions leaves would look like a restart, and all of
// it would be counted again.
func TestCollectorKeepsWhatASubscriptionThatLeavesHasDone(t *testing.T) {
	b := newBus(t, eventbus.WithLatencies())
	reg := registry(t, collector(b))
	subscribe := func() *eventbus.Subscription {
		return b.SubscribeFunc(tick, nothing, eventbus.WithName("risk"))
	}
	calls := func() float64 { return total(t, reg, "eventbus_handler_calls_total") }
	samples := func() uint64 {
		return scrape(t, reg, "eventbus_handler_duration_seconds")[0].GetHistogram().GetSampleCount()
	}
	one, two := subscribe(), subscribe()
	step(t, b, 100)
	require.EqualValues(t, 200, calls())
	before := samples()

	one.Unsubscribe()
	require.EqualValues(t, 200, calls())
	require.EqualValues(t, 200, calls(), "at the second scrape too")
	require.Equal(t, before, samples())

	subscribe()
	two.Unsubscribe()
	step(t, b, 1)
	require.EqualValues(t, 201, calls(), "another has taken its place")
}

// When the last subscription of a name leaves, its series ends and nothing of it is kept.
func TestCollectorForgetsANameThatNobodyHas(t *testing.T) {
	b := newBus(t)
	reg := registry(t, collector(b))
	s := b.SubscribeFunc(tick, nothing, eventbus.WithName("risk"))
	step(t, b, 10)
	require.EqualValues(t, 10, total(t, reg, "eventbus_handler_calls_total"))
	s.Unsubscribe()
	require.Empty(t, scrape(t, reg, "eventbus_handler_calls_total"))
	b.SubscribeFunc(tick, nothing, eventbus.WithName("risk"))
	require.EqualValues(t, 0, total(t, reg, "eventbus_handler_calls_total"))
}

// What is disabled is told of the subscriptions that there are.
func TestCollectorCountsNoDisabledSubscriptionThatHasLeft(t *testing.T) {
	b := newBus(t)
	reg := registry(t, collector(b))
	fail := func(context.Context, eventbus.Event) error { return errors.New("no") }
	s := b.SubscribeFunc(tick, fail, eventbus.WithName("risk"), eventbus.DisableAfter(1))
	b.SubscribeFunc(tick, nothing, eventbus.WithName("risk"))
	step(t, b, 1)
	disabled := func() float64 { return scrape(t, reg, "eventbus_handler_disabled")[0].GetGauge().GetValue() }
	require.EqualValues(t, 1, disabled())
	s.Unsubscribe()
	require.EqualValues(t, 0, disabled())
	require.EqualValues(t, 1, total(t, reg, "eventbus_handler_failures_total"))
}

// A subscription by pattern has the pattern for its type.
func TestCollectorNamesAPatternAsTheType(t *testing.T) {
	b := newBus(t)
	b.SubscribeMatch("t*", eventbus.HandlerFunc(nothing), eventbus.WithName("risk"))
	step(t, b, 3)
	calls := scrape(t, registry(t, collector(b)), "eventbus_handler_calls_total")
	require.Len(t, calls, 1)
	require.EqualValues(t, 3, calls[0].GetCounter().GetValue())
	require.Equal(t, "t*", calls[0].GetLabel()[1].GetValue())
}
