package eventbusnats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A consumer is a group's place in a stream, as the server keeps it. One goroutine uses it.
type consumer struct {
	stream  *stream
	durable string
	ackWait time.Duration

	created time.Time // of the stream, to see that it was deleted and made anew
	last    uint64    // the sequence of the last event that is done; 0 if none is known
	lastAt  time.Time // the latest time at which an event was stored that this importer has done
}

// isDone reports whether a message was handled before, so that only its acknowledgement was
// lost. The sequence alone does not tell: a server that loses the end of its stream in a
// power cut gives the same sequences to other events, which it stores later.
func (c *consumer) isDone(seq uint64, storedAt time.Time) bool {
	return seq <= c.last && !storedAt.After(c.lastAt)
}

// noteDone notes that a message is done. last goes back when the stream has lost its end.
func (c *consumer) noteDone(seq uint64, storedAt time.Time) {
	c.last = seq
	if storedAt.After(c.lastAt) { // leaders of a cluster have different clocks
		c.lastAt = storedAt
	}
}

const (
	// With less than 256 messages ahead the consumer stalls for two heartbeats now and then.
	// They are in memory: 256 MiB if each is as large as the server takes by default.
	prefetch  = 256
	heartbeat = 500 * time.Millisecond
	expiry    = 2 * time.Second // of a request for messages; at least two heartbeats

	maxAckPending = 2 * prefetch
)

// consumerFields are the fields on which a promise depends.
var consumerFields = []string{
	"AckPolicy", "AckWait", "MaxDeliver", "BackOff", "FilterSubject", "FilterSubjects", "ReplayPolicy", "RateLimit", "MaxAckPending",
	"HeadersOnly", "InactiveThreshold", "MemoryStorage", "PriorityGroups", "DeliverSubject", "DeliverPolicy",
}

func (c *consumer) config() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: c.durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.ackWait, MaxDeliver: -1, MaxAckPending: maxAckPending,
		DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
	}
}

// open creates the consumer if there is none, behind the last event that is done, and else
// compares it with what it is to be. It is one try.
func (c *consumer) open(ctx context.Context) error {
	_, err := c.find(ctx)
	return err
}

func (c *consumer) find(ctx context.Context) (jetstream.Consumer, error) {
	js := c.stream.node.jsIn
	s, err := js.Stream(ctx, c.stream.name)
	if err != nil {
		return nil, err
	}
	if created := s.CachedInfo().Created; !created.Equal(c.created) {
		c.created, c.last, c.lastAt = created, 0, time.Time{} // sequences have begun anew
	}
	c.last = min(c.last, s.CachedInfo().State.LastSeq) // it is less if the server has lost the end
	found, err := s.Consumer(ctx, c.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return s.CreateConsumer(ctx, c.behindLast())
	}
	if err != nil {
		return nil, err
	}
	has, want := found.CachedInfo().Config, c.config()
	if has.DeliverPolicy == jetstream.DeliverByStartSequencePolicy { // made by behindLast
		want.DeliverPolicy = has.DeliverPolicy
	}
	return found, differences("consumer "+c.durable, consumerFields, has, want)
}

// behindLast returns the configuration of a consumer that was deleted while its importer
// worked: it goes on where it was.
func (c *consumer) behindLast() jetstream.ConsumerConfig {
	cfg := c.config()
	if c.last > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, c.last+1
	}
	return cfg
}

// messages returns the messages behind the last acknowledged one, from the first on: a reset
// makes what was sent before, to an importer that is gone, come again at once and in order.
func (c *consumer) messages(ctx context.Context) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	reset, err := c.stream.node.jsIn.ResetConsumer(ctx, c.stream.name, c.durable)
	if err != nil {
		return nil, err
	}
	c.last = max(c.last, reset.AckFloor.Stream)
	return found.Messages(jetstream.PullMaxMessages(prefetch), jetstream.PullExpiry(expiry), jetstream.PullHeartbeat(heartbeat))
}

// firstAfterLast returns the sequence of the first message behind the last one that is
// done, as the stream's leader knows it.
func (c *consumer) firstAfterLast(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := c.stream.node.jsIn.Stream(ctx, c.stream.name)
	if err != nil {
		return 0, err
	}
	m, err := s.GetMsg(ctx, c.last+1, jetstream.WithGetMsgSubject(c.stream.subject))
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}
