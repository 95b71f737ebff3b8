package journal

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// A place is where an event was handled.
type place struct {
	session uint64
	queue   eventbus.Queue
	seq     uint64
}

// limits are record numbers, by queue; 0 for none.
type limits [3]uint64

// A plan is what must be known of a whole journal before the first event is replayed.
type plan struct {
	payloads payloads
	sessions []uint64
	last     uint64          // the number of the last record; what is recorded later is not replayed
	caused   map[uint64]bool // the sessions with events that handlers published

	// before says of an event: when it begins, the events from outside in each queue with a
	// lower number than this must have been published. It has those events alone that
	// published something to a queue in which something from outside is ahead of it.
	before map[place]limits
}

// newPlan reads the journal at path, and returns an error if it cannot be replayed.
func newPlan(path string, c *replayConfig) (*plan, error) {
	p := &plan{payloads: c.payloads, caused: make(map[uint64]bool), before: make(map[place]limits)}
	var queues [3]planQueue
	found := false
	for l, err := range (readConfig{}).lines(path, parseLine) {
		switch {
		case err != nil:
			return nil, err
		case l.Manifest != nil:
			found = found || l.Manifest.Session == c.session
			continue
		case c.session != 0 && l.Session != c.session:
			continue
		}
		if n := len(p.sessions); n == 0 || p.sessions[n-1] != l.Session {
			p.sessions = append(p.sessions, l.Session)
			queues = [3]planQueue{}
		}
		if err := p.add(&l.Record, &queues[l.Queue]); err != nil {
			return nil, fmt.Errorf("journal: Replay: %s: record %d: %w", path, l.N, err)
		}
	}
	if c.session != 0 && !found {
		return nil, fmt.Errorf("journal: Replay: %s has no session %d", path, c.session)
	}
	return p, nil
}

// A planQueue is what the plan must know of a queue's records so far.
type planQueue struct {
	outside bool      // one came from outside that before does not cover yet
	causes  [3]uint64 // whose handler published last to this queue: the number of the event, by its own queue
}

// add adds a record of a queue. The events of a queue are handled one after the other, and
// so what one of them has published to another queue comes there in one piece, as far as
// events of the same queue are concerned.
func (p *plan) add(r *Record, q *planQueue) error {
	p.last = r.N
	if r.FromOutside() {
		q.outside = true
		return p.check(r)
	}
	p.caused[r.Session] = true
	first := q.causes[r.Cause.Queue] != r.Cause.Seq
	q.causes[r.Cause.Queue] = r.Cause.Seq
	if q.outside && first { // what comes from outside after its first publish to the queue comes too late
		q.outside = false
		cause := place{r.Session, r.Cause.Queue, r.Cause.Seq}
		before := p.before[cause]
		before[r.Queue] = r.N
		p.before[cause] = before
	}
	return nil
}

// check returns an error if a record from outside cannot be published.
func (p *plan) check(r *Record) error {
	if r.Error != "" {
		return fmt.Errorf("the payload of %s was not recorded: %s", r.Type, r.Error)
	}
	if _, known := p.payloads.byType[r.Type]; !known {
		return fmt.Errorf("nothing says how to decode %s: give its topic with WithTopic", r.Type)
	}
	return nil
}

// decode returns the payload of a record.
func (p *plan) decode(r *Record) (any, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	data, err := p.payloads.byType[r.Type].decode(r.Data)
	if err != nil {
		return nil, fmt.Errorf("record %d: the payload of %s: %w", r.N, r.Type, err)
	}
	return data, nil
}
