package eventbusnats_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPublish is one event, stored.
func BenchmarkPublish(b *testing.B) {
	topic := openTopic(b, newNode(b))
	ctx := within(b, patience*10)
	b.ReportAllocs()
	for n := range b.N {
		_, err := topic.Publish(ctx, newOrder(n))
		require.NoError(b, err)
	}
}
