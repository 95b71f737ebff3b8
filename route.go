package eventbus

import (
	"context"
	"slices"
	"sync/atomic"
)

// A route leads from an event type to its handlers.
type route struct {
	// list is replaced under Bus.subMu. It is nil once the last handler is gone
	// and the route out of the table.
	list atomic.Pointer[handlerList]
}

// A handlerList is the handlers of a type at one time. It never changes.
type handlerList struct {
	route     *route
	eventType EventType
	subs      []*Subscription                      // in the order of subscription
	calls     []func(context.Context, Event) error // theirs
	orphan    bool                                 // nobody has subscribed to the type: there are taps at most
	unheard   bool                                 // as orphan, or what there is beside taps is a keeper
}

func newHandlerList(r *route, t EventType, subs []*Subscription) *handlerList {
	l := &handlerList{route: r, eventType: t, subs: subs}
	for _, s := range subs {
		l.calls = append(l.calls, s.call)
	}
	l.unheard = len(subs) > 0 && !slices.ContainsFunc(subs, func(s *Subscription) bool { return s.eventType != "" && !s.keeper })
	return l
}

// nobody is the list of a type that has no handler.
var nobody = &handlerList{orphan: true, unheard: true}

// serves reports whether l is still the list of t.
func (l *handlerList) serves(t EventType) bool {
	return l != nil && l.eventType == t && l.route != nil && l.route.list.Load() == l
}

// count adds n calls to every handler that does not count for itself.
func (l *handlerList) count(n uint64) {
	if n > 0 {
		for _, s := range l.subs {
			if s.gate == nil {
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

// maxTapRoutes bounds what a tap makes the bus remember about types that nobody
// has subscribed to, in case a program makes up types without end. The list of a
// type beyond it is made anew for each event.
const maxTapRoutes = 4096

func (b *Bus) subscribe(s *Subscription) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	b.lastID++
	s.id = b.lastID
	b.addLocked(s)
}

// addLocked puts s, which has its id, into the table.
func (b *Bus) addLocked(s *Subscription) {
	if s.eventType == "" {
		b.setTapsLocked(append(slices.Clone(b.tapsOfAll()), s))
		b.eachRoute(func(r *route, l *handlerList) { b.setLocked(r, l.eventType, append(slices.Clone(l.subs), s)) })
		return
	}
	r, old := b.route(s.eventType)
	subs := b.tapsOfAll()
	if r == nil {
		r = new(route)
	} else {
		subs = old.subs
	}
	s.route = r
	b.setLocked(r, s.eventType, byID(append(slices.Clone(subs), s)))
	b.routes.Store(s.eventType, r)
}

func (b *Bus) unsubscribe(s *Subscription) {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if !b.removeLocked(s) {
		s.gone = true
		b.setDisabledLocked(without(b.disabledOnes(), s))
	}
}

// disable takes s out of the table, but not out of the accounts, and reports
// whether it was there.
func (b *Bus) disable(s *Subscription) bool {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	before := b.disabledOnes()
	b.setDisabledLocked(append(slices.Clone(before), s)) // first, so that Stats does not miss it
	if !b.removeLocked(s) {
		b.setDisabledLocked(before)
		return false
	}
	s.gate.disabled.Store(true)
	return true
}

// removeLocked takes s out of the table and reports whether it was there.
func (b *Bus) removeLocked(s *Subscription) bool {
	if s.eventType == "" {
		if !slices.Contains(b.tapsOfAll(), s) {
			return false
		}
		b.setTapsLocked(without(b.tapsOfAll(), s))
		b.eachRoute(func(r *route, l *handlerList) { b.setLocked(r, l.eventType, without(l.subs, s)) })
		return true
	}
	if s.route == nil { // it has not arrived: see WithLast
		return false
	}
	old := s.route.list.Load()
	if old == nil || !slices.Contains(old.subs, s) {
		return false
	}
	b.setLocked(s.route, old.eventType, without(old.subs, s))
	return true
}

// setLocked makes subs the handlers of t. A route that would lead to taps alone
// goes: handlersOf makes it again when an event asks for it.
func (b *Bus) setLocked(r *route, t EventType, subs []*Subscription) {
	if old := r.list.Load(); old != nil && old.orphan {
		b.tapRoutes--
	}
	if !slices.ContainsFunc(subs, func(s *Subscription) bool { return s.eventType != "" }) {
		r.list.Store(nil)
		b.routes.Delete(t)
		return
	}
	r.list.Store(newHandlerList(r, t, subs))
}

func (b *Bus) setTapsLocked(taps []*Subscription) {
	if len(taps) == 0 {
		b.taps.Store(nil)
		return
	}
	b.taps.Store(&taps)
}

// tapsOfAll returns the taps in their order. The slice never changes.
func (b *Bus) tapsOfAll() []*Subscription {
	if taps := b.taps.Load(); taps != nil {
		return *taps
	}
	return nil
}

func (b *Bus) eachRoute(f func(*route, *handlerList)) {
	b.routes.Range(func(_, v any) bool {
		r := v.(*route)
		if list := r.list.Load(); list != nil {
			f(r, list)
		}
		return true
	})
}

func without(subs []*Subscription, s *Subscription) []*Subscription {
	return slices.DeleteFunc(slices.Clone(subs), func(o *Subscription) bool { return o == s })
}

// route returns the route of t and its list, nil if there is none.
func (b *Bus) route(t EventType) (*route, *handlerList) {
	r, ok := b.routes.Load(t)
	if !ok {
		return nil, nil
	}
	return r.(*route), r.(*route).list.Load()
}

// handlersOf returns the handlers of t, nobody if there are none. A list that
// is gone was the last one when it went, which is as good as none.
func (b *Bus) handlersOf(t EventType) *handlerList {
	if _, list := b.route(t); list != nil {
		return list
	}
	if b.taps.Load() == nil {
		return nobody
	}
	return b.orphanOf(t)
}

// orphanOf returns the list of a type that taps see and nobody else.
func (b *Bus) orphanOf(t EventType) *handlerList {
	b.subMu.Lock()
	defer b.subMu.Unlock()
	if _, list := b.route(t); list != nil {
		return list
	}
	list := newHandlerList(nil, t, b.tapsOfAll())
	list.orphan = true
	if len(list.subs) == 0 {
		return nobody
	}
	if b.tapRoutes < maxTapRoutes {
		b.tapRoutes++
		list.route = new(route)
		list.route.list.Store(list)
		b.routes.Store(t, list.route)
	}
	return list
}

func (b *Bus) setDisabledLocked(subs []*Subscription) { b.disabled.Store(&subs) }

// disabledOnes returns the subscriptions that are disabled. The slice never
// changes.
func (b *Bus) disabledOnes() []*Subscription {
	if subs := b.disabled.Load(); subs != nil {
		return *subs
	}
	return nil
}

// subscriptions returns the present ones, disabled ones too, in their order.
func (b *Bus) subscriptions() []*Subscription {
	subs := slices.Clone(b.tapsOfAll())
	b.eachRoute(func(_ *route, l *handlerList) {
		for _, s := range l.subs {
			if s.eventType != "" && !s.keeper {
				subs = append(subs, s)
			}
		}
	})
	subs = append(subs, b.disabledOnes()...) // last, or one that is disabled meanwhile would be missed
	return slices.Compact(byID(subs))        // one that is being disabled is in both
}
