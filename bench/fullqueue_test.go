package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFullQueueMakesOnePublishWaitForTheHandler(t *testing.T) {
	const takes = 5 * time.Millisecond
	for name, open := range map[string]slowOpener{"bus": openSlowBus, "hand": openSlowHand} {
		t.Run(name, func(t *testing.T) {
			s, err := runFull(open, takes)(3)
			require.NoError(t, err)
			require.Greater(t, s.worst, float64(takes)/2)
			require.LessOrEqual(t, s.ns, s.worst)
		})
	}
}

func TestFillUpReportsAQueueThatNeverRefuses(t *testing.T) {
	err := fillUp(&slowQueue{try: func() (bool, error) { return false, nil }})
	require.ErrorContains(t, err, "does not become full")
}
