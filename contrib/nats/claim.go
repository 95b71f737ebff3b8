package eventbusnats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Two importers of one group would each get some of its events, in no order. Whoever
// imports holds a claim: it listens to a subject that is the group's, and answers who asks
// there. The claim ends with the importer, its process or its connection: there is no lease
// that would have to run out.
//
// Two importers that begin at once may both ask before either listens. So each asks again
// once it listens, and the older claim answers the younger, which gives way. Where a network
// was cut in two, both parts may have an importer: each makes the other start over once they
// meet, and an importer that starts over asks again.

// claimTimeout is how long who asks waits for an answer, if somebody listens and does not
// answer: one that has just died, and is still in the routing tables.
const claimTimeout = time.Second

type claim struct {
	conn    *nats.Conn
	subject string
	who     claimant
	listen  *nats.Subscription // for those who ask
	answers *nats.Subscription // to what this one asked
}

// A claimant is what is asked with and answered with.
type claimant struct {
	ID    string
	Since time.Time
	Host  string
	PID   int
}

// precedes reports whether c is to stay and other to go.
func (c claimant) precedes(other claimant) bool {
	if !c.Since.Equal(other.Since) {
		return c.Since.Before(other.Since)
	}
	return c.ID < other.ID
}

// newClaim claims a subject. It returns ErrGroupInUse if another claim answers. lose is
// called, on a goroutine of the connection, when an older claim turns up later.
func newClaim(ctx context.Context, conn *nats.Conn, subject string, lose func(error)) (*claim, error) {
	c := &claim{conn: conn, subject: subject, who: claimant{ID: nuid.Next(), Since: time.Now(), PID: os.Getpid()}}
	c.who.Host, _ = os.Hostname()
	if err := c.askFirst(ctx); err != nil {
		return nil, err
	}
	var err error
	if c.answers, err = conn.Subscribe(conn.NewInbox(), func(m *nats.Msg) { lose(inUse(m.Data)) }); err != nil {
		return nil, err
	}
	if c.listen, err = conn.Subscribe(subject, c.answer); err != nil {
		c.release()
		return nil, err
	}
	if err := c.ask(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// askFirst asks before this claim listens: whoever listens was here first.
func (c *claim) askFirst(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	answer, err := c.conn.RequestWithContext(asking, c.subject, nil)
	switch {
	case err == nil:
		return inUse(answer.Data)
	case ctx.Err() != nil: // the caller's time is over: that nobody has answered tells nothing
		return ctx.Err()
	case errors.Is(err, nats.ErrNoResponders), asking.Err() != nil:
		return nil
	}
	return err
}

// ask asks those who listen. An answer loses the claim.
func (c *claim) ask() error {
	data, err := json.Marshal(c.who)
	if err != nil {
		return err
	}
	return c.conn.PublishRequest(c.subject, c.answers.Subject, data)
}

// answer answers one that asks, unless that is this claim or an older one.
func (c *claim) answer(m *nats.Msg) {
	var asks claimant
	if len(m.Data) > 0 && (json.Unmarshal(m.Data, &asks) != nil || asks.ID == c.who.ID || asks.precedes(c.who)) {
		return
	}
	if data, err := json.Marshal(c.who); err == nil {
		_ = m.Respond(data) // if that fails, who asks takes the group, and is found later
	}
}

func inUse(answer []byte) error {
	var who claimant
	if err := json.Unmarshal(answer, &who); err != nil {
		return fmt.Errorf("%w: its answer is %q", ErrGroupInUse, answer)
	}
	return fmt.Errorf("%w: in process %d of host %q, since %s", ErrGroupInUse, who.PID, who.Host, who.Since.Format(time.RFC3339))
}

// release ends the claim.
func (c *claim) release() {
	for _, s := range []*nats.Subscription{c.listen, c.answers} {
		if s != nil {
			_ = s.Unsubscribe() // it fails if the connection is closed, which ends it too
		}
	}
}
