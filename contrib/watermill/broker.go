package eventbuswatermill

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

// A Config describes a [Broker]. The zero Config is valid.
type Config struct {
	// Capacity is how many messages may wait in each group of each topic. 0 means 1000.
	Capacity int

	// Grace is how long Close, and the end of a subscription's context, wait for the
	// Ack of the message that is out. 0 means 5 s. Keep it below the CloseTimeout of
	// Watermill's router.
	Grace time.Duration

	// Logger gets what goes wrong: publishes that wait for longer than a second,
	// discarded messages. nil means slog.Default.
	Logger *slog.Logger
}

const (
	defaultCapacity = 1000            // as the bus's data queue
	defaultGrace    = 5 * time.Second // well below the 30 s that a router gives its handlers
)

func (c *Config) complete() error {
	if c.Capacity < 0 {
		return fmt.Errorf("the capacity is %d, want 0 or more", c.Capacity)
	}
	if c.Grace < 0 {
		return fmt.Errorf("the grace time is %v, want 0 or more", c.Grace)
	}
	if c.Capacity == 0 {
		c.Capacity = defaultCapacity
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// A Group names a consumer group of a topic. The name of a subscriber without one is
// "#" and a number.
type Group struct {
	Topic string
	Name  string
}

// A Broker is what publishers and subscribers connect to. Make one with [NewBroker]
// and end it with [Broker.Shutdown]. All methods may be called concurrently.
type Broker struct {
	cfg      Config
	shutdown shutdown

	unnamed   atomic.Uint64 // subscriptions without a group so far
	unrouted  atomic.Uint64
	discarded atomic.Uint64

	mu     sync.RWMutex        // taken before the groups' mu
	topics map[string][]*group // the slices are replaced, never changed
	closed bool                // Shutdown has begun

	live sync.WaitGroup // subscriptions; grows under mu and only until closed
}

// NewBroker returns a broker without topics. It fails if a field of cfg is negative.
func NewBroker(cfg Config) (*Broker, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("eventbus: NewBroker: %w", err)
	}
	return &Broker{cfg: cfg, shutdown: shutdown{done: make(chan struct{})}, topics: make(map[string][]*group)}, nil
}

// groupsOf returns the groups of a topic for a publish. Once Shutdown has begun, only
// subscribers may publish, with the contexts of their messages.
func (b *Broker) groupsOf(topic string, isSubscriber func() bool) ([]*group, error) {
	b.mu.RLock()
	groups, closed := b.topics[topic], b.closed
	b.mu.RUnlock()
	if closed && !isSubscriber() {
		return nil, eventbus.ErrClosed
	}
	return groups, nil
}

// groupLocked returns the group, which it makes if there is none. mu is held.
func (b *Broker) groupLocked(id Group, named bool) (*group, error) {
	if b.closed {
		return nil, eventbus.ErrClosed
	}
	if named {
		for _, g := range b.topics[id.Topic] {
			if g.named && g.id == id {
				return g, nil
			}
		}
	}
	g, err := newGroup(b, id, named)
	if err != nil {
		return nil, err
	}
	b.topics[id.Topic] = append(slices.Clip(b.topics[id.Topic]), g)
	return g, nil
}

// drop ends a group without a name, whose only subscription has left: what it holds is
// discarded. After Shutdown has begun, that hands back what the group holds.
func (b *Broker) drop(g *group) {
	if !b.remove(g) {
		return
	}
	g.stop()
	if err := g.end(); err != nil {
		b.cfg.Logger.Error("a group did not end", "topic", g.id.Topic, "group", g.id.Name, "error", err)
	}
	if n := len(g.takeKept()); n > 0 {
		b.discarded.Add(uint64(n))
		b.cfg.Logger.Warn("discarded the messages of a subscriber that left", "topic", g.id.Topic, "group", g.id.Name, "messages", n)
	}
}

func (b *Broker) remove(g *group) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	g.removed.Store(true)
	rest := slices.DeleteFunc(slices.Clone(b.topics[g.id.Topic]), func(other *group) bool { return other == g })
	if len(rest) == 0 {
		delete(b.topics, g.id.Topic)
	} else {
		b.topics[g.id.Topic] = rest
	}
	return true
}

// checkTopic returns an error if a topic has no name.
func checkTopic(topic string) error {
	if topic == "" {
		return fmt.Errorf("%w: the topic has no name", eventbus.ErrInvalidEvent)
	}
	return nil
}

var errNilContext = errors.New("the context is nil")
