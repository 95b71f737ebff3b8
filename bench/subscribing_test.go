package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubscribingMeetsThoseWhoAreThere(t *testing.T) {
	for name, open := range map[string]func() (*registry, error){"bus": openRegistryBus, "hand": openRegistryHand} {
		t.Run(name, func(t *testing.T) {
			s, err := runSubscribing(open)(100)
			require.NoError(t, err)
			require.Positive(t, s.ns)
		})
	}
}

func TestSubscribingReportsAHandlerThatStays(t *testing.T) {
	stays := func() (*registry, error) {
		c, err := openRegistryHand()
		return &registry{
			subscribe: func(h handler) func() { c.subscribe(h); return func() {} }, publish: c.publish, close: c.close,
		}, err
	}
	_, err := runSubscribing(stays)(3)
	require.ErrorContains(t, err, "met 3 handlers of 0")
}
