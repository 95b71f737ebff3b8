package inspect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
)

// samples is the tap that keeps a sample of the events: from each frame to the next the
// first few of each type, so that a rare order is seen beside a flood of ticks.
//
// An event that is not taken costs a look into a small map and an atomic load. It is not
// counted, and not asked for its queue: a DeliveryFrom alone costs more than that.
type samples struct {
	format func(eventbus.Event) string // nil: payloads are not shown
	gates  atomic.Pointer[map[eventbus.EventType]*gate]

	mu   sync.Mutex
	kept [3][]sample // by queue, the newest last
}

// A gate says how many events of a type are taken until the next frame: 0 or less, none.
type gate struct{ left atomic.Int32 }

const (
	perFrame   = 10  // samples of a type from one frame to the next
	keptAQueue = 40  // samples of a queue that a frame shows
	maxTypes   = 64  // that have a gate of their own, in case a program makes up types without end
	maxPayload = 500 // bytes of a payload
)

// otherTypes is the gate of the types beyond maxTypes. No event has the empty type.
const otherTypes eventbus.EventType = ""

func (s *samples) init() {
	other := new(gate)
	other.left.Store(perFrame)
	s.gates.Store(&map[eventbus.EventType]*gate{otherTypes: other})
}

// A sample is what the page shows of an event.
type sample struct {
	Queue   eventbus.Queue     `json:"queue"`
	Seq     uint64             `json:"seq"`
	Type    eventbus.EventType `json:"type"`
	Source  string             `json:"source"`
	Age     *float64           `json:"age,omitempty"` // seconds, by the machine's clock; nil without Event.Time
	Payload string             `json:"payload,omitempty"`
	Cause   *cause             `json:"cause,omitempty"`
}

// A cause is where an event comes from.
type cause struct {
	Queue eventbus.Queue `json:"queue"` // of the event whose handler has published this one
	Seq   uint64         `json:"seq"`
	Root  origin         `json:"root"`
	Hops  int            `json:"hops"`
}

// An origin is the event that a chain of causes goes back to.
type origin struct {
	Queue  eventbus.Queue     `json:"queue"`
	Seq    uint64             `json:"seq"`
	Type   eventbus.EventType `json:"type"`
	Before *float64           `json:"before,omitempty"` // seconds from the root's Time to the event's; nil where one has none
}

// Handle takes the event, or not. It never fails.
func (s *samples) Handle(ctx context.Context, e eventbus.Event) error {
	g := (*s.gates.Load())[e.Type]
	if g == nil {
		g = s.gateOf(e.Type)
	}
	if g.left.Load() > 0 && g.left.Add(-1) >= 0 {
		s.take(ctx, e)
	}
	return nil
}

// gateOf returns the gate of a type that had none. The map is replaced, never changed.
func (s *samples) gateOf(t eventbus.EventType) *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	gates := *s.gates.Load()
	if g := gates[t]; g != nil {
		return g
	}
	if len(gates) > maxTypes {
		return gates[otherTypes]
	}
	g := new(gate)
	g.left.Store(perFrame)
	gates = maps.Clone(gates)
	gates[t] = g
	s.gates.Store(&gates)
	return g
}

// take keeps e, which a middleware of the bus may have changed.
func (s *samples) take(ctx context.Context, e eventbus.Event) {
	d, ok := eventbus.DeliveryFrom(ctx)
	if !ok {
		return
	}
	d.Event = e
	n := sampleOf(d, s.payload(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[d.Queue] = append(trim(s.kept[d.Queue], keptAQueue-1), n)
}

func sampleOf(d eventbus.Delivery, payload string) sample {
	n := sample{Queue: d.Queue, Seq: d.Seq, Type: d.Event.Type, Source: d.Event.Source, Payload: payload, Cause: causeOf(d)}
	if t := d.Event.Time; !t.IsZero() {
		n.Age = new(time.Since(t).Seconds())
	}
	return n
}

func causeOf(d eventbus.Delivery) *cause {
	c := d.Cause
	if c == nil {
		return nil
	}
	shown := &cause{Queue: c.Queue, Seq: c.Seq, Hops: c.Hops, Root: origin{Queue: c.Root.Queue, Seq: c.Root.Seq, Type: c.Root.Type}}
	if !d.Event.Time.IsZero() && !c.Root.Time.IsZero() {
		shown.Root.Before = new(d.Event.Time.Sub(c.Root.Time).Seconds())
	}
	return shown
}

// payload returns what format makes of e.
func (s *samples) payload(e eventbus.Event) (text string) {
	if s.format == nil {
		return ""
	}
	defer func() {
		if v := recover(); v != nil {
			text = shorten(fmt.Sprintf("the formatter panicked: %v", v), maxPayload)
		}
	}()
	return shorten(s.format(e), maxPayload)
}

// refill lets events be taken until the next frame.
func (s *samples) refill() {
	for _, g := range *s.gates.Load() {
		g.left.Store(perFrame)
	}
}

// recent returns the samples of all queues, the newest of each first.
func (s *samples) recent() []sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []sample{}
	for _, kept := range s.kept {
		for _, n := range slices.Backward(kept) {
			all = append(all, n)
		}
	}
	return all
}

// forget lets go of the samples and of the types.
func (s *samples) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = [3][]sample{}
	s.init()
}
