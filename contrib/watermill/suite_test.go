package eventbuswatermill_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	eventbuswatermill "github.com/eventbus-go/eventbus/contrib/watermill"
)

// suiteConfig has room for what the suite publishes before it subscribes. One test of the
// suite closes without an Ack and waits for the grace time. With -short the suite sends
// fewer messages.
var suiteConfig = eventbuswatermill.Config{Capacity: 16384, Grace: 200 * time.Millisecond}

// TestUniversalSuiteSingle gives each test of the suite a broker of its own.
func TestUniversalSuiteSingle(t *testing.T) {
	features := tests.Features{ExactlyOnceDelivery: true, GuaranteedOrder: true, RequireSingleInstance: true}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		b := newBroker(t, suiteConfig)
		return b.Publisher(), b.Subscriber("default")
	}, nil)
}

// TestUniversalSuiteBroker runs the suite on one broker with many clients.
func TestUniversalSuiteBroker(t *testing.T) {
	runOnBroker(t, tests.Features{ConsumerGroups: true, ExactlyOnceDelivery: true, GuaranteedOrder: true, Persistent: true})
}

// TestUniversalSuiteBrokerClosing runs the two tests of the suite, too, that are skipped
// with ExactlyOnceDelivery: they close subscribers with messages out.
func TestUniversalSuiteBrokerClosing(t *testing.T) {
	runOnBroker(t, tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true})
}

func runOnBroker(t *testing.T, features tests.Features) {
	b := newBroker(t, suiteConfig)
	group := func(_ *testing.T, name string) (message.Publisher, message.Subscriber) {
		return b.Publisher(), b.Subscriber(name)
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) { return group(t, "default") }, group)
}
