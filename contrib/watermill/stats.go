package eventbuswatermill

import (
	"cmp"
	"slices"

	"github.com/eventbus-go/eventbus"
)

// Stats are a broker's accounts at one moment.
type Stats struct {
	Groups    []GroupStats // by topic and name
	Unrouted  uint64       // messages that were published to a topic without a group
	Discarded uint64       // messages that were left when a subscription without a group's name ended
}

// GroupStats are the accounts of one group.
type GroupStats struct {
	Group
	Subscriptions int    // not ended
	Waiting       int    // messages in the queue, without the one that is out
	Acked         uint64 // messages that were acknowledged
	Redelivered   uint64 // deliveries of messages that had been delivered before
}

// Stats returns the broker's accounts. It waits for no subscriber, and may be called at
// any time, after Shutdown too.
func (b *Broker) Stats() Stats {
	s := Stats{Unrouted: b.unrouted.Load(), Discarded: b.discarded.Load()}
	b.mu.RLock()
	var groups []*group
	for _, gs := range b.topics {
		groups = append(groups, gs...)
	}
	b.mu.RUnlock()
	for _, g := range groups {
		s.Groups = append(s.Groups, g.stats())
	}
	slices.SortFunc(s.Groups, func(a, b GroupStats) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Name, b.Name))
	})
	return s
}

func (g *group) stats() GroupStats {
	q := g.bus.Stats().Queues[eventbus.OrderQueue]
	return GroupStats{
		Group: g.id, Subscriptions: len(g.subscriptions()), Waiting: q.Depth + q.Deferred,
		Acked: g.acked.Load(), Redelivered: g.redelivered.Load(),
	}
}
