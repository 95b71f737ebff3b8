//go:build unix

package eventbusnats_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

func (p *process) signal(t *testing.T, s os.Signal) { require.NoError(t, p.cmd.Process.Signal(s)) }

// A leader whose followers stall for longer than a try answers the second try that the
// message is in process. Publish and the exporter try on, and each event is stored once.
func TestPublishOutlastsAStallOfTheFollowers(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 3)
	first := connectTo(t, urls)
	openTopic(t, first, eventbusnats.WithReplicas(3))
	leader := awaitCluster(t, first, placedStream)
	var followers []*process
	var n *eventbusnats.Node
	for _, s := range servers {
		if s.name == leader {
			n = connectTo(t, s.address())
		} else {
			followers = append(followers, s)
		}
	}
	topic := openTopic(t, n, eventbusnats.WithReplicas(3))
	b := newBus(t)
	x := export(t, topic, b)
	publish(t, topic, 0, 1)
	for _, f := range followers {
		f.signal(t, syscall.SIGSTOP)
	}
	stored := inBackground(func() error {
		_, err := topic.Publish(within(t, patience), newOrder(1))
		return err
	})
	publishOn(t, b, 2, 10)
	time.Sleep(3 * time.Second) // the stall: longer than a try
	for _, f := range followers {
		f.signal(t, syscall.SIGCONT)
	}
	require.NoError(t, receive(t, stored))
	flush(t, b, x)
	require.ElementsMatch(t, numbers(0, 10), storedNumbers(t, n, topic))
}
