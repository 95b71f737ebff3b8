package eventbuswatermill_test

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// These benchmarks count instead of timing: what comes out of order, and what an end loses.

// BenchmarkOrder publishes 1,000 messages from one goroutine and counts those that come
// after a later one.
func BenchmarkOrder(b *testing.B) {
	for _, p := range pubSubs {
		b.Run(p.name, func(b *testing.B) {
			const n = 1000
			publisher, subscriber := p.open(b)
			messages, err := subscriber("group").Subscribe(b.Context(), "topic")
			require.NoError(b, err)
			late := 0
			for range b.N {
				go publish(b, publisher, "topic", 0, n)
				latest := -1
				for range n {
					m := <-messages
					if id := ids([]*message.Message{m})[0]; id < latest {
						late++
					} else {
						latest = id
					}
					m.Ack()
				}
			}
			b.ReportMetric(float64(late)/float64(b.N), "late/1000")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkEnd publishes 500 messages, acknowledges 10, closes, and counts those that
// neither are in the channel still nor are handed back.
func BenchmarkEnd(b *testing.B) {
	const n, acked = 500, 10
	for _, p := range pubSubs[:2] { // in the third one the publishers wait for Acks
		b.Run(p.name, func(b *testing.B) {
			lost := 0
			for range b.N {
				publisher, subscriber, end := p.openUntilEnd(b)
				s := subscriber("group")
				messages, err := s.Subscribe(b.Context(), "topic")
				require.NoError(b, err)
				publish(b, publisher, "topic", 0, n)
				for range acked {
					(<-messages).Ack()
				}
				left := handedBack(b, end())
				for range messages {
					left++
				}
				lost += n - acked - left
			}
			b.ReportMetric(float64(lost)/float64(b.N), "lost/490")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// handedBack counts the messages in the error of a Shutdown.
func handedBack(b *testing.B, err error) (n int) {
	var left *eventbuswatermill.ShutdownError
	if !errors.As(err, &left) {
		require.NoError(b, err)
		return 0
	}
	for _, messages := range left.Remaining {
		n += len(messages)
	}
	return n
}
