package journal

import (
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// An Outcome finds the events of a topic in a journal that end an intent. [By] makes one.
type Outcome interface {
	source() (eventbus.EventType, func(*Record) (id string, err error))
}

// A Key finds the events of a topic by the identifier in their payload. Make one with [By].
type Key[T any] struct {
	payload payload
	id      func(T) string
}

// By returns how the events of a topic are identified: by what id returns of the payload,
// such as the number of the order. codec is that with which the topic was recorded, JSON if
// none is given. It panics if the topic is the zero Topic, if id is nil, and if the codec
// lacks a field or there are several.
func By[T any](topic eventbus.Topic[T], id func(T) string, codec ...Codec[T]) Key[T] {
	if id == nil {
		panic("journal: By: the function is nil")
	}
	return Key[T]{newPayload("By", topic, codec), id}
}

// read returns the payload of a record, which was recorded, and its identifier.
func (k Key[T]) read(r *Record) (data T, id string, err error) {
	if len(r.Data) > 0 {
		decoded, err := k.payload.decode(r.Data)
		if err != nil {
			return data, "", fmt.Errorf("the payload of %s: %w", r.Type, err)
		}
		data, _ = decoded.(T) // nil, of an interface
	}
	return data, k.id(data), nil
}

func (k Key[T]) source() (eventbus.EventType, func(*Record) (string, error)) {
	return k.payload.info.Type, func(r *Record) (string, error) {
		_, id, err := k.read(r)
		return id, err
	}
}

// An Intent is an event that says what was going to be done, such as an order to be sent.
type Intent[T any] struct {
	ID     string // what the function of By has returned
	Data   T      // the payload
	Record Record // as the journal holds it
}

// Pending returns the intents of the journal at path, over all its sessions and in order,
// that no outcome with the same identifier has followed: those that a process that was killed
// may or may not have carried out. Nobody but the other side can tell which. So ask the
// exchange about each, and publish what it answers; never send one again blindly.
//
//	open, err := journal.Pending("day.journal",
//		journal.By(orders, func(o Order) string { return o.ID }),
//		journal.By(fills, func(f Fill) string { return f.OrderID }),
//		journal.By(rejects, func(r Reject) string { return r.OrderID }))
//
// For that the intents are recorded with [Journal.Before], which also covers outcomes that
// were recorded before them. An outcome for which its function returns "" ends nothing: one
// fill of several. An intent without an identifier is an error; one whose identifier has
// been pending already takes the place of the first, as an order that is changed does.
//
// Call Pending before [Open], or beside a Journal. A torn tail is nothing that was acted on.
// Nor is an intent whose payload could not be encoded, so that its record has an Error: Before
// has not let it pass, and Pending passes over it. An outcome of that kind ends nothing, so its
// intent stays in the list. If the file is damaged the error is a [*DamageError], since an
// outcome may be missing; a payload that cannot be decoded is an error, too. An outcome of the
// type of the intent, and two of one type, panic.
func Pending[T any](path string, intent Key[T], outcomes ...Outcome) ([]Intent[T], error) {
	if intent.id == nil {
		panic("journal: Pending: the intent is empty; make it with By")
	}
	s := newPendingSet(intent, outcomes)
	for r, err := range Read(path) {
		if err != nil {
			return nil, err
		}
		if err := s.add(&r); err != nil {
			return nil, fmt.Errorf("journal: Pending: %s: record %d: %w", path, r.N, err)
		}
	}
	return s.list(), nil
}

// A pendingSet is the intents so far.
type pendingSet[T any] struct {
	intent   Key[T]
	outcomes map[eventbus.EventType]func(*Record) (string, error)
	intents  []Intent[T]
	ended    []bool         // by intent
	at       map[string]int // the index of each that is pending, by identifier
}

func newPendingSet[T any](intent Key[T], outcomes []Outcome) *pendingSet[T] {
	s := &pendingSet[T]{intent: intent, outcomes: make(map[eventbus.EventType]func(*Record) (string, error)), at: make(map[string]int)}
	for _, o := range outcomes {
		if o == nil {
			panic("journal: Pending: an outcome is nil")
		}
		t, read := o.source()
		switch {
		case t == "":
			panic("journal: Pending: an outcome is empty; make it with By")
		case t == intent.payload.info.Type:
			panic(fmt.Sprintf("journal: Pending: %s is the intent and an outcome", t))
		case s.outcomes[t] != nil:
			panic(fmt.Sprintf("journal: Pending: %s is an outcome twice", t))
		}
		s.outcomes[t] = read
	}
	return s
}

func (s *pendingSet[T]) add(r *Record) error {
	if r.Error != "" { // Before has let no intent pass without its payload; an outcome says of nothing that it ended
		return nil
	}
	if r.Type == s.intent.payload.info.Type {
		data, id, err := s.intent.read(r)
		switch {
		case err != nil:
			return err
		case id == "":
			return errors.New("the intent has no identifier")
		}
		s.end(id)
		s.at[id] = len(s.intents)
		s.intents, s.ended = append(s.intents, Intent[T]{id, data, *r}), append(s.ended, false)
		return nil
	}
	read, isOutcome := s.outcomes[r.Type]
	if !isOutcome {
		return nil
	}
	id, err := read(r)
	if err == nil {
		s.end(id)
	}
	return err
}

// end ends the intent that is pending with an identifier, if there is one.
func (s *pendingSet[T]) end(id string) {
	if i, pending := s.at[id]; pending {
		delete(s.at, id)
		s.ended[i] = true
		s.intents[i] = Intent[T]{} // a day has many that are done
	}
}

func (s *pendingSet[T]) list() (open []Intent[T]) {
	for i, intent := range s.intents {
		if !s.ended[i] {
			open = append(open, intent)
		}
	}
	return open
}
