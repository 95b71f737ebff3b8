package eventbus

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/lockrank"
)

// A table leads from event types to handlers. Whoever subscribes or unsubscribes
// changes the route of the type, and its list is made anew when the next event asks
// for it: so many handlers come and go at no more than the cost of finding their
// place.
type table struct {
	routes sync.Map                        // of EventType to *route; written under mu
	wide   atomic.Pointer[[]*Subscription] // taps and patterns in their order, nil if there are none; replaced under mu
	kept   sync.Map                        // of EventType to *retention; written under mu

	mu       lockrank.Mutex
	lastID   uint64
	orphans  int             // how many routes have no subscription of their own
	disabled []*Subscription // taken out by DisableAfter
	over     bool            // Shutdown is complete

	asked    map[*Subscription]struct{} // for their Done, which is not about to be closed
	payloads map[EventType]payloadUse
}

// A payloadUse says what the handlers of topics take of an event type. Interfaces, which
// several types implement, are none.
type payloadUse struct {
	payload reflect.Type
	subs    int // how many subscriptions hold it
}

// A route leads from an event type to its handlers.
type route struct {
	eventType EventType
	subs      []*Subscription // to this type alone, in their order; guarded by table.mu
	wide      []*Subscription // the taps and patterns that match it, in their order; guarded by table.mu

	// list is nil when it must be made anew, or the route is out of the table.
	// Written under table.mu.
	list atomic.Pointer[handlerList]
}

// giveUpListLocked makes the next event ask for a new list.
func (r *route) giveUpListLocked() {
	if l := r.list.Swap(nil); l != nil {
		l.current.Store(false)
	}
}

// A handlerList is the handlers of a type at one time. Only current changes.
type handlerList struct {
	eventType EventType
	calls     []func(context.Context, Event) error // of subs
	expired   bool                                 // of an event that was too old
	unheard   bool                                 // no handler of subs acts on the event: there are at most taps and a retainer
	current   atomic.Bool                          // it is the list of its route; written under table.mu
	subs      []*Subscription                      // in the order in which they are called
}

// A subState says where a subscription is.
type subState uint8

const (
	subAway     subState = iota // it is on its way, or has left
	subListed                   // events reach it
	subDisabled                 // DisableAfter has taken it out
)

// newHandlerList returns the list of subs. table.mu is held.
func newHandlerList(t EventType, subs []*Subscription) *handlerList {
	l := &handlerList{eventType: t, subs: subs}
	for _, s := range subs {
		l.calls = append(l.calls, s.call)
	}
	l.unheard = !slices.ContainsFunc(subs, (*Subscription).isHeard)
	return l
}

// isHeard reports whether s acts on the events that it gets.
func (s *Subscription) isHeard() bool { return !s.isTap() && !s.retainer }

// noHandlers is the list of a type that has no handler.
var noHandlers = &handlerList{unheard: true}

// newExpiredList returns the list of an event of type t that was too old: no tap gets it.
func newExpiredList(t EventType) *handlerList {
	return &handlerList{eventType: t, unheard: true, expired: true}
}

// serves reports whether l is still the list of t.
func (l *handlerList) serves(t EventType) bool {
	return l != nil && l.eventType == t && l.current.Load()
}

// isStale reports whether l is no route's list any more.
func (l *handlerList) isStale() bool { return l != nil && !l.current.Load() }

// count adds n calls to every handler that does not count for itself.
func (l *handlerList) count(n uint64) {
	if n > 0 {
		for _, s := range l.subs {
			if s.filter == nil {
				s.calls.Add(n)
			}
		}
	}
}

// countFirst adds a call to the first n handlers.
func (l *handlerList) countFirst(n int) {
	first := handlerList{subs: l.subs[:n]}
	first.count(1)
}

// firstHandler returns the index of the first handler: what Retain needs comes before.
func (l *handlerList) firstHandler() int {
	if len(l.subs) > 0 && l.subs[0].retainer {
		return 1
	}
	return 0
}

// firstCut returns the first handler that the kill switch keeps from being called, for a
// processor at handler i, which has been called or not.
func (l *handlerList) firstCut(i int, called bool) int {
	if called {
		i++
	}
	return max(i, l.firstHandler()+1)
}

// isReached reports whether every event reaches a handler of the list.
func (l *handlerList) isReached() bool {
	return slices.ContainsFunc(l.subs, func(s *Subscription) bool { return s.isHeard() && s.filter == nil })
}

// interrupted describes e, whose handlers from the i-th on are not called.
func (l *handlerList) interrupted(q Queue, e Event, i int) *InterruptedEvent {
	c := &InterruptedEvent{Event: e, Queue: q}
	for _, s := range l.subs[i:] {
		if !s.retainer {
			c.Handlers = append(c.Handlers, s.name)
		}
	}
	return c
}

// maxOrphans bounds what taps and patterns make the bus remember about types that nobody
// has subscribed to, in case a program makes up types without end. The list of a type
// beyond it is made anew for each event.
const maxOrphans = 4096

// inOrder compares subscriptions in the order in which handlers are called.
func inOrder(a, b *Subscription) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.id, b.id))
}

// subscribe puts s into the table, with the next id.
func (b *Bus) subscribe(s *Subscription) {
	if over := b.table.subscribe(s); over {
		b.logLate(s)
	}
}

func (t *table) subscribe(s *Subscription) (over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastID++
	s.id = t.lastID
	t.addLocked(s)
	return t.over
}

// addLocked puts s, which has its id, into the table.
func (t *table) addLocked(s *Subscription) {
	s.state = subListed
	if s.isWide() {
		t.addWideLocked(s)
		return
	}
	r := t.route(s.eventType)
	if r == nil {
		r = t.addRouteLocked(s.eventType)
	} else if len(r.subs) == 0 {
		t.orphans--
	}
	r.subs = insert(r.subs, s)
	r.giveUpListLocked()
}

// insert puts s in its place among subs.
func insert(subs []*Subscription, s *Subscription) []*Subscription {
	i, _ := slices.BinarySearchFunc(subs, s, inOrder)
	return slices.Insert(subs, i, s)
}

// remove takes s out of subs.
func remove(subs []*Subscription, s *Subscription) []*Subscription {
	i, found := slices.BinarySearchFunc(subs, s, inOrder)
	if !found {
		return subs
	}
	return slices.Delete(subs, i, i+1)
}

// removeLocked takes s out of the table and reports whether it was there.
func (t *table) removeLocked(s *Subscription) bool {
	if s.state != subListed {
		return false
	}
	s.state = subAway
	if s.isWide() {
		t.removeWideLocked(s)
		return true
	}
	r := t.route(s.eventType)
	r.subs = remove(r.subs, s)
	r.giveUpListLocked()
	if len(r.subs) == 0 {
		t.routes.Delete(s.eventType)
	}
	return true
}

// unsubscribe takes s out of wherever it is and lets go of its handler.
func (b *Bus) unsubscribe(s *Subscription) {
	if b.table.unsubscribe(s) {
		b.withdrawJoiner(s.joins)
	}
	b.letGoOfStale()
	b.closeDone(s)
}

// withdrawJoiner takes j back, which Flush may wait for: if the processor has begun it
// already, nothing else tells that it is gone.
func (b *Bus) withdrawJoiner(j *joiner) {
	j.queue.withdrawJoiner(j)
	b.changed()
}

// unsubscribe reports whether s was on its way to the table.
func (t *table) unsubscribe(s *Subscription) (onItsWay bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.call == nil {
		return false
	}
	onItsWay = s.state == subAway
	if s.state == subDisabled {
		t.disabled = remove(t.disabled, s)
	}
	t.letGoOfPayloadLocked(s)
	t.removeLocked(s)
	s.call, s.state = nil, subAway
	return onItsWay
}

// drop gives up s, which will not arrive in the table.
func (t *table) drop(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.call = nil
	t.letGoOfPayloadLocked(s)
}

// holdPayload counts s among those who hold its payload, or returns the other payload
// that is held.
func (t *table) holdPayload(s *Subscription) (other reflect.Type) {
	t.mu.Lock()
	defer t.mu.Unlock()
	use := t.payloads[s.eventType]
	if use.subs > 0 && use.payload != s.payload {
		return use.payload
	}
	if t.payloads == nil {
		t.payloads = make(map[EventType]payloadUse)
	}
	t.payloads[s.eventType] = payloadUse{s.payload, use.subs + 1}
	s.holds = true
	return nil
}

// letGoOfPayloadLocked ends what holdPayload began. To call it again does nothing.
func (t *table) letGoOfPayloadLocked(s *Subscription) {
	if !s.holds {
		return
	}
	s.holds = false
	use := t.payloads[s.eventType]
	if use.subs--; use.subs == 0 {
		delete(t.payloads, s.eventType)
		return
	}
	t.payloads[s.eventType] = use
}

// disable takes s out of the table, but not out of the accounts, and reports
// whether it was there.
func (b *Bus) disable(s *Subscription) bool {
	if !b.table.disable(s) {
		return false
	}
	b.closeDone(s)
	return true
}

func (t *table) disable(s *Subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.removeLocked(s) {
		return false
	}
	s.state = subDisabled
	s.filter.disabled.Store(true)
	t.letGoOfPayloadLocked(s)
	t.disabled = insert(t.disabled, s)
	return true
}

// addRouteLocked makes the route of typ, which has none.
func (t *table) addRouteLocked(typ EventType) *route {
	r := &route{eventType: typ, wide: t.matching(typ)}
	t.routes.Store(typ, r)
	return r
}

// route returns the route of typ, nil if there is none.
func (t *table) route(typ EventType) *route {
	if r, ok := t.routes.Load(typ); ok {
		return r.(*route)
	}
	return nil
}

// handlersOf returns the handlers of t, noHandlers if there are none.
func (b *Bus) handlersOf(t EventType) *handlerList {
	r := b.table.route(t)
	if r == nil && b.table.wide.Load() == nil {
		return noHandlers
	}
	if r != nil {
		if list := r.list.Load(); list != nil {
			return list
		}
	}
	return b.table.makeList(t)
}

// makeList makes the list of typ.
func (t *table) makeList(typ EventType) *handlerList {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.route(typ)
	if r == nil {
		if len(t.allWide()) == 0 {
			return noHandlers
		}
		if t.orphans >= maxOrphans {
			return newHandlerList(typ, t.matching(typ))
		}
		t.orphans++
		r = t.addRouteLocked(typ)
	}
	if list := r.list.Load(); list != nil {
		return list
	}
	list := newHandlerList(typ, merge(r.subs, r.wide))
	list.current.Store(true)
	r.list.Store(list)
	return list
}

// merge returns the elements of a and b in their order.
func merge(a, b []*Subscription) []*Subscription {
	all := make([]*Subscription, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if inOrder(a[0], b[0]) < 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// subscriptions returns the present ones, disabled ones too, in their order.
func (t *table) subscriptions() []*Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	subs := slices.Concat(t.allWide(), t.disabled)
	t.routes.Range(func(_, v any) bool {
		for _, s := range v.(*route).subs {
			if !s.retainer {
				subs = append(subs, s)
			}
		}
		return true
	})
	slices.SortFunc(subs, inOrder)
	return subs
}
