package eventbuswatermill_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// A pubSub is a Pub/Sub to measure.
type pubSub struct {
	name string

	// openUntilEnd opens one. end closes it and returns what that returns.
	openUntilEnd func(b *testing.B) (p message.Publisher, subscriber func(group string) message.Subscriber, end func() error)
}

var pubSubs = []pubSub{
	{"eventbus", func(b *testing.B) (message.Publisher, func(string) message.Subscriber, func() error) {
		broker := newBroker(b, eventbuswatermill.Config{})
		return broker.Publisher(), func(group string) message.Subscriber { return broker.Subscriber(group) },
			func() error { return broker.Shutdown(ended()) }
	}},
	// Publish starts a goroutine a message, which may overtake another one.
	{"gochannel", goChannel(gochannel.Config{OutputChannelBuffer: 100})},
	// The only way in which gochannel keeps order and is bounded.
	{"gochannel-ordered", goChannel(gochannel.Config{OutputChannelBuffer: 100, BlockPublishUntilSubscriberAck: true})},
}

func goChannel(cfg gochannel.Config) func(b *testing.B) (message.Publisher, func(string) message.Subscriber, func() error) {
	return func(*testing.B) (message.Publisher, func(string) message.Subscriber, func() error) {
		g := gochannel.NewGoChannel(cfg, watermill.NopLogger{})
		return g, func(string) message.Subscriber { return g }, g.Close
	}
}

// open opens p until the benchmark ends.
func (p pubSub) open(b *testing.B) (message.Publisher, func(group string) message.Subscriber) {
	publisher, subscriber, end := p.openUntilEnd(b)
	b.Cleanup(func() { _ = end() })
	return publisher, subscriber
}

// BenchmarkPublishToAck is the time a message from one publisher to the Acks of all
// subscribers, each in a group of its own.
func BenchmarkPublishToAck(b *testing.B) {
	for _, groups := range []int{1, 4} {
		for _, p := range pubSubs {
			b.Run(fmt.Sprintf("groups=%d/%s", groups, p.name), func(b *testing.B) {
				publisher, subscriber := p.open(b)
				done := make(chan struct{}, groups)
				for i := range groups {
					messages, err := subscriber(fmt.Sprint(i)).Subscribe(b.Context(), "topic")
					require.NoError(b, err)
					go func() {
						for range b.N {
							(<-messages).Ack()
						}
						done <- struct{}{}
					}()
				}
				b.ReportAllocs()
				b.ResetTimer()
				publishN(b, publisher)
				for range groups {
					<-done
				}
			})
		}
	}
}

// BenchmarkSharedGroup is the same with several subscriptions in one group.
func BenchmarkSharedGroup(b *testing.B) {
	for _, subscriptions := range []int{2, 10} {
		b.Run(fmt.Sprintf("subscriptions=%d", subscriptions), func(b *testing.B) {
			publisher, subscriber := pubSubs[0].open(b)
			taken := make(chan struct{}, 1000)
			for range subscriptions {
				messages, err := subscriber("group").Subscribe(b.Context(), "topic")
				require.NoError(b, err)
				go func() {
					for m := range messages {
						m.Ack()
						taken <- struct{}{}
					}
				}()
			}
			b.ReportAllocs()
			b.ResetTimer()
			go publishN(b, publisher)
			for range b.N {
				<-taken
			}
		})
	}
}

// BenchmarkRouter is the time a message from one publisher through a router with one
// handler.
func BenchmarkRouter(b *testing.B) {
	for _, p := range pubSubs {
		b.Run(p.name, func(b *testing.B) {
			publisher, subscriber := p.open(b)
			router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
			require.NoError(b, err)
			router.AddMiddleware(eventbuswatermill.CarryContext)
			handled := make(chan struct{}, 1000)
			router.AddConsumerHandler("h", "topic", subscriber("group"), func(*message.Message) error {
				handled <- struct{}{}
				return nil
			})
			go func() { _ = router.Run(context.Background()) }()
			<-router.Running()
			b.ReportAllocs()
			b.ResetTimer()
			go publishN(b, publisher)
			for range b.N {
				<-handled
			}
			b.StopTimer()
			require.NoError(b, router.Close())
		})
	}
}

func publishN(b *testing.B, p message.Publisher) {
	payload := make([]byte, 72)
	for range b.N {
		if err := p.Publish("topic", message.NewMessage("", payload)); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkGroup is what a group costs to make and to end, and what it holds: its bus.
func BenchmarkGroup(b *testing.B) {
	broker := newBroker(b, eventbuswatermill.Config{})
	b.ReportAllocs()
	for range b.N {
		s := broker.Subscriber("")
		if _, err := s.Subscribe(context.Background(), "topic"); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
