package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEverySenderSendsEveryEvent(t *testing.T) {
	for _, c := range batchCases {
		for name, send := range map[string]sender{"singly": publishSingly, "batches": publishBatches} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				s, err := c.run(send)(2*dataCapacity + 7) // not all of it in whole batches
				require.NoError(t, err)
				require.Zero(t, s.lost)
			})
		}
	}
}

func TestPlainEventsBesideATopicAreAllHandled(t *testing.T) {
	for _, c := range batchCases {
		t.Run(c.name, func(t *testing.T) {
			s, err := c.run(publishBeside, hearQuotes)(2*dataCapacity + 7)
			require.NoError(t, err)
			require.Zero(t, s.lost)
		})
	}
}
